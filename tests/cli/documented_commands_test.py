"""Every gemma4 command that README, help and manual show is run for real, with the demo model.

Commands are taken from the code blocks of all README.md, from the examples of the manual pages and
of --help: each line that calls `gemma4`, with everything before and after it in its pipe. All model
names are found in a Hub cache that holds the demo model under every name; `gemma4 pull` talks to a
local server. The files that the examples name lie in a prepared folder, a fresh copy for each
command. A command must exit with 0, each gemma4 in it too, and bring something forth.

What is shown without gemma4 (scripts/test.sh, cmake, cpack ...) is not run: only that the script is
there, or the target or preset that it names, is looked up.
"""

import glob
import json
import os
import pty
import re
import select
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import unittest

import support
from demo_test import png, red_circle_and_blue_square
from hub_server import COMMIT, Hub
from manual_test import plain
from media_files import HAS_FFMPEG
from support import BINARY, SOURCE_DIR

# What is changed in a command before it is run: (pattern, replacement, why). One that no command
# needs any more fails the test.
CHANGES = [
    (r"gemma4 bench (?!.*--workload)", "gemma4 bench --workload 16/8 ",
     "short work; the demo model's context is 2048 tokens"),
    (r"--workload (balanced|512/128|512/64)", "--workload 16/8", "short work"),
    (r"--depth 0,4096", "--depth 0,64", "the demo model's context is 2048 tokens"),
    (r"--dummy (e2b|31b)", f"--dummy {SOURCE_DIR}/share/models/demo/config.json",
     "random weights of a small shape instead of gigabytes"),
    (r"(gemma4 bench [^|]*?)( --reps 3)?$", r"\1 --anyway --warmup 0 --reps 1",
     "one run, on a machine that may be busy with other tests"),
    (r"(describe-image .*--task ocr|gemma4 run --image receipt.jpg)", r"\1 -n 32",
     "the demo model was not taught this, and would go on until its context is full"),
    (r"--max-regress 5$|--max-regress 5 ", "--max-regress 100000 ",
     "times of another moment: it is the comparison that is tried, not this machine's evenness"),
]
# Commands that ask, or draw: run on a pseudo-terminal, on which a person types "y".
ON_A_TERMINAL = (r"--exec-tools (?!.*--yes)", r"describe-image .*--show")
# Commands whose documented exit code with this model is another one than 0.
EXIT_CODES = [(r"gemma4 run -x ", 6, "the demo model writes no fenced block to extract")]
# Lines without gemma4 that are part of what the reader types.
OTHER_LINES = re.compile(r"(scripts/\S+|export \w+=\S+|sudo apt-get install .+)(\s*#.*)?$")

ALIASES = {"e2b": "E2B", "e4b": "E4B", "12b": "12B", "26b-a4b": "26B-A4B", "31b": "31B"}
CHECKPOINT = os.path.join(SOURCE_DIR, "share", "models", "demo")
ASSISTANT = CHECKPOINT + "-assistant"

GEMMA4 = f"""#!/bin/bash
"{BINARY}" "$@"
code=$?
printf '%s %s\\n' $code "$*" >> "$CALLS"
exit $code
"""
JOURNAL = """#!/bin/sh
echo 'kernel: usb 1-1: device descriptor read/64, error -110'
echo 'sshd[211]: error: kex_exchange_identification: Connection closed'
"""
# Reads what the examples' filters want, and knows no other; takes the place of a missing jq.
JQ = f"""#!{sys.executable}
import json, sys
filters = {{
    ".total": lambda d: d["total"], ".text": lambda d: d["text"],
    "{{id, prompt: .question}}": lambda d: {{"id": d["id"], "prompt": d["question"]}},
    "[.prompt_logprobs[1:][].logprob] | add / length":
        lambda d: sum(p["logprob"] for p in d["prompt_logprobs"][1:]) / len(d["prompt_logprobs"]),
}}
words = [word for word in sys.argv[1:] if not word.startswith("-")]
text = open(words[1]).read() if len(words) > 1 else sys.stdin.read()
decoder = json.JSONDecoder()
while text.strip():
    value, end = decoder.raw_decode(text.lstrip())
    text = text.lstrip()[end:]
    print(json.dumps(filters[words[0]](value)))
"""
TIMEOUT = 120  # seconds a command
TALK = b"What is the capital of France?\n/exit\n"


# ---- What the documents show ----

def joined(lines):
    """Commands of consecutive lines: one goes on after a trailing backslash or pipe."""
    command = ""
    for line in lines:
        command += line.strip()
        if command.endswith("\\"):
            command = command[:-1]
        elif command.endswith("|"):
            command += " "
        elif command:
            yield command
            command = ""
    if command:
        yield command


def blocks_of_markdown(path):
    with open(path, encoding="utf-8") as file:
        return [block.splitlines()[1:] for block in file.read().split("```")[1::2]]


def blocks_of_manual(path):
    with open(path, encoding="utf-8") as file:
        return [[plain(line) for line in block.splitlines()]
                for block in re.findall(r"^\.(?:nf|EX)\n(.*?)^\.(?:fi|EE)$", file.read(),
                                        re.M | re.S)]


def blocks_of_help():
    def page(*command):
        return subprocess.run([BINARY, *command, "--help"], stdout=subprocess.PIPE, timeout=60,
                              check=True).stdout.decode()

    commands = re.findall(r"^  (\S+)", page().split("Subcommands:\n")[1].split("\n\n")[0], re.M)
    for text in [page(), *map(page, commands)]:
        yield text.split("Examples:\n")[1].split("\n\n")[0].splitlines()


def documents():
    """(name, blocks of lines) of everything that shows commands."""
    for pattern in ("README.md", "share/**/README.md", "scripts/**/README.md"):
        for path in sorted(glob.glob(os.path.join(SOURCE_DIR, pattern), recursive=True)):
            yield os.path.relpath(path, SOURCE_DIR), blocks_of_markdown(path)
    for pattern in ("man/*.1", "man/sections/*.roff"):
        for path in sorted(glob.glob(os.path.join(SOURCE_DIR, pattern))):
            yield os.path.relpath(path, SOURCE_DIR), blocks_of_manual(path)
    yield "--help", list(blocks_of_help())


def calls(command):
    """How often it calls gemma4 (not in quotes, not in a remark)."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "''", command).split(" #")[0]
    return len(re.findall(r"(?:^|[|&;]\s*|\w=\S+ )gemma4 ", bare))


def shown():
    """(document, command, exports before it in its block) and the other lines (document, line)."""
    commands, others = [], []
    for name, blocks in documents():
        for block in blocks:
            lines = [line for line in joined(block) if not line.startswith("#")]
            if not any("gemma4 " in line or line.startswith("scripts/") for line in lines):
                continue  # a drawing, no commands
            exports = []
            for line in lines:
                if calls(line):
                    commands.append((name, line, tuple(exports)))
                else:
                    others.append((name, line))
                    exports += [line.split(" #")[0]] if line.startswith("export ") else []
    return commands, others


# ---- Where they are run ----

def make_media(folder):
    """Pictures, recordings and videos under the names that the examples use."""
    def ffmpeg(*arguments):
        subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], cwd=folder, check=True,
                       stdin=subprocess.DEVNULL, timeout=60)

    picture = png(384, 384, red_circle_and_blue_square)
    for name in ("before.png", "after.png", "v1.png", "v2.png", "plan.png", "scan.png",
                 "invoice.png", "shapes.png"):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(picture)
    for name in ("receipt.jpg", "photo.jpg", "bird.webp"):
        ffmpeg("-i", "before.png", name)
    tone = ("-f", "lavfi", "-i", "sine=440:r=16000:d=3")
    ffmpeg(*tone, "speech.wav")
    if shutil.which("espeak-ng"):
        subprocess.run(["espeak-ng", "-w", "speech.wav", "turn on the light in the kitchen"],
                       cwd=folder, check=True, timeout=60)
    for name in ("interview.mp3", "meeting.m4a", "anruf.ogg", "call.opus"):
        ffmpeg("-i", "speech.wav", name)
    # An hour of silence and three seconds of sound: long, as the example is, and little work.
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono:d=3720", *tone,
           "-filter_complex", "concat=n=2:v=0:a=1", "meeting.flac")
    for name in ("clip.mp4", "talk.mp4"):
        ffmpeg("-f", "lavfi", "-i", "testsrc=s=96x64:r=4:d=3", *tone, "-shortest", name)


def make_files(folder):
    number = {"type": "integer", "minimum": 0, "maximum": 99}
    declared = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 40}},
                "required": ["city"]}
    texts = {
        "mail.txt": "I want 3 books.", "essay.txt": "The capital of France is Paris.",
        "sample.txt": "The capital of France is Paris. Grass is green.",
        "invoice.json": json.dumps({"type": "object", "properties": {"total": number},
                                    "required": ["total"], "additionalProperties": False}),
        "questions.jsonl": "".join(
            json.dumps({"id": word, "question": f"What is the opposite of {word}?"}) + "\n"
            for word in ("hot", "big")),
        "tools.json": json.dumps([{"type": "function", "function": {
            "name": "get_weather", "description": "Get the weather in a city.",
            "parameters": declared}}]),
        "talk.jsonl": "".join(json.dumps({"role": role, "content": content}) + "\n"
                              for role, content in (("user", "Hello"),
                                                    ("assistant", "Hello! How can I help you?"))),
    }
    for name, text in texts.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    for tools in ("bin", "bin/tools"):
        os.makedirs(os.path.join(folder, tools))
        make_program(os.path.join(folder, tools, "get_weather"),
                     "#!/bin/sh\necho '{\"temperature\": 21, \"weather\": \"rainy\"}'\n")


def make_repository(folder):
    """With a change that is staged."""
    for command in (("init", "-q"), ("config", "user.name", "Nobody"),
                    ("config", "user.email", "nobody@example.org"), ("add", "mail.txt")):
        subprocess.run(["git", *command], cwd=folder, check=True, timeout=20)


def make_program(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)


def make_programs(folder):
    """gemma4, and programs that a machine may lack or that would answer for this very machine."""
    os.makedirs(folder)
    make_program(os.path.join(folder, "gemma4"), GEMMA4)
    make_program(os.path.join(folder, "journalctl"), JOURNAL)
    make_program(os.path.join(folder, "arecord"), "#!/bin/sh\n"
                 "exec ffmpeg -v error -i speech.wav -f s16le -ar 16000 -\n")
    if shutil.which("jq") is None:
        make_program(os.path.join(folder, "jq"), JQ)


def make_hub_cache(folder):
    """The demo model and its assistant, under the names of all the models that have aliases."""
    for size in ALIASES.values():
        for suffix, source in (("", CHECKPOINT), ("-assistant", ASSISTANT)):
            repository = os.path.join(folder, f"models--google--gemma-4-{size}-it{suffix}")
            shutil.copytree(source, os.path.join(repository, "snapshots", COMMIT))
            os.makedirs(os.path.join(repository, "refs"))
            with open(os.path.join(repository, "refs", "main"), "w", encoding="ascii") as file:
                file.write(COMMIT)


def hub_id(model):
    """The Hub's name for what `gemma4 pull` was given."""
    model = model.split("@")[0]
    return f"google/gemma-4-{ALIASES[model]}-it" if model in ALIASES else model


def run_piped(command, typed, **options):
    """-> exit code, standard output, standard error."""
    done = subprocess.run(command, input=typed, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False, timeout=TIMEOUT, **options)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def run_on_terminal(command, typed, **options):
    """The same with a terminal for all three; what it printed comes as one text."""
    del typed
    master, slave = pty.openpty()
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave,
                          start_new_session=True, **options) as process:
        os.close(slave)
        os.write(master, b"y\n")
        seen, deadline = b"", time.monotonic() + TIMEOUT
        while select.select([master], [], [], max(0, deadline - time.monotonic()))[0]:
            try:
                seen += os.read(master, 65536)
            except OSError:  # nobody holds the other end any more
                break
        else:
            process.kill()
    os.close(master)
    return process.returncode, seen.decode(), ""


COMMANDS, OTHERS = shown()


@unittest.skipUnless(HAS_FFMPEG, "ffmpeg is not installed")
@unittest.skipUnless(shutil.which("git"), "git is not installed")
class DocumentedCommands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="gemma4-documented-")
        cls.folder = cls.temporary.name
        cls.prepared = os.path.join(cls.folder, "prepared")
        os.makedirs(cls.prepared)
        make_files(cls.prepared)
        make_media(cls.prepared)
        make_repository(cls.prepared)
        make_programs(os.path.join(cls.folder, "programs"))
        make_hub_cache(os.path.join(cls.folder, "hub"))
        subprocess.run([BINARY, "bench", "-m", CHECKPOINT, "--workload", "16/8", "--anyway",
                        "--warmup", "0", "--reps", "1", "--format", "json", "-q", "-o",
                        os.path.join(cls.prepared, "old.json")], check=True, timeout=60)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def environment(self, command, work):
        home = os.path.join(self.folder, "home")
        env = support.environment(work, PATH=os.path.join(self.folder, "programs") + os.pathsep
                                  + os.environ["PATH"], GEMMA4_MODEL=CHECKPOINT,
                                  HF_HUB_CACHE=os.path.join(self.folder, "hub"),
                                  CALLS=os.path.join(self.folder, "calls"), no_proxy="*",
                                  XDG_STATE_HOME=home, XDG_CACHE_HOME=home)
        pulled = re.search(r"gemma4 pull (\S+)", command)
        if pulled:
            files = {}
            for name in os.listdir(CHECKPOINT):
                with open(os.path.join(CHECKPOINT, name), "rb") as file:
                    files[name] = file.read()
            hub = Hub(files, large=["model.safetensors"], model=hub_id(pulled[1]))
            self.addCleanup(hub.close)
            env.update(HF_ENDPOINT=hub.url, HF_HUB_CACHE=os.path.join(work, "empty-cache"))
        return env

    def check(self, command, exports):
        work = tempfile.mkdtemp(dir=self.folder)
        shutil.copytree(self.prepared, work, dirs_exist_ok=True)
        before = self.files(work)
        log = os.path.join(self.folder, "calls")
        open(log, "w", encoding="utf-8").close()
        script = "\n".join([*exports, changed(command)])
        run = run_on_terminal if any(re.search(p, command) for p in ON_A_TERMINAL) else run_piped
        code, output, errors = run(["bash", "-o", "pipefail", "-c", script], cwd=work,
                                   env=self.environment(command, work), typed=TALK if
                                   "gemma4 chat" in command else b"")
        said = f"{script}\n{output}{errors}"
        expected = next((code for p, code, _ in EXIT_CODES if re.search(p, command)), 0)
        self.assertEqual(code, expected, said)
        with open(log, encoding="utf-8") as file:
            codes = [int(line.split(" ")[0]) for line in file]
        self.assertEqual(codes, [expected] * calls(command), said)
        self.assertTrue(output.strip() or self.files(work) != before, said)
        shutil.rmtree(work)

    @staticmethod
    def files(folder):
        return {os.path.join(where, name) for where, _, names in os.walk(folder)
                for name in names}


def changed(command):
    for pattern, replacement, _ in CHANGES:
        command = re.sub(pattern, replacement, command.split(" #")[0].rstrip())
    return command


def named(document, number):
    return re.sub(r"\W+", "_", f"test_{document}_{number:03}")


def add_tests():
    """One test a command, so that a failure names it; the same text is run once."""
    known = set()
    for number, (document, command, exports) in enumerate(COMMANDS):
        if (command, exports) in known:
            continue
        known.add((command, exports))

        def test(self, command=command, exports=exports):
            self.check(command, exports)

        test.__doc__ = f"{document}: {command}"
        setattr(DocumentedCommands, named(document, number), test)


add_tests()


class Documents(unittest.TestCase):
    def test_commands_are_found_in_all_of_them(self):
        found = {}
        for document, _, _ in COMMANDS:
            found[document] = found.get(document, 0) + 1
        self.assertGreater(found["README.md"], 20)
        for document in ("share/models/demo/README.md", "--help", "man/gemma4.1",
                         "man/gemma4-run.1", "man/gemma4-bench.1"):
            self.assertGreater(found[document], 2, document)

    def test_every_other_line_of_a_block_is_understood(self):
        for document, line in OTHERS:
            with self.subTest(document=document, line=line):
                self.assertRegex(line, OTHER_LINES)
                script = re.match(r"scripts/\S+", line)
                if script:
                    self.assertTrue(os.access(os.path.join(SOURCE_DIR, script[0]), os.X_OK))

    def test_build_targets_and_presets_exist(self):
        with open(os.path.join(SOURCE_DIR, "README.md"), encoding="utf-8") as file:
            text = file.read()
        with open(os.path.join(SOURCE_DIR, "CMakePresets.json"), encoding="utf-8") as file:
            presets = {preset["name"] for preset in json.load(file)["configurePresets"]}
        self.assertLessEqual(set(re.findall(r"--preset (\w+)", text)), presets)
        for script in set(re.findall(r"scripts/[\w/]+\.(?:sh|py)", text)):
            self.assertTrue(os.path.isfile(os.path.join(SOURCE_DIR, script)), script)
        for package in re.findall(r"find_package\((\w+)\)", text):
            self.assertTrue(os.path.isfile(
                os.path.join(SOURCE_DIR, "cmake", f"{package}-config.cmake.in")), package)

    def test_every_change_is_still_needed(self):
        rules = [(pattern, why) for pattern, _, why in CHANGES + EXIT_CODES]
        for pattern, why in rules + [(pattern, "asks or draws") for pattern in ON_A_TERMINAL]:
            self.assertTrue(any(re.search(pattern, command) for _, command, _ in COMMANDS),
                            f"{pattern}: {why}")


if __name__ == "__main__":
    unittest.main()
