"""Tools: forced calls, arguments that fit, programs that answer them."""

import json
import os
import shutil
import stat
import time
import unittest

from support import CliTest

WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "Today's weather.",
    "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "maxLength": 3},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
        "unit": {"enum": ["celsius", "kelvin"]}},
        "required": ["city", "days", "unit"]}}}
PING = {"type": "function", "function": {"name": "ping", "description": "Answers."}}


class Tools(CliTest):
    def setUp(self):
        super().setUp()
        self.allow_calls()
        self.tools = self.write("tools.json", json.dumps([WEATHER, PING]))
        self.programs = self.path("programs")
        shutil.rmtree(self.programs, ignore_errors=True)
        os.makedirs(self.programs)
        self.program("weather", "cat > '%s'; echo '{\"sky\": \"clear\"}'" % self.path("arguments"))
        self.program("ping", "echo pong")

    def allow_calls(self):
        """The test checkpoint's generation config suppresses all control tokens."""
        path = os.path.join(self.model, "generation_config.json")
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        calls = {48, 49, 50, 52, 106}
        config["suppress_tokens"] = [i for i in config["suppress_tokens"] if i not in calls]
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)

    def program(self, name, text):
        path = os.path.join(self.programs, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n" + text + "\n")
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)

    def call(self, choice, *arguments, seed=1):
        return json.loads(self.run_ok("--tools", self.tools, "--tool-choice", choice, "--json",
                                      "--seed", str(seed), "-n", "120", *arguments, "hello"))

    def execute(self, *arguments, name="ping"):
        """The result that the model was given."""
        answer = self.call(name, "--exec-tools", self.programs, "--yes", *arguments)
        self.assertGreaterEqual(len(answer["tool_results"]), 1)
        return answer["tool_results"][0]

    def test_a_named_tool_is_called_with_arguments_that_fit(self):
        for seed in range(5):
            answer = self.call("weather", "--temp", "1.5", seed=seed)
            self.assertEqual(answer["finish_reason"], "tool_calls")
            self.assertEqual(len(answer["tool_calls"]), 1)
            function = answer["tool_calls"][0]["function"]
            self.assertEqual(function["name"], "weather")
            arguments = function["arguments"]
            self.assertEqual(sorted(arguments), ["city", "days", "unit"])
            self.assertLessEqual(len(arguments["city"]), 3)
            self.assertIn(arguments["days"], range(1, 10))
            self.assertIn(arguments["unit"], ["celsius", "kelvin"])

    def test_required_is_at_least_one_call_of_any_tool(self):
        names = set()
        for seed in range(6):
            answer = self.call("required", "--temp", "2", seed=seed)
            names.update(call["function"]["name"] for call in answer["tool_calls"])
            self.assertTrue(answer["tool_calls"])
            self.assertFalse(answer["text"])
        self.assertLessEqual(names, {"weather", "ping"})

    def test_a_call_that_was_cut_is_no_answer(self):
        done = self.command("run", "-m", self.model, "--tools", self.tools, "--tool-choice",
                            "weather", "--json", "-n", "4", "hello")
        self.assertEqual(done.returncode, 6, done.stderr)
        answer = json.loads(done.stdout)
        self.assertFalse(answer["complete"])
        self.assertEqual(answer["finish_reason"], "length")

    def test_batches_take_the_choice_too(self):
        batch = self.write("batch.jsonl", json.dumps({"prompt": "a"}) + "\n" +
                           json.dumps({"prompt": "b", "tools": [PING]}) + "\n")
        lines = self.run_ok("--batch", batch, "--tools", self.tools, "--tool-choice", "ping",
                            "-n", "60").splitlines()
        for line in lines:
            self.assertEqual(json.loads(line)["tool_calls"][0]["function"]["name"], "ping")

    def test_what_cannot_be_is_refused(self):
        self.assert_fails(2, "run", "-m", self.model, "--tools", self.tools, "--tool-choice",
                          "weather2", "hello", says="weather2")
        bad = self.write("bad.json", json.dumps([{"type": "function", "function": {
            "name": "f", "parameters": {"type": "object", "properties": {
                "a": {"type": "array", "uniqueItems": True}}}}}]))
        self.assert_fails(2, "run", "-m", self.model, "--tools", bad, "hello",
                          says="/properties/a")
        self.assert_fails(2, "run", "-m", self.model, "--tool-choice", "required", "hello",
                          says="--tools")
        self.assert_fails(2, "run", "-m", self.model, "--tools", self.tools, "--exec-tools",
                          self.programs, "hello", says="--yes")
        self.assert_fails(2, "run", "-m", self.model, "--yes", "hello", says="--exec-tools")
        self.assert_fails(2, "run", "-m", self.model, "--tools", self.tools, "--yes",
                          "--exec-tools", self.path("nowhere"), "hello", says="nowhere")
        os.remove(os.path.join(self.programs, "ping"))
        self.assert_fails(2, "run", "-m", self.model, "--tools", self.tools, "--yes",
                          "--exec-tools", self.programs, "hello", says="ping")

    def test_a_program_gets_the_arguments_and_its_result_goes_back(self):
        result = self.execute(name="weather")
        self.assertEqual(result["result"], {"sky": "clear"})
        self.assertEqual(json.loads(self.read("arguments")), result["arguments"])

    def test_the_results_are_in_the_next_prompt(self):
        done = self.command("run", "-m", self.model, "--tools", self.tools, "--tool-choice",
                            "ping", "--exec-tools", self.programs, "--yes", "--jsonl", "-n", "60",
                            "hello")
        # What a random model says after the result may be a call that is cut: 6.
        self.assertIn(done.returncode, (0, 6), done.stderr)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        kinds = [event["type"] for event in events]
        self.assertIn("tool_result", kinds)
        self.assertLess(kinds.index("tool_call"), kinds.index("tool_result"))
        self.assertEqual(events[kinds.index("tool_result")]["result"], "pong")
        self.assertIn(b"tool: ", done.stderr)
        self.assertEqual(kinds[-1], "end")

    def test_failures_are_told_to_the_model(self):
        self.program("ping", "echo half; exit 3")
        self.assertEqual(self.execute()["result"], {"error": "exit code 3", "output": "half"})
        self.program("ping", "kill -9 $$")
        self.assertEqual(self.execute()["result"]["error"], "ended by signal 9")
        self.program("ping", "yes")
        self.assertIn("1 MiB", self.execute()["result"]["error"])
        started = time.monotonic()
        self.program("ping", "sleep 30 & wait")
        self.assertIn("within 0.3", self.execute("--tool-timeout", "0.3")["result"]["error"])
        self.assertLess(time.monotonic() - started, 25)

    def test_nothing_outside_of_the_folder_is_run(self):
        outside = self.write("outside.sh", "#!/bin/sh\necho ran\n")
        os.chmod(outside, 0o755)
        os.remove(os.path.join(self.programs, "ping"))
        os.symlink(outside, os.path.join(self.programs, "ping"))
        self.assert_fails(2, "run", "-m", self.model, "--tools", self.tools, "--yes",
                          "--exec-tools", self.programs, "hello", says="ping")
        hidden = self.write("up.json", json.dumps([{"type": "function", "function": {
            "name": "../outside.sh"}}]))
        self.assert_fails(2, "run", "-m", self.model, "--tools", hidden, "--yes",
                          "--exec-tools", self.programs, "hello", says="outside.sh")

    def test_arguments_never_meet_a_shell(self):
        self.program("weather", "cat")
        result = self.execute(name="weather")
        self.assertEqual(result["result"], result["arguments"])

    def test_chat_runs_tools_and_keeps_them_in_the_conversation(self):
        saved = self.path("talk.jsonl")
        done = self.command("chat", "-q", "-m", self.model, "--temp", "0", "-n", "60", "--tools",
                            self.tools, "--tool-choice", "ping", "--exec-tools", self.programs,
                            "--yes", "--save", saved, stdin=b"hello\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        messages = [json.loads(line) for line in self.read("talk.jsonl").splitlines()]
        self.assertEqual([m["role"] for m in messages[:3]], ["user", "assistant", "tool"])
        self.assertEqual(messages[1]["tool_calls"][0]["function"]["name"], "ping")
        self.assertEqual(messages[2]["content"], "pong")
        self.assertEqual(messages[-1]["role"], "assistant")


if __name__ == "__main__":
    unittest.main()
