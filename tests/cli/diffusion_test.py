"""Diffusion models: answers in blocks, flags that do not go with them, the canvas on a terminal."""

import json
import os
import unittest

import support
from chat_terminal_test import Terminal
from support import CliTest, golden, read_int64


class Diffusion(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.prompt = ",".join(map(str, read_int64(
            os.path.join(golden("diffusion"), "goldens.safetensors"), "input_ids")))
        quiet = [i for i in range(512) if not (i == 107 or 110 <= i <= 204)]
        cls.diffusion = support.make_text_checkpoint(
            os.path.join(cls.folder, "diffusion"), "diffusion", suppress_tokens=quiet,
            max_denoising_steps=4)

    def ids(self, *arguments):
        done = self.command("run", "-m", golden("diffusion"), "--tokens", self.prompt, "--json",
                            *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_blocks_follow_each_other_and_the_limit_cuts(self):
        long = self.ids("--seed", "3", "-n", "40", "--ignore-eos")
        self.assertEqual(len(long["token_ids"]), 40)
        self.assertEqual(long["finish_reason"], "length")
        self.assertEqual(long["usage"]["completion_tokens"], 40)
        self.assertGreaterEqual(long["timings"]["denoising_steps"], 3)
        short = self.ids("--seed", "3", "-n", "10", "--ignore-eos")
        self.assertEqual(short["token_ids"], long["token_ids"][:10])
        other = self.ids("--seed", "4", "-n", "10", "--ignore-eos")
        self.assertNotEqual(other["token_ids"], short["token_ids"])
        greedy = [self.ids("--seed", "3", "--temp", "0", "-n", "10")["token_ids"]
                  for _ in range(2)]
        self.assertEqual(*greedy)

    def test_both_devices_run_it(self):
        for device in ("reference", "cpu"):
            answer = self.ids("--device", device, "-n", "16", "--kv-cache-dtype", "f32",
                              "--exact-activations", "--ignore-eos")
            self.assertEqual(len(answer["token_ids"]), 16)

    def test_text_stats_and_events(self):
        done = self.command("run", "-m", self.diffusion, "-n", "24", "--stats", "hello")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"denoising steps", done.stderr)
        self.assertTrue(done.stdout.endswith(b"\n"))
        self.assertGreater(len(done.stdout.strip()), 0)
        done = self.command("run", "-m", self.diffusion, "-n", "24", "--jsonl", "hello")
        kinds = [json.loads(line)["type"] for line in done.stdout.splitlines()]
        self.assertEqual(kinds[-2:], ["stats", "end"])
        self.assertIn("text", kinds)

    def test_batch(self):
        lines = [{"id": i, "tokens": [2, 105, 130 + i], "seed": i, "max_tokens": 20 + i}
                 for i in range(3)]
        lines.append({"id": 3, "tokens": [2], "temperature": 0.7})
        lines.append({"id": 4, "tokens": [2], "json_schema": {"type": "object"}})
        path = self.write("batch.jsonl", "\n".join(map(json.dumps, lines)))
        done = self.command("run", "-m", self.diffusion, "--ignore-eos", "--batch", path)
        self.assertEqual(done.returncode, 4, done.stderr)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([len(a["token_ids"]) for a in answers[:3]], [20, 21, 22])
        self.assertEqual([a["error"]["code"] for a in answers[3:]], [2, 2])

    def test_a_chat_goes_on(self):
        done = self.command("chat", "-m", self.diffusion, "-n", "20", "--seed", "1",
                            stdin=b"hello\nand then\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreater(len(done.stdout), 2)

    def test_flags_that_cannot_take_effect(self):
        for flags in (("--temperature", "0.7"), ("--top-k", "5"), ("--top-p", "0.9"),
                      ("--min-p", "0.1"), ("--repetition-penalty", "1.1"),
                      ("--presence-penalty", "1"), ("--json-object",),
                      ("--json", "--logprobs", "1"), ("--json", "--prompt-logprobs", "1"),
                      ("--show-denoising",), ("--model-option", "diffusion_sliding_context=11"),
                      ("--model-option", "nothing=1")):
            with self.subTest(flags=flags):
                self.assert_fails(2, "run", "-m", self.diffusion, *flags, "hello")
        self.assert_fails(2, "chat", "-m", self.diffusion, "--top-k", "3")
        self.assert_fails(2, "run", "-m", self.model, "--show-denoising", "hello",
                          says="does not denoise")
        self.assert_fails(2, "run", "-m", self.model, "--model-option",
                          "diffusion_sliding_context=9", "hello")
        self.assert_fails(2, "bench", "-m", self.diffusion, "--anyway", "-q", "--draft", "ngram",
                          says="whole blocks")

    def test_the_sliding_context_is_a_model_option(self):
        plain = self.ids("--seed", "3", "-n", "16")
        same = self.ids("--seed", "3", "-n", "16", "--model-option", "diffusion_sliding_context=9")
        other = self.ids("--seed", "3", "-n", "16", "--model-option",
                         "diffusion_sliding_context=10")
        self.assertEqual(plain["token_ids"], same["token_ids"])
        self.assertNotEqual(plain["token_ids"], other["token_ids"])

    def test_a_benchmark_counts_blocks(self):
        # The reference's limits are measured fastest.
        flags = ("bench", "-m", self.diffusion, "--device", "reference", "--anyway", "-q",
                 "--warmup", "0", "--reps", "1", "--workload", "20/40", "--format")
        done = self.command(*flags, "json", "--batch", "1,2", "--depth", "0,15")
        self.assertEqual(done.returncode, 0, done.stderr)
        cells = json.loads(done.stdout)["cells"]
        self.assertEqual([(c["batch"], c["depth"]) for c in cells],
                         [(1, 0), (2, 0), (1, 15), (2, 15)])
        for cell in cells:
            self.assertEqual(len(cell["ttft_ms"]["values"]), cell["batch"])
            steps = cell["steps_per_block"]["values"]
            self.assertEqual(len(steps), 3 * cell["batch"])  # canvases of 16
            self.assertTrue(all(1 <= count <= 4 for count in steps), steps)
            for field in ("prefill_tokens_per_second", "decode_tokens_per_second"):
                self.assertGreater(cell[field]["median"], 0)
            for field in ("tpot_ms", "itl_ms", "bytes_per_token", "share_of_matmul"):
                self.assertEqual(cell[field]["values"], [])
        done = self.command(*flags, "markdown")
        self.assertIn(b"- blocks 20/40 x1 at 0: the first after ", done.stdout)
        self.assertRegex(done.stdout, rb"ms, \d+\.\d steps a block")
        self.assertNotIn(b"roofline", done.stdout)

    def test_the_plan_of_the_published_model(self):
        done = self.command("bench", "--dummy", "diffusiongemma-26b-a4b", "--plan", "--format",
                            "json", "--workload", "1000/1000")
        self.assertEqual(done.returncode, 0, done.stderr)
        plan = json.loads(done.stdout)
        self.assertGreater(plan["weights"], 50e9)
        self.assertLess(plan["weights"], 51e9)  # 25.2 billion weights, without the tower
        self.assertLess(plan["scratch"], 400 << 20)

    def test_the_canvas_is_drawn_on_a_terminal_and_leaves_the_answer(self):
        arguments = ["run", "-m", self.diffusion, "--seed", "2", "-n", "24", "hello"]
        plain = self.command(*arguments).stdout.decode().rstrip("\n")
        terminal = Terminal([*arguments, "--show-denoising"], self.env)
        self.addCleanup(terminal.close)
        self.assertEqual(terminal.wait(), 0)
        seen = terminal.seen
        self.assertIn("\033[2m", seen)
        self.assertGreaterEqual(seen.count("\0337"), 2 * 2)  # two blocks, several steps
        self.assertEqual(seen.count("\0337"), seen.count("\0338"))
        self.assertEqual(screen_text(seen).rstrip("\n"), plain)


def screen_text(stream):
    """What stays on the screen: of the drawn canvases nothing."""
    kept = ""
    at = 0
    while at < len(stream):
        if stream.startswith("\0337", at):  # the canvas, until the cursor is restored
            at = stream.index("\0338", at) + 2
        elif stream.startswith("\033D", at):
            at += 2
        elif stream.startswith("\033[", at):
            at += 2
            while not stream[at].isalpha():
                at += 1
            at += 1
        else:
            kept += stream[at]
            at += 1
    return kept.replace("\r\n", "\n").replace("\r", "")


if __name__ == "__main__":
    unittest.main()
