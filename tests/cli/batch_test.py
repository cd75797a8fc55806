"""gemma4 run --batch."""

import json
import unittest

from support import CliTest


class Batch(CliTest):
    def batch(self, requests, *arguments, code=0, **options):
        lines = [r if isinstance(r, str) else json.dumps(r) for r in requests]
        path = self.write("requests.jsonl", "\n".join(lines) + "\n")
        done = self.command("run", "-m", self.model, "--temp", "0", "-n", "8", "--batch", path,
                            *arguments, **options)
        self.assertEqual(done.returncode, code, done.stderr)
        return [json.loads(line) for line in done.stdout.decode().splitlines()]

    def test_answers_are_those_of_single_runs_in_input_order(self):
        prompts = ["x" * (1 + 7 * i % 40) + str(i) for i in range(20)]
        requests = [{"id": i, "prompt": prompt, "max_tokens": 3 + i % 5}
                    for i, prompt in enumerate(prompts)]
        answers = self.batch(requests)
        self.assertEqual([answer["id"] for answer in answers], list(range(20)))
        for i in (0, 1, 7, 19):
            single = json.loads(self.run_ok("-n", str(3 + i % 5), "--json", prompts[i]))
            self.assertEqual(answers[i]["token_ids"], single["token_ids"])
            self.assertEqual(list(answers[i]), ["id", *single])

    def test_prompts_messages_and_tokens_may_be_mixed(self):
        messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "hello"}]
        answers = self.batch([
            {"id": "a", "prompt": "hello", "system": "S"}, {"id": "b", "messages": messages},
            {"id": "c", "tokens": [2, 105, 130]}, {"prompt": "no id"}])
        self.assertEqual([a["id"] for a in answers], ["a", "b", "c", None])
        self.assertEqual(answers[0]["token_ids"], answers[1]["token_ids"])
        self.assertEqual(answers[2]["usage"]["prompt_tokens"], 3)

    def test_a_bad_line_does_not_stop_the_rest(self):
        bad = ["{", "[]", {"id": 7}, {"id": 8, "prompt": ""}, {"prompt": "x", "frobnicate": 1},
               {"prompt": "x", "tokens": [1]}, {"tokens": [9999]}, {"prompt": "x", "seed": -1},
               {"prompt": "x", "max_tokens": "many"}, {"prompt": "x", "temperature": "hot"},
               {"messages": [{"content": "no role"}]}, {"prompt": 3}, {"prompt": "x" * 5000},
               {"prompt": "x", "image": 3}]
        answers = self.batch([{"id": "first", "prompt": "hello"}, *bad,
                              {"id": "last", "prompt": "hello"}], code=4)
        self.assertEqual(len(answers), len(bad) + 2)
        for answer in answers[1:-1]:
            self.assertEqual(list(answer), ["id", "error"])
            self.assertIn(answer["error"]["code"], (2, 4))
            self.assertNotEqual(answer["error"]["message"], "")
        self.assertEqual(answers[3]["id"], 7)
        self.assertEqual(answers[0]["token_ids"], answers[-1]["token_ids"])

    def test_a_batch_of_bad_lines_only_fails_without_loading(self):
        self.assertEqual(len(self.batch(["{"], code=4)), 1)
        self.assert_fails(2, "run", "-m", self.model, "--batch", self.write("none.jsonl", "\n\n"))

    def test_a_batch_may_come_from_stdin(self):
        done = self.command("run", "-m", self.model, "-n", "2", "--batch", "-",
                            stdin=b'{"id":1,"prompt":"hello"}')
        self.assertEqual(json.loads(done.stdout)["id"], 1)

    def test_a_seed_per_line_is_kept_and_reported(self):
        answers = self.batch([{"prompt": "hello", "temperature": 1.5, "seed": seed}
                              for seed in (5, 5, 6)])
        self.assertEqual([a["seed"] for a in answers], [5, 5, 6])
        self.assertEqual(answers[0]["token_ids"], answers[1]["token_ids"])

    def test_the_output_file_holds_all_lines(self):
        self.assertEqual(self.batch([{"prompt": "a"}, {"prompt": "b"}], "-o",
                                    self.path("answers.jsonl")), [])
        self.assertEqual(len(self.read("answers.jsonl").splitlines()), 2)


if __name__ == "__main__":
    unittest.main()
