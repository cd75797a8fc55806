#!/usr/bin/env python3
"""The rules of the house that no compiler checks: who may include whom, which outside library
lives where, names of files, file sizes. Prints each breach and exits 1 if there is one."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Room -> rooms that it may include, beside itself.
ALLOWED = {
    "lib/base": set(),
    "lib/io": {"lib/base"},
    "lib/media": {"lib/base"},
    "lib/text": {"lib/base", "lib/io"},
    "lib/quant": {"lib/base", "lib/io"},
    "kernels": {"lib/base", "lib/quant"},
    "kernels/reference": {"kernels", "lib/base", "lib/quant"},
    "kernels/cpu": {"kernels", "lib/base", "lib/quant"},
    "kernels/cuda": {"kernels", "lib/base", "lib/quant"},
    "lib/model": {"lib/base", "lib/io", "lib/quant", "kernels"},
    "lib/runtime": {"lib/base", "lib/io", "lib/quant", "lib/media", "lib/text", "lib/model",
                    "kernels"},
    "tools": {"lib/runtime", "lib/quant", "lib/io", "lib/base"},
}
# Headers that tools see because the engine's face hands their types on.
FACE = {"lib/text/tokenizer.h", "lib/text/chat_template.h", "lib/text/output_parser.h",
        "lib/model/config.h", "lib/model/weight_choice.h"}
# Outside library -> the only places that include it.
OUTSIDE = {
    r"(libav\w+|libsw\w+)/|sndfile": ("lib/media/",),
    r"sentencepiece": ("lib/text/tokenizer",),
    r"CLI/|histedit|editline": ("tools/",),
    r"dnnl|oneapi/": ("kernels/cpu/",),
    r"cuda|cublas|nccl": ("kernels/cuda/",),
    r"curl/": ("lib/io/hub_download",),
    r"openssl/": ("lib/io/file_digest",),
    r"doctest": ("tests/",),
}
MAX_LINES = 700


def room_of(path):
    parts = path.split("/")
    if parts[0] == "tools":
        return "tools"
    if parts[0] == "kernels":
        return "/".join(parts[:2]) if len(parts) > 2 else "kernels"
    return "/".join(parts[:2])


def main():
    breaches = []
    for path in sorted(ROOT.glob("**/*")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(("lib/", "kernels/", "tools/")) or not path.is_file():
            continue
        if path.suffix not in (".h", ".cpp", ".cu", ".cuh"):
            continue
        if not re.fullmatch(r"[a-z0-9_]+\.(h|cpp|cu|cuh)", path.name):
            breaches.append(f"{name}: file names are snake_case")
        text = path.read_text()
        if text.count("\n") > MAX_LINES:
            breaches.append(f"{name}: longer than {MAX_LINES} lines; look for its second job")
        if path.suffix == ".h" and "#pragma once" not in text:
            breaches.append(f"{name}: no #pragma once")
        room = room_of(name)
        for target in re.findall(r'#include "([^"]+)"', text):
            other = room_of(target)
            if not (ROOT / target).is_file():
                breaches.append(f'{name}: "{target}" is not rooted at the repository')
            elif name == "kernels/backend.cpp" and other.startswith("kernels"):
                continue  # the one file that knows which backends were built
            elif other == "kernels" and target == "kernels/backend.h":
                if room not in ("lib/runtime", "kernels"):
                    breaches.append(f"{name}: only lib/runtime chooses a backend")
            elif other != room and other not in ALLOWED[room]:
                if not (room == "tools" and target in FACE):
                    breaches.append(f"{name}: {room} may not include {target}")
        for target in re.findall(r"#include <([^>]+)>", text):
            for pattern, places in OUTSIDE.items():
                if re.match(pattern, target) and not name.startswith(places):
                    breaches.append(f"{name}: <{target}> belongs in {' or '.join(places)}")
        for word in re.findall(r"\b(TODO|FIXME|XXX)\b", text):
            breaches.append(f"{name}: {word}")
    dnnl = [p for p in (ROOT / "kernels/cpu").glob("*") if re.search(r"#include [<\"].*dnnl", p.read_text())]
    if len(dnnl) > 1:
        breaches.append("oneDNN is included by more than one file of kernels/cpu")
    for breach in breaches:
        print(breach)
    print(f"{'FAILED' if breaches else 'ok'}: {len(breaches)} breaches of the house rules")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
