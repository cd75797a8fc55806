#!/usr/bin/env python3
"""Makes the pictures of the README: runs the commands for real, with the demo model, and draws what
they print.  scripts/screenshots.py [GEMMA4]   (default: build/gemma4; needs convert and espeak-ng)
"""
import html
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "scripts", "screenshots")
COLUMNS = 116

PICTURES = {
    "run": ['gemma4 run -m demo "What is the capital of France?"',
            'gemma4 run -m demo --think --thinking show "What is 34 + 25?"',
            'echo "Anna is 31 years old and lives in Paris." |\n'
            '    gemma4 run -m demo --json-object "Extract the person as JSON:"'],
    "chat": ["printf 'My name is Anna.\\nWhat is my name?\\n' | gemma4 chat -m demo"],
    "describe-image": ["gemma4 describe-image -m demo shapes.png",
                       "gemma4 describe-image -m demo --task alt-text --jsonl shapes.png |\n"
                       "    jq -c '{file, text}'"],
    "transcribe": ["gemma4 transcribe -m demo speech.wav",
                   "gemma4 transcribe -m demo --format srt speech.wav"],
    "quantize": ["gemma4 quantize demo demo-int8 --scheme int8",
                 'gemma4 run -m ./demo-int8 "What is the capital of Italy?"'],
    "bench": ["gemma4 bench -m demo --workload 256/64 --batch 1,8 --reps 3 -q"],
}

FONT = "ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace"


def draw(lines):
    """Lines of (text, class) as an SVG terminal."""
    width, height = COLUMNS * 8.43 + 40, len(lines) * 19 + 34
    rows = "".join(
        f'<text x="20" y="{34 + 19 * i}" class="{kind}">{html.escape(text)}</text>\n'
        for i, (text, kind) in enumerate(lines))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}">\n'
            f'<style>text {{ font: 14px {FONT}; white-space: pre; }} .out {{ fill: #d8dee9; }} '
            '.command { fill: #a3be8c; }</style>\n'
            f'<rect width="100%" height="100%" rx="8" fill="#20242c"/>\n{rows}</svg>\n')


def wrapped(text):
    for line in text.splitlines():
        for start in range(0, max(len(line), 1), COLUMNS):
            yield line[start:start + COLUMNS]


def main():
    binary = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else
                             os.path.join(ROOT, "build", "gemma4"))
    os.makedirs(OUT, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(binary, os.path.join(folder, "gemma4"))
        environment = dict(os.environ, PATH=folder + ":" + os.environ["PATH"], LC_ALL="C.UTF-8")
        prepare = ("convert -size 384x384 xc:white -fill red -draw 'circle 192,192 192,142' "
                   "-fill blue -draw 'rectangle 278,278 362,362' shapes.png && "
                   "espeak-ng -w speech.wav 'turn on the light in the kitchen'")
        subprocess.run(prepare, shell=True, check=True, cwd=folder)
        for name, commands in PICTURES.items():
            lines = []
            for command in commands:
                lines += [(line, "command") for line in ("$ " + command).splitlines()]
                done = subprocess.run(command, shell=True, cwd=folder, env=environment,
                                      executable="/bin/bash", stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
                text = re.sub("\x1b\\[[0-9;]*m", "", done.stdout.decode())
                lines += [(line, "out") for line in wrapped(text)] + [("", "out")]
            with open(os.path.join(OUT, name + ".svg"), "w", encoding="utf-8") as file:
                file.write(draw(lines[:-1]))


if __name__ == "__main__":
    main()
