"""Help, version, and flags that are refused."""

import os
import unittest

import support
from support import CliTest


class Help(CliTest):
    def test_every_help_page_ends_with_examples_and_exit_codes(self):
        for command in ((), ("run",), ("chat",), ("pull",), ("bench",)):
            with self.subTest(command=command):
                done = self.command(*command, "--help")
                page = done.stdout.decode()
                self.assertEqual((done.returncode, done.stderr), (0, b""))
                examples = page.split("Examples:\n")[1].split("\n\n")[0].splitlines()
                self.assertIn(len(examples), (3, 4, 5))
                self.assertIn("Exit codes: 0 done", page)
                self.assertLessEqual(max(map(len, page.splitlines())), 110)

    def test_help_shows_the_twins_of_switches(self):
        page = self.command("run", "--help").stdout.decode()
        self.assertIn("--[no-]think", page)
        self.assertIn("-q, --[no-]quiet", page)

    def test_version_names_backends_and_cpu(self):
        text = self.command("--version").stdout.decode()
        self.assertTrue(text.startswith("gemma4 "))
        self.assertIn("backends: ", text)
        self.assertIn("cpu features: ", text)

    def test_help_to_a_full_disk_fails(self):
        with open("/dev/full", "wb") as full:
            done = self.command("--help", stdout=full)
        self.assertEqual(done.returncode, 5)


class Refused(CliTest):
    def test_without_a_subcommand(self):
        done = self.command()
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertIn(b"Usage: gemma4", done.stderr)
        self.assert_fails(2, "frobnicate")

    def test_unknown_flags(self):
        for flag in ("--frobnicate", "--no-frobnicate", "-Z"):
            self.assert_fails(2, "run", flag, "x", "hello", says=flag)

    def test_values_that_make_no_sense(self):
        for flags in (("--temperature", "-1"), ("--temperature", "nan"), ("--top-k", "x"),
                      ("--top-p", "2"), ("-n", "8q"), ("-n", "99999999999999999999"),
                      ("--seed", "-3"), ("--device", "tpu"), ("-c", "0"), ("--color", "red"),
                      ("--thinking", "loud"), ("--stop", ""), ("--kv-cache-dtype", "int3"),
                      ("--draft", "ngram", "--draft-tokens", "9"),
                      ("--draft", "ngram", "--draft-tokens", "0"),
                      ("--draft-tokens", "4"), ("--model-option", "mtp_query_offset=0"),
                      ("--model-option", "mtp_query_offset=1"), ("--model-option", "x")):
            with self.subTest(flags=flags):
                self.assert_fails(2, "run", "-m", self.model, *flags, "hello")

    def test_flags_that_cannot_take_effect_together(self):
        file = self.write("x.txt", "x")
        for flags in (("-p", "a", "b"), ("--tokens", "2", "b"), ("--json", "--jsonl", "b"),
                      ("--raw", "-s", "x", "b"), ("--raw", "--think", "b"), ("-x", "--json", "b"),
                      ("--messages", file, "b"), ("--batch", file, "--json"), ("-q", "-v", "b"),
                      ("--logprobs", "1", "b"), ("--tool-choice", "auto", "b"),
                      ("--json", "--thinking", "show", "b")):
            with self.subTest(flags=flags):
                self.assert_fails(2, "run", "-m", self.model, *flags)

    def test_the_last_of_a_repeated_flag_wins(self):
        self.assertEqual(self.run_ok("-n", "3", "-n", "0", "hello"), "\n")
        self.assertTrue(self.run_ok("-n", "0", "--json", "--no-json", "hello") == "\n")

    def test_counts_take_units(self):
        plain = self.run_ok("--plan", "--json", "-c", "1024", "hello")
        self.assertEqual(plain.split("available")[0],
                         self.run_ok("--plan", "--json", "-c", "1k", "hello").split("available")[0])


class Models(CliTest):
    def test_no_model_is_a_usage_error(self):
        self.assert_fails(2, "run", "hello", says="-m")

    def test_the_model_may_come_from_the_environment(self):
        env = dict(self.env, GEMMA4_MODEL=self.model)
        done = self.command("run", "-n", "1", "hello", env=env)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_models_that_are_not_there(self):
        self.assert_fails(3, "run", "-m", "/nowhere", "hello")
        self.assert_fails(3, "run", "-m", "google/gemma-4-E2B-it", "hello")
        self.assert_fails(3, "run", "-m", self.folder, "hello", says="config.json")

    def test_damaged_checkpoints(self):
        for file, content in (("config.json", "{"), ("tokenizer.json", "{}"),
                              ("generation_config.json", "[]"), ("model.safetensors", "short")):
            with self.subTest(file=file):
                broken = support.make_text_checkpoint(self.path("broken-" + file))
                self.write(os.path.join("broken-" + file, file), content)
                self.assert_fails(3, "run", "-m", broken, "hello", says=file)


class Inputs(CliTest):
    def test_files_that_cannot_be_read(self):
        for flag in ("-f", "--messages", "--tools", "--batch"):
            with self.subTest(flag=flag):
                words = [] if flag in ("--messages", "--batch") else ["hello"]
                self.assert_fails(4, "run", "-m", self.model, flag, "/nowhere/x", *words,
                                  says="/nowhere/x")
                self.assert_fails(4, "run", "-m", self.model, flag, self.folder, *words)
        self.assert_fails(4, "run", "-m", self.model, "-s", "@/nowhere/x", "hello")

    def test_a_damaged_template(self):
        path = self.write("bad.jinja", "{% if %}")
        self.assert_fails(3, "run", "-m", self.model, "--chat-template", path, "hello")


if __name__ == "__main__":
    unittest.main()
