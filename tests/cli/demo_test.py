"""The demo model: real answers, from the program as it is installed."""

import json
import math
import re
import shutil
import struct
import subprocess
import unittest
import zlib

from support import CliTest

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Get the weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}},
                   "required": ["city"]}}}
TIMER = {"type": "function", "function": {
    "name": "set_timer", "description": "Set a timer.",
    "parameters": {"type": "object", "properties": {"minutes": {"type": "integer"}},
                   "required": ["minutes"]}}}


def png(width, height, colour_at):
    """A picture file from a function of x and y."""
    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data +
                struct.pack(">I", zlib.crc32(kind + data)))

    rows = b"".join(b"\0" + b"".join(bytes(colour_at(x, y)) for x in range(width))
                    for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" +
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def red_circle_and_blue_square(x, y):
    """384 x 384: a circle in the middle, a square at the bottom right."""
    if math.hypot(x - 192, y - 192) < 50:
        return 255, 0, 0
    if abs(x - 320) < 42 and abs(y - 320) < 42:
        return 0, 0, 255
    return 255, 255, 255


class Demo(CliTest):
    def needs(self, command):
        """Skips where the program was built without a subcommand."""
        if f"\n  {command} " not in self.command("--help").stdout.decode():
            self.skipTest(f"no subcommand {command}")

    def ask(self, *arguments, **options):
        done = self.command("run", "-m", "demo", *arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def ask_json(self, *arguments, **options):
        return json.loads(self.ask("--json", *arguments, **options))

    def test_it_knows_a_few_facts(self):
        self.assertEqual(self.ask("What is the capital of France?"),
                         "The capital of France is Paris.\n")
        self.assertEqual(self.ask("Which month comes after March?"), "April comes after March.\n")

    def test_it_adds_and_subtracts(self):
        for question, answer in (("What is 12 + 7?", "19"), ("What is 9 - 4?", "5"),
                                 ("What is 3 * 4?", "12")):
            with self.subTest(question=question):
                self.assertEqual(self.ask(question), answer + "\n")

    def test_it_follows_the_system_prompt(self):
        self.assertEqual(self.ask("-s", "Answer in capitals.", "What is the capital of Japan?"),
                         "THE CAPITAL OF JAPAN IS TOKYO.\n")
        self.assertEqual(self.ask("-s", "Answer with one word.", "What colour is grass?"),
                         "green\n")
        self.assertEqual(self.ask("-s", "You are Emma.", "Who are you?"), "I am Emma.\n")

    def test_it_thinks_only_when_asked_to(self):
        answer = self.ask_json("--think", "What is 34 + 25?")
        self.assertEqual((answer["text"], answer["reasoning"].strip()),
                         ("59", "Ones 4 + 5 = 9. Tens 3 + 2 = 5."))
        self.assertIsNone(self.ask_json("What is 34 + 25?")["reasoning"])

    def test_it_calls_the_tool_that_fits(self):
        tools = self.write("tools.json", json.dumps([WEATHER, TIMER]))
        for question, name, arguments in (
                ("What is the weather in Paris?", "get_weather", {"city": "Paris"}),
                ("Set a timer for 10 minutes.", "set_timer", {"minutes": 10})):
            with self.subTest(question=question):
                answer = self.ask_json("--tools", tools, question)
                self.assertEqual(answer["finish_reason"], "tool_calls")
                (call,) = answer["tool_calls"]
                call = call.get("function", call)
                given = call["arguments"]
                given = json.loads(given) if isinstance(given, str) else given
                self.assertEqual((call["name"], given), (name, arguments))

    def test_it_reads_a_tool_s_result(self):
        call = {"id": "1", "type": "function",
                "function": {"name": "get_weather", "arguments": {"city": "Rome"}}}
        messages = [{"role": "user", "content": "What is the weather in Rome?"},
                    {"role": "assistant", "tool_calls": [call]},
                    {"role": "tool", "tool_call_id": "1",
                     "content": {"temperature": 21, "weather": "sunny"}}]
        path = self.write("result.json", json.dumps({"messages": messages, "tools": [WEATHER]}))
        self.assertEqual(self.ask("--messages", path), "It is sunny in Rome, 21 degrees.\n")

    def test_it_fills_a_schema(self):
        schema = self.write("person.schema.json", json.dumps({
            "type": "object", "additionalProperties": False, "required": ["name", "age", "city"],
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"},
                           "city": {"type": "string"}}}))
        prompt = "Extract the person as JSON: Anna is 31 years old and lives in Paris."
        wanted = {"name": "Anna", "age": 31, "city": "Paris"}
        self.assertEqual(json.loads(self.ask("--json-schema", schema, prompt)), wanted)
        self.assertEqual(json.loads(self.ask(prompt)), wanted)

    def test_it_remembers_the_turn_before(self):
        done = self.command("chat", "-m", "demo",
                            stdin=b"My name is Anna.\nWhat is my name?\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Your name is Anna.", done.stdout.decode())

    def test_a_batch_keeps_its_order(self):
        batch = self.write("batch.jsonl", "".join(
            json.dumps({"id": word, "prompt": f"What is the opposite of {word}?"}) + "\n"
            for word in ("hot", "big", "day")))
        answers = [json.loads(line) for line in self.ask("--batch", batch).splitlines()]
        self.assertEqual([(a["id"], a["text"]) for a in answers],
                         [("hot", "The opposite of hot is cold."),
                          ("big", "The opposite of big is small."),
                          ("day", "The opposite of day is night.")])

    def test_its_assistant_drafts_well_and_changes_no_answer(self):
        a_round = []
        for arguments in (["Which month comes after March?"], ["What can you do?"],
                          ["Who are you?"], ["How many legs does a spider have?"],
                          ["Extract the person as JSON: Anna is 31 years old and lives in Paris."],
                          ["--think", "What is 34 + 25?"]):
            with self.subTest(arguments=arguments):
                plain = self.ask_json(*arguments)
                done = self.command("run", "-m", "demo", "--json", "--stats", "--draft", "auto",
                                    "--draft-tokens", "4", *arguments)
                errors = done.stderr.decode()
                self.assertEqual(done.returncode, 0, errors)
                drafted = json.loads(done.stdout)
                for key in ("text", "reasoning", "token_ids", "finish_reason"):
                    self.assertEqual(drafted[key], plain[key])
                found = re.search(r"drafts: .* accepted, ([\d.]+) a round", errors)
                self.assertIsNotNone(found, errors)
                a_round.append(float(found[1]))
        # Of four some three stand, and an answer mostly ends before a round does.
        self.assertGreater(sum(a_round) / len(a_round), 1.7)

    def test_quantised_it_still_answers(self):
        small = self.path("demo-int8")
        done = self.command("quantize", "demo", small, "--scheme", "int8")
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.command("run", "-m", small, "What is the capital of Italy?")
        self.assertEqual(done.stdout.decode(), "The capital of Italy is Rome.\n")

    def test_it_describes_a_picture(self):
        self.needs("describe-image")
        picture = self.write("shapes.png", png(384, 384, red_circle_and_blue_square))
        done = self.command("describe-image", "-m", "demo", picture)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("A red circle at the center and a blue square at the bottom right.",
                      done.stdout.decode())

    def test_it_writes_down_speech(self):
        self.needs("transcribe")
        if shutil.which("espeak-ng") is None:
            self.skipTest("no espeak-ng")
        for words, text in (("three seven two", "Three seven two."),
                            ("turn on the light in the kitchen",
                             "Turn on the light in the kitchen.")):
            with self.subTest(words=words):
                path = self.path("speech.wav")
                subprocess.run(["espeak-ng", "-v", "en-us", "-w", path, words], check=True)
                done = self.command("transcribe", "-m", "demo", path)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(text, done.stdout.decode())


if __name__ == "__main__":
    unittest.main()
