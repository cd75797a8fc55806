"""Pipes that close, disks that are full, signals."""

import json
import os
import signal
import subprocess
import time
import unittest

from support import BINARY, TIMEOUT, CliTest


class Streams(CliTest):
    def endless(self, *arguments, **options):
        """An answer that goes on for long; returns once tokens are being made."""
        process = subprocess.Popen(
            [BINARY, "run", "-v", "-m", self.model, "--device", "reference", "--ignore-eos",
             *arguments, "x" * 900], env=self.env, stdin=subprocess.DEVNULL,
            stdout=options.get("stdout", subprocess.PIPE), stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        if process.stdout:
            self.addCleanup(process.stdout.close)
        for line in process.stderr:
            if b"device:" in line:
                break
        time.sleep(0.2)
        self.assertIsNone(process.poll(), "ended too early to be tested")
        return process

    def finish(self, process):
        output, errors = process.communicate(timeout=TIMEOUT)
        return process.returncode, output, errors

    def test_the_first_interrupt_keeps_what_was_printed(self):
        process = self.endless()
        first = process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        code, rest, errors = self.finish(process)
        self.assertEqual(code, 130)
        self.assertTrue((first + rest).endswith(b"\n"))
        self.assertNotIn(b"gemma4: cannot", errors)

    def test_terminate_finishes_the_json(self):
        process = self.endless("--json")
        process.terminate()
        code, output, _ = self.finish(process)
        self.assertEqual(code, 143)
        self.assertEqual(json.loads(output)["finish_reason"], "terminated")

    def test_interrupt_finishes_the_output_file(self):
        path = self.path("cut.json")
        process = self.endless("--json", "-o", path)
        process.send_signal(signal.SIGINT)
        self.assertEqual(self.finish(process)[0], 130)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(json.load(file)["finish_reason"], "interrupted")

    def test_an_interrupted_batch_answers_every_line(self):
        path = self.write("many.jsonl", '{"prompt":"hello"}\n' * 40)
        process = subprocess.Popen(
            [BINARY, "run", "-v", "-m", self.model, "--device", "reference", "--batch", path],
            env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        for line in process.stderr:
            if b"device:" in line:
                break
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        code, output, _ = self.finish(process)
        self.assertEqual(code, 130)
        lines = [json.loads(line) for line in output.splitlines()]
        self.assertEqual(len(lines), 40)
        self.assertEqual(lines[-1]["finish_reason"], "interrupted")

    def test_a_closed_pipe_ends_quietly(self):
        for arguments in ((), ("--jsonl",), ("--json",)):
            with self.subTest(arguments=arguments):
                process = self.endless("-q", "--no-quiet", *arguments)
                process.stdout.close()
                started = time.monotonic()
                errors = process.stderr.read()
                self.assertEqual(process.wait(TIMEOUT), 0)
                self.assertNotIn(b"cannot", errors)
                self.assertLess(time.monotonic() - started, 10)

    def test_a_full_disk_is_told(self):
        for arguments in (("hello",), ("--json", "hello"), ("--print-prompt", "hello"),
                          ("-o", "/dev/full", "hello")):
            with self.subTest(arguments=arguments), open("/dev/full", "wb") as full:
                done = self.command("run", "-m", self.model, "-n", "2", *arguments, stdout=full)
                self.assertEqual(done.returncode, 5, done.stderr)
                self.assertEqual(done.stderr.count(b"\n"), 1)
                self.assertIn(b"No space left", done.stderr)

    def test_a_closed_stdout_is_an_error_not_a_lost_answer(self):
        done = subprocess.run(
            ["sh", "-c", f'"{BINARY}" run -m "{self.model}" -n 2 hello >&-'], env=self.env,
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, timeout=TIMEOUT)
        self.assertEqual(done.returncode, 5, done.stderr)

    def test_a_closed_stderr_changes_nothing(self):
        done = subprocess.run(
            ["sh", "-c", f'"{BINARY}" run -v --stats -m "{self.model}" -n 2 hello 2>&-'],
            env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
            timeout=TIMEOUT)
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout.endswith(b"\n"))

    def test_a_second_interrupt_kills(self):
        process = self.endless("--json")
        os.kill(process.pid, signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        os.kill(process.pid, signal.SIGCONT)
        self.assertIn(self.finish(process)[0], (-signal.SIGINT, -signal.SIGTERM))


if __name__ == "__main__":
    unittest.main()
