"""gemma4 describe-image."""

import json
import os
import pty
import threading
import unittest

from media_files import png
from support import QUIET, CliTest, make_text_checkpoint


class DescribeImage(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sees = make_text_checkpoint(os.path.join(cls.folder, "sees"), "vision-e",
                                        suppress_tokens=QUIET)
        cls.files = []
        for i, size in enumerate(((320, 240), (300, 200), (64, 64), (90, 200))):
            cls.files.append(os.path.join(cls.folder, f"p{i}.png"))
            with open(cls.files[i], "wb") as file:
                file.write(png(*size, seed=i))

    def describe(self, *arguments, code=0, budget=("--image-tokens", "70"), **options):
        done = self.command("describe-image", "-m", self.sees, "--temp", "0", "-n", "6", *budget,
                            *arguments, **options)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout.decode()

    def run_image(self, file, *arguments):
        return json.loads(self.run_with(self.sees, "--image", file, "--json", *arguments))

    def run_with(self, model, *arguments):
        done = self.command("run", "-m", model, "--temp", "0", "-n", "6", "--image-tokens", "70",
                            *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def test_the_answer_is_that_of_run_with_the_documented_prompt(self):
        prompts = {
            None: "Describe this image in detail.",
            "describe": "Describe this image in detail.",
            "alt-text": "Write one sentence of alt text for this image.",
            "tags": "List ten short tags for this image, separated by commas."}
        for task, prompt in prompts.items():
            got = self.describe(self.files[0], *(["--task", task] if task else []))
            self.assertEqual(got, self.run_image(self.files[0], prompt)["text"] + "\n")
        mine = json.loads(self.describe(self.files[0], "-p", "Why?", "--json"))
        self.assertEqual(mine["token_ids"], self.run_image(self.files[0], "Why?")["token_ids"])
        self.assertNotIn("task", mine)

    def test_small_print_is_seen_finely(self):
        def tokens(*flags):
            answer = json.loads(self.describe(self.files[2], "--json", *flags, budget=()))
            return answer["usage"]["media_tokens"]
        self.assertEqual(tokens(), 256)
        self.assertEqual(tokens("--task", "ocr"), 1089)
        self.assertEqual(tokens("--task", "table"), 1089)
        self.assertEqual(tokens("--task", "ocr", "--image-tokens", "70"), 64)
        self.assertEqual(tokens("--detail", "high"), 529)
        self.assertEqual(tokens("--image-tokens", "auto"), 256)

    def test_many_pictures_are_answered_in_order_as_each_alone(self):
        singles = [json.loads(self.describe(file, "--json")) for file in self.files]
        self.assertEqual(singles[0]["file"], self.files[0])
        self.assertEqual(singles[0]["task"], "describe")
        lines = self.describe(*self.files, *self.files, "--jsonl").splitlines()
        answers = [json.loads(line) for line in lines]
        self.assertEqual([a["file"] for a in answers], self.files * 2)
        for answer, single in zip(answers, singles * 2):
            self.assertEqual(answer["token_ids"], single["token_ids"])
            self.assertEqual(list(answer), list(single))
        listed = json.loads(self.describe(*self.files, "--format", "json"))
        self.assertEqual([a["text"] for a in listed], [a["text"] for a in singles])
        text = self.describe(*self.files[:2])
        self.assertEqual(text, "\n".join(f"{a['file']}:\n{a['text']}\n" for a in singles[:2]))
        text = self.describe(*self.files[:2], "--format", "markdown")
        self.assertEqual(text, "\n".join(f"## {a['file']}\n\n{a['text']}\n" for a in singles[:2]))

    def test_more_pictures_than_go_together(self):
        lines = self.describe(*self.files * 9, "--jsonl").splitlines()
        self.assertEqual(len(lines), 36)
        ids = [json.loads(line)["token_ids"] for line in lines]
        self.assertEqual(ids, ids[:4] * 9)

    def test_names_come_from_a_pipe(self):
        names = "\n".join(self.files).encode()
        expected = self.describe(*self.files, "--jsonl")
        for stdin in (names, names + b"\n", "\0".join(self.files).encode() + b"\0"):
            got = self.describe("--files-from", "-", "--jsonl", stdin=stdin)
            self.assertEqual([json.loads(line)["token_ids"] for line in got.splitlines()],
                             [json.loads(line)["token_ids"] for line in expected.splitlines()])
        listed = self.write("list.txt", names)
        self.assertEqual(self.describe("--files-from", listed), self.describe(*self.files))
        with open(self.files[0], "rb") as file:
            piped = self.describe("-", stdin=file)
        self.assertEqual(piped, self.describe(self.files[0]))

    def test_one_bad_file_stops_nothing(self):
        bad = self.write("bad.png", b"\x89PNG\r\n\x1a\n and no more")
        files = [self.files[0], bad, self.path("none.png"), self.files[1]]
        lines = [json.loads(x) for x in self.describe(*files, "--jsonl", code=4).splitlines()]
        self.assertEqual([a["file"] for a in lines], files)
        self.assertEqual(["error" in a for a in lines], [False, True, True, False])
        self.assertEqual(lines[2]["error"]["code"], 4)
        done = self.command("describe-image", "-m", self.sees, "--temp", "0", "-n", "6",
                            "--image-tokens", "70", *files)
        self.assertEqual(done.returncode, 4)
        self.assertEqual(done.stdout.decode(), self.describe(self.files[0], self.files[1]))
        errors = done.stderr.decode().splitlines()
        self.assertEqual(len(errors), 3)
        self.assertIn("bad.png", errors[0])
        self.assertIn("none.png", errors[1])
        self.assertIn("2 of 4", errors[2])
        self.assert_fails(4, "describe-image", "-m", self.sees, bad, says="bad.png")
        self.assert_fails(4, "describe-image", "-m", self.sees, "--together", *files,
                          says="bad.png")

    def test_together_they_are_one_prompt(self):
        got = json.loads(self.describe("--together", *self.files[:2], "-p", "Compare.", "--json"))
        self.assertEqual(got["files"], self.files[:2])
        both = self.run_image(self.files[0], "--image", self.files[1], "Compare.")
        self.assertEqual(got["token_ids"], both["token_ids"])
        self.assertEqual(self.describe("--together", *self.files[:2], "-p", "Compare."),
                         both["text"] + "\n")

    def test_output_to_a_file_and_stats(self):
        path = self.path("out.jsonl")
        done = self.command("describe-image", "-m", self.sees, "--temp", "0", "-n", "6", "--jsonl",
                            "--stats", "-o", path, *self.files)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stdout, b"")
        self.assertIn("prompt:", done.stderr.decode())
        self.assertEqual(len(self.read("out.jsonl").splitlines()), 4)

    def test_a_terminal_can_show_what_the_model_sees(self):
        def shown(**variables):
            master, slave = pty.openpty()
            pieces = []

            def read():
                try:
                    while piece := os.read(master, 65536):
                        pieces.append(piece)
                except OSError:
                    pass  # the end of a terminal

            reader = threading.Thread(target=read)
            reader.start()
            env = dict(self.env, TERM="xterm-256color")
            env.update(variables)
            done = self.command("describe-image", "-m", self.sees, "--temp", "0", "-n", "3", "-q",
                                "--image-tokens", "70", "--show", self.files[2], stderr=slave,
                                env=env)
            os.close(slave)
            reader.join()
            os.close(master)
            text = b"".join(pieces)
            self.assertEqual(done.returncode, 0, text)
            self.assertIn(b"seen as 384x384 pixels, 64 tokens", text)
            self.assertEqual(len(done.stdout.splitlines()), 1)
            return text
        self.assertIn("\u2580".encode(), shown())
        self.assertIn(b"\x1b_Ga=T,f=24,s=", shown(TERM="xterm-kitty"))
        self.assertIn(b"\x1bP0;1q", shown(TERM="foot"))

    def test_usage(self):
        base = ("describe-image", "-m", self.sees)
        image = self.files[0]
        self.assert_fails(2, *base, says="no picture")
        self.assert_fails(2, *base, image, "--task", "ocr", "-p", "x", says="--task")
        self.assert_fails(2, *base, image, "--json", "--jsonl")
        self.assert_fails(2, *base, image, "--show", says="terminal")
        self.assert_fails(2, *base, image, "--image-tokens", "3")
        self.assert_fails(2, *base, "-", "--files-from", "-", says="named twice")
        self.assert_fails(4, "describe-image", "-m", self.model, image, says="no image encoder")
        self.assert_fails(3, "describe-image", "-m", self.path("nowhere"), image)
        self.assertIn("media", self.describe(image, "--plan"))


if __name__ == "__main__":
    unittest.main()
