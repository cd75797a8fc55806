"""gemma4 run: prompts, answers, files."""

import json
import os
import re
import subprocess
import unittest

import support
from support import CliTest, encode, golden, read_int64


class Tokens(CliTest):
    """Token ids in, token ids out, on a checkpoint without a tokenizer."""

    def golden_case(self, name):
        path = os.path.join(golden(name), "goldens.safetensors")
        prompt = ",".join(map(str, read_int64(path, "input_ids")))
        return prompt, read_int64(path, "greedy_tokens")

    def test_greedy_ids_are_the_golden_ones(self):
        for name in ("text-e", "text-e-causal", "text-31b", "text-moe"):
            for device in ("reference", "cpu"):
                with self.subTest(name=name, device=device):
                    prompt, expected = self.golden_case(name)
                    done = self.command(
                        "run", "-m", golden(name), "--tokens", prompt, "-n", "32", "--temp", "0",
                        "--ignore-eos", "--device", device, "--kv-cache-dtype", "f32",
                        "--exact-activations")
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertEqual(done.stdout.decode(), ",".join(map(str, expected)) + "\n")

    def test_json_has_ids_and_no_text(self):
        prompt, expected = self.golden_case("text-e")
        done = self.command("run", "-m", golden("text-e"), "--tokens", prompt, "-n", "8",
                            "--temp", "0", "--ignore-eos", "--json")
        answer = json.loads(done.stdout)
        self.assertIsNone(answer["text"])
        self.assertEqual(answer["token_ids"], expected[:8])
        self.assertEqual(answer["finish_reason"], "length")

    def test_ids_may_come_from_a_file_or_a_json_array(self):
        listed = self.write("ids.json", "[2, 105, 130]")
        spaced = self.write("ids.txt", "2 105\n130\n")
        outputs = {self.command("run", "-m", golden("text-e"), "--tokens", tokens, "-n", "4",
                                "--temp", "0").stdout
                   for tokens in ("2,105,130", "@" + listed, "@" + spaced)}
        self.assertEqual(len(outputs), 1)
        self.assertNotEqual(outputs, {b""})

    def test_text_on_a_checkpoint_without_tokenizer_is_refused(self):
        self.assert_fails(3, "run", "-m", golden("text-e"), "hello", says="--tokens")

    def test_ids_out_of_range_are_refused(self):
        self.assert_fails(4, "run", "-m", golden("text-e"), "--tokens", "2,512", says="512")
        self.assert_fails(4, "run", "-m", golden("text-e"), "--tokens", "2,x", says="x")


class Prompts(CliTest):
    def prompt(self, *arguments, **options):
        done = self.command("run", "-m", self.model, "--print-prompt", "--json", *arguments,
                            **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def user_text(self, *arguments, **options):
        text = self.prompt(*arguments, **options)["prompt_text"]
        return text.split("<|turn>user\n")[1].split("<turn|>")[0]

    def test_stdin_files_and_words_are_joined_by_blank_lines(self):
        one, two = self.write("one.txt", "file one\n"), self.write("two.txt", "file two")
        self.assertEqual(
            self.user_text("-f", one, "-f", two, "do", "this", stdin=b"piped\n"),
            "piped\n\nfile one\n\nfile two\n\ndo this")

    def test_a_dash_names_stdin(self):
        self.assertEqual(self.user_text("-", "after", stdin=b"piped"), "piped\n\nafter")
        self.assertEqual(self.user_text("-p", "-", stdin=b"piped"), "piped")
        one = self.write("one.txt", "file one")
        self.assertEqual(self.user_text("-f", one, "-f", "-", "x", stdin=b"piped"),
                         "file one\n\npiped\n\nx")
        self.assert_fails(2, "run", "-m", self.model, "-f", "-", "-", says="twice", stdin=b"x")

    def test_no_stdin_is_no_part_of_the_prompt(self):
        self.assertEqual(self.user_text("just this", stdin=subprocess.DEVNULL), "just this")
        self.assertEqual(self.user_text("just this", stdin=b""), "just this")
        closed = subprocess.run(
            ["sh", "-c", f'"{support.BINARY}" run -m "{self.model}" --print-prompt x <&-'],
            env=self.env, capture_output=True, check=False)
        self.assertEqual(closed.returncode, 0, closed.stderr)

    def test_a_word_in_brackets_stays_whole(self):
        self.assertEqual(self.user_text("[1,2]"), "[1,2]")
        self.assertEqual(self.user_text("-p", "[a, b]"), "[a, b]")
        self.assertEqual(self.user_text("run", "chat"), "run chat")
        self.assertEqual(self.user_text("--", "--json"), "--json")

    def test_an_empty_prompt_is_a_usage_error(self):
        self.assert_fails(2, "run", "-m", self.model, "")
        self.assert_fails(2, "run", "-m", self.model, "-p", " \n")
        self.assert_fails(2, "run", "-m", self.model, stdin=b"\n")
        self.assert_fails(2, "run", "-m", self.model, stdin=subprocess.DEVNULL)

    def test_system_text_may_come_from_a_file(self):
        path = self.write("system.txt", "Be brief.\n")
        for value in ("Be brief.", "@" + path):
            text = self.prompt("-s", value, "hi")["prompt_text"]
            self.assertIn("<|turn>system\nBe brief.<turn|>", text)

    def test_thinking_is_asked_for_in_the_system_turn(self):
        self.assertIn("<|think|>", self.prompt("--think", "hi")["prompt_text"])
        self.assertNotIn("<|think|>", self.prompt("--think", "--no-think", "hi")["prompt_text"])

    def test_ids_are_those_of_the_text(self):
        prompt = self.prompt("hi")
        self.assertEqual(prompt["media"], [])
        self.assertEqual(prompt["prompt_token_ids"],
                         [2, 105, *encode("user\nhi"), 106, 107, 105, *encode("model\n")])

    def test_text_that_spells_control_tokens_stays_text(self):
        ids = self.prompt("<turn|><|turn>system")["prompt_token_ids"]
        self.assertEqual(ids.count(105), 2)
        ids = self.prompt("--raw", "<turn|>")["prompt_token_ids"]
        self.assertEqual(ids, [2, *encode("<turn|>")])

    def test_plain_print_prompt_ends_with_ids_that_tokens_takes(self):
        text = self.run_ok("--print-prompt", "hi")
        again = self.run_ok("--print-prompt", "--tokens", text.splitlines()[-1])
        self.assertEqual(again, text)

    def test_print_prompt_loads_no_weights(self):
        bare = support.make_text_checkpoint(self.path("bare"))
        os.remove(os.path.join(bare, "model.safetensors"))
        done = self.command("run", "-m", bare, "--print-prompt", "hi")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_fails(3, "run", "-m", bare, "hi")

    def test_invalid_utf8_is_replaced_with_one_warning(self):
        done = self.command("run", "-m", self.model, "--print-prompt", stdin=b"a\xffb\xfe")
        self.assertIn("a\ufffdb\ufffd", done.stdout.decode())
        self.assertEqual(done.stderr.count(b"warning"), 1)
        quiet = self.command("run", "-q", "-m", self.model, "--print-prompt", stdin=b"a\xffb")
        self.assertEqual(quiet.stderr, b"")

    def test_messages_with_tools(self):
        tool = {"type": "function", "function": {
            "name": "ping", "description": "Check.", "parameters": {"properties": {}}}}
        messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
        both = self.write("both.json", json.dumps({"messages": messages, "tools": [tool]}))
        text = self.prompt("--messages", both)["prompt_text"]
        self.assertIn("declaration:ping", text)
        self.assertNotIn("declaration", self.prompt("--messages", both, "--tool-choice",
                                                    "none")["prompt_text"])
        plain = json.dumps(messages).encode()
        tools = self.write("tools.json", json.dumps([tool]))
        self.assertEqual(self.prompt("--messages", "-", "--tools", tools,
                                     stdin=plain)["prompt_text"], text)

    def test_bad_messages_are_input_errors(self):
        for content in ("{", "[{}]", "3", '[{"role": 1}]', b'[{"role":"user","content":"\xff"}]'):
            with self.subTest(content=content):
                path = self.write("bad.json", content)
                self.assert_fails(4, "run", "-m", self.model, "--messages", path)
        self.assert_fails(2, "run", "-m", self.model, "--messages", self.write("no.json", "[]"))

    def test_another_template_may_be_given(self):
        template = self.write("t.jinja", "{{ bos_token }}{{ messages[0]['content'] }}!")
        self.assertEqual(self.prompt("--chat-template", template, "hi")["prompt_text"], "<bos>hi!")

    def test_a_prompt_longer_than_the_context_names_the_counts(self):
        self.assert_fails(4, "run", "-m", self.model, "-c", "8", "long prompt", says="context 8")


class Answers(CliTest):
    def test_the_answer_ends_in_exactly_one_newline(self):
        text = self.run_ok("hello")
        self.assertTrue(text.endswith("\n") and not text.endswith("\n\n"), repr(text))
        self.assertGreater(len(text), 1)
        self.assertEqual(self.run_ok("-n", "0", "hello"), "\n")

    def test_json_is_one_object_with_the_documented_keys(self):
        answer = json.loads(self.run_ok("--json", "hello"))
        self.assertEqual(list(answer), ["model", "text", "reasoning", "tool_calls", "token_ids",
                                        "finish_reason", "usage", "timings", "seed"])
        self.assertEqual(list(answer["usage"]), ["prompt_tokens", "cached_tokens", "media_tokens",
                                                 "completion_tokens", "reasoning_tokens"])
        self.assertEqual(list(answer["timings"]),
                         ["load_ms", "ttft_ms", "prompt_tokens_per_second", "tokens_per_second",
                          "draft_acceptance"])
        self.assertEqual(answer["model"], self.model)
        self.assertEqual(answer["finish_reason"], "length")
        self.assertEqual(len(answer["token_ids"]), 12)
        self.assertEqual(answer["usage"]["completion_tokens"], 12)
        self.assertEqual(support.decode(answer["token_ids"]), answer["text"])
        self.assertEqual(self.run_ok("hello").strip("\n"), answer["text"].strip("\n"))

    def test_jsonl_events_add_up_to_the_json_object(self):
        events = [json.loads(line) for line in self.run_ok("--jsonl", "hello").splitlines()]
        answer = json.loads(self.run_ok("--json", "hello"))
        self.assertEqual([e["type"] for e in events[-2:]], ["stats", "end"])
        text = "".join(e["text"] for e in events if e["type"] == "text")
        self.assertEqual(text, answer["text"])
        self.assertEqual(events[-1]["token_ids"], answer["token_ids"])
        self.assertEqual(events[-1]["finish_reason"], "length")

    def test_a_seed_makes_a_sampled_answer_repeatable(self):
        sampled = ["--temp", "1.5", "--top-k", "0", "--top-p", "1", "--json", "hello"]
        first = json.loads(self.run_ok(*sampled))
        again = json.loads(self.run_ok("--seed", str(first["seed"]), *sampled))
        other = json.loads(self.run_ok("--seed", "1", *sampled))
        self.assertEqual(first["token_ids"], again["token_ids"])
        self.assertEqual(first["seed"], again["seed"])
        self.assertNotEqual(first["token_ids"], other["token_ids"])

    def test_a_stop_text_ends_the_answer_before_it(self):
        whole = self.run_ok("-n", "30", "hello").rstrip("\n")
        stop = whole[4:7]
        answer = json.loads(self.run_ok("-n", "30", "--stop", "never there", "--stop", stop,
                                        "--json", "hello"))
        self.assertEqual(answer["text"], whole[:whole.index(stop)])
        self.assertEqual(answer["finish_reason"], "stop")

    def test_logprobs_of_prompt_and_answer(self):
        answer = json.loads(self.run_ok("-n", "3", "--logprobs", "2", "--prompt-logprobs", "1",
                                        "--json", "hi"))
        self.assertEqual(len(answer["logprobs"]), 3)
        self.assertEqual([entry["id"] for entry in answer["logprobs"]], answer["token_ids"])
        self.assertEqual(len(answer["logprobs"][0]["top"]), 2)
        self.assertEqual(len(answer["prompt_logprobs"]), answer["usage"]["prompt_tokens"])
        self.assertIsNone(answer["prompt_logprobs"][0])
        second = answer["prompt_logprobs"][1]
        self.assertEqual((second["id"], second["token"]), (105, "<|turn>"))
        self.assertLess(second["logprob"], 0)

    def test_a_prompt_can_be_scored_without_an_answer(self):
        answer = json.loads(self.run_ok("-n", "0", "--prompt-logprobs", "0", "--json", "hi"))
        self.assertEqual(answer["token_ids"], [])
        self.assertEqual(len(answer["prompt_logprobs"]), answer["usage"]["prompt_tokens"])
        self.assertEqual(answer["finish_reason"], "length")

    def test_output_file(self):
        self.assertEqual(self.run_ok("-o", self.path("answer.txt"), "hello"), "")
        self.assertEqual(self.read("answer.txt"), self.run_ok("hello"))
        self.assertEqual(self.run_ok("-o", "/dev/stdout", "hello"), self.run_ok("hello"))
        leftovers = [name for name in os.listdir(self.folder) if name.endswith(".tmp")]
        self.assertEqual(leftovers, [])
        self.assert_fails(5, "run", "-m", self.model, "-o", "/nowhere/x", "hello")
        self.assert_fails(5, "run", "-m", self.model, "-o", self.folder, "hello")

    def test_extract_without_a_fence_is_an_unusable_answer(self):
        self.assert_fails(6, "run", "-m", self.model, "--temp", "0", "-n", "4", "-x", "hello")

    def test_extract_prints_the_first_fenced_block(self):
        # A model that can say nothing but `, a and newline meets a fence now and then.
        stutter = support.make_text_checkpoint(
            self.path("stutter"), suppress_tokens=[i for i in range(512) if i not in
                                                   (107, 175, *encode("`"))])
        arguments = ("run", "-m", stutter, "--temp", "20", "-n", "200", "hello")
        fences = 0
        for seed in map(str, range(8)):
            text = json.loads(self.command(*arguments, "--seed", seed, "--json").stdout)["text"]
            opening = re.search("^(```+)[^`\n]*\n", text + "\n", re.MULTILINE)
            done = self.command(*arguments, "--seed", seed, "-x")
            if not opening:
                self.assertEqual((done.returncode, done.stdout), (6, b""))
                continue
            fences += 1
            rest = (text + "\n")[opening.end():] if not text.endswith("\n") else (
                text[opening.end():])
            closing = re.search(f"^{opening[1]}`*$", rest, re.MULTILINE)
            self.assertEqual(done.stdout.decode(), rest[:closing.start()] if closing else rest)
        self.assertGreater(fences, 2)

    def test_reasoning_is_hidden_shown_or_sent_to_stderr(self):
        # A model that can say only a, newline and the channel markers.
        thinker = support.make_text_checkpoint(
            self.path("thinker"), suppress_tokens=[i for i in range(512) if i not in
                                                   (100, 101, 107, 175)])
        arguments = ("run", "-m", thinker, "--temp", "20", "-n", "60", "--think", "hello")
        seen = 0
        for seed in map(str, range(8)):
            events = [json.loads(line) for line in self.command(
                *arguments, "--seed", seed, "--jsonl").stdout.splitlines()]
            content = "".join(e["text"] for e in events if e["type"] == "text").rstrip("\n")
            reasoning = "".join(e["text"] for e in events if e["type"] == "reasoning")
            seen += bool(reasoning and content)
            hidden = self.command(*arguments, "--seed", seed)
            self.assertEqual((hidden.stdout.decode(), hidden.stderr), (content + "\n", b""))
            apart = self.command(*arguments, "--seed", seed, "--thinking", "stderr")
            self.assertEqual(apart.stdout, hidden.stdout)
            self.assertEqual(apart.stderr.count(b"a"), reasoning.count("a"))
            shown = self.command(*arguments, "--seed", seed, "--thinking", "show").stdout
            self.assertEqual(b"[thinking]" in shown, bool(reasoning))
            dim = self.command(*arguments, "--seed", seed, "--thinking", "show", "--color",
                               "always").stdout
            self.assertEqual(b"\033[2m" in dim, bool(reasoning))
        self.assertGreater(seen, 2)

    def test_stats_go_to_stderr(self):
        done = self.command("run", "-m", self.model, "-n", "4", "--stats", "hello")
        for line in (b"load:", b"prompt:", b"reply:", b"memory:"):
            self.assertIn(line, done.stderr)

    def test_a_pipe_gets_no_colour_and_no_progress(self):
        done = self.command("run", "-m", self.model, "-n", "4", "hello")
        self.assertNotIn(b"\033", done.stdout + done.stderr)
        self.assertEqual(done.stderr, b"")

    def test_the_plan_adds_up(self):
        plan = json.loads(self.run_ok("--plan", "--json", "hello"))
        self.assertEqual(list(plan), ["weights", "kv_full", "kv_ring", "scratch", "media", "total",
                                      "available"])
        self.assertEqual(plan["total"], sum(list(plan.values())[:5]))
        without_prompt = json.loads(self.run_ok("--plan", "--json"))
        self.assertGreaterEqual(without_prompt["kv_full"], plan["kv_full"])


if __name__ == "__main__":
    unittest.main()
