"""What the end-to-end tests share: the binary, checkpoints made for the test, running commands.

The binary's path comes from $GEMMA4_BINARY, the source tree from $GEMMA4_SOURCE_DIR.
"""

import json
import os
import shutil
import struct
import subprocess
import tempfile
import unittest

BINARY = os.environ["GEMMA4_BINARY"]
SOURCE_DIR = os.environ["GEMMA4_SOURCE_DIR"]
GOLDENS = os.path.join(SOURCE_DIR, "tests", "goldens")
TIMEOUT = 120

# Ids of the goldens' toy vocabulary (tests/goldens/README.md), and of Gemma 4 below 100.
SPECIALS = {
    0: "<pad>", 1: "<eos>", 2: "<bos>", 3: "<unk>", 4: "<mask>",
    46: "<|tool>", 47: "<tool|>", 48: "<|tool_call>", 49: "<tool_call|>",
    50: "<|tool_response>", 51: "<tool_response|>", 52: '<|"|>', 98: "<|think|>",
    100: "<|channel>", 101: "<channel|>", 105: "<|turn>", 106: "<turn|>",
    490: "<|image>", 491: "<|audio>", 496: "<|image|>", 497: "<|audio|>",
    498: "<image|>", 499: "<audio|>", 500: "<|video|>",
}
FIRST_CHARACTER = 110  # the space; the other printable ASCII characters follow
FIRST_BYTE = 228


def toy_tokenizer():
    """A tokenizer.json of Gemma's kind for the 512 rows of the golden models."""
    pieces = [f"<unused{i}>" for i in range(512)]
    for number, spelling in SPECIALS.items():
        pieces[number] = spelling
    pieces[107] = "\n"
    pieces[108] = "\n\n"
    for code in range(32, 127):
        pieces[FIRST_CHARACTER + code - 32] = "\u2581" if code == 32 else chr(code)
    for byte in range(256):
        pieces[FIRST_BYTE + byte] = f"<0x{byte:02X}>"
    added = [{"id": number, "content": spelling, "single_word": False, "lstrip": False,
              "rstrip": False, "normalized": False, "special": True}
             for number, spelling in SPECIALS.items()]
    space = {"String": " "}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "Replace", "pattern": space, "content": "\u2581"},
        "pre_tokenizer": {"type": "Split", "pattern": space, "behavior": "MergedWithPrevious",
                          "invert": False},
        "post_processor": {"type": "TemplateProcessing",
                           "single": [{"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [], "special_tokens": {}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>",
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": {piece: number for number, piece in enumerate(pieces)},
                  "merges": [["\n", "\n"]]},
    }


def encode(text):
    """Ids of text that the toy tokenizer has characters for."""
    ids = []
    for character in text:
        ids.append(107 if character == "\n" else FIRST_CHARACTER + ord(character) - 32)
    return ids


def decode(ids):
    return "".join("\n" if i == 107 else chr(i - FIRST_CHARACTER + 32) for i in ids)


def golden(name):
    return os.path.join(GOLDENS, name)


def read_int64(path, name):
    """One int64 tensor of a safetensors file, flat."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        entry = json.loads(file.read(length))[name]
        assert entry["dtype"] == "I64", entry
        begin, end = entry["data_offsets"]
        file.seek(8 + length + begin)
        return list(struct.unpack(f"<{(end - begin) // 8}q", file.read(end - begin)))


def make_text_checkpoint(directory, name="text-e", **generation):
    """A golden model that speaks (random) text: with a tokenizer, and settings of one's own.

    It is greedy unless told otherwise: a test that samples names its temperature and its seed.
    """
    os.makedirs(directory)
    for file in ("config.json", "generation_config.json", "model.safetensors"):
        shutil.copy(os.path.join(golden(name), file), directory)
    processor = os.path.join(golden(name), "processor_config.json")
    if os.path.exists(processor):
        shutil.copy(processor, directory)
    with open(os.path.join(directory, "tokenizer.json"), "w", encoding="utf-8") as file:
        json.dump(toy_tokenizer(), file, ensure_ascii=False)
    path = os.path.join(directory, "generation_config.json")
    with open(path, encoding="utf-8") as file:
        settings = json.load(file)
    settings.update({"do_sample": False, **generation})
    with open(path, "w", encoding="utf-8") as file:
        json.dump(settings, file)
    return directory


def environment(home, **changes):
    """The surroundings of a command: nothing of the user's."""
    env = {key: value for key, value in os.environ.items()
           if not key.startswith(("GEMMA4_", "HF_", "XDG_")) and key != "NO_COLOR"}
    env.update(HOME=home, XDG_CACHE_HOME=os.path.join(home, "cache"),
               XDG_STATE_HOME=os.path.join(home, "state"), LC_ALL="C.UTF-8", TERM="xterm")
    env.update(changes)
    return env


# Control tokens and bytes out of the way, so that answers are plain text.
QUIET = [i for i in range(512) if not (i == 107 or 110 <= i <= 204)]


class CliTest(unittest.TestCase):
    """Has a folder of its own, with `self.model`, a checkpoint that speaks text."""

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="gemma4-cli-")
        cls.folder = cls.temporary.name
        cls.model = make_text_checkpoint(os.path.join(cls.folder, "model"),
                                         suppress_tokens=QUIET)
        cls.env = environment(cls.folder)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        path = self.path(name)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def command(self, *arguments, stdin=b"", env=None, **options):
        """Runs gemma4. `stdin`: bytes for a pipe, or a file."""
        source = ({"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin})
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        return subprocess.run([BINARY, *arguments], env=env or self.env, timeout=TIMEOUT,
                              check=False, **source, **options)

    def run_ok(self, *arguments, **options):
        """`gemma4 run` with the text model, greedy and short unless told otherwise."""
        done = self.command("run", "-m", self.model, "--temp", "0", "-n", "12", *arguments,
                            **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def assert_fails(self, code, *arguments, says="", **options):
        """One line on stderr, nothing on stdout, and the exit code."""
        done = self.command(*arguments, **options)
        message = done.stderr.decode()
        self.assertEqual(done.returncode, code, message)
        self.assertEqual(done.stdout, b"")
        self.assertRegex(message, r"\Agemma4: [^\n]+\n\Z")
        self.assertIn(says, message)
