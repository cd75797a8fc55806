"""gemma4 chat, with its input from a pipe."""

import json
import os
import signal
import subprocess
import time
import unittest

from support import BINARY, TIMEOUT, CliTest


class Chat(CliTest):
    def chat(self, text, *arguments, code=0):
        done = self.command("chat", "-q", "-m", self.model, "--temp", "0", "-n", "6", *arguments,
                            stdin=text.encode())
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout.decode(), done.stderr.decode()

    def transcript(self, text, *arguments):
        path = self.path("talk.jsonl")
        if os.path.exists(path):
            os.remove(path)
        self.chat(text, "--save", path, *arguments)
        return [json.loads(line) for line in self.read("talk.jsonl").splitlines()]

    def test_each_line_is_a_turn_and_no_prompt_is_printed(self):
        answers, errors = self.chat("one\n\ntwo")
        self.assertEqual(len(answers.splitlines()), answers.count("\n"))
        self.assertEqual(errors, "")
        messages = self.transcript("one\n\ntwo")
        self.assertEqual([m["role"] for m in messages], ["user", "assistant"] * 2)
        self.assertEqual([m["content"] for m in messages[::2]], ["one", "two"])
        joined = "".join(m["content"].rstrip("\n") + "\n" for m in messages[1::2])
        self.assertEqual(answers, joined)

    def test_the_first_answer_is_that_of_run(self):
        answer = self.chat("hello\n")[0]
        self.assertEqual(answer, self.run_ok("-n", "6", "hello"))

    def test_later_turns_are_those_of_a_conversation_run_at_once(self):
        messages = self.transcript("one\ntwo\nthree\n")
        path = self.write("messages.json", json.dumps(messages[:5]))
        self.assertEqual(self.run_ok("-n", "6", "--messages", path).rstrip("\n"),
                         messages[5]["content"].rstrip("\n"))

    def test_earlier_turns_are_not_computed_again(self):
        _, errors = self.chat("a long first message, to be kept\ntwo\n", "--stats")
        prompts = [line for line in errors.splitlines() if line.startswith("prompt:")]
        self.assertIn(" 0 reused", prompts[0])
        tokens, reused = (int(word) for word in prompts[1].replace(",", "").split()[1::2][:2])
        self.assertGreater(reused, tokens // 2)

    def test_several_lines_make_one_message(self):
        messages = self.transcript('"""\none\n/two\n"""\nthree\\\nfour\n"""x"""\n')
        self.assertEqual([m["content"] for m in messages[::2]], ["one\n/two", "three\nfour", "x"])

    def test_two_slashes_send_one(self):
        self.assertEqual(self.transcript("//help me\n")[0]["content"], "/help me")

    def test_undo_retry_edit_reset_system_read(self):
        note = self.write("note.txt", "from a file\n")
        messages = self.transcript("\n".join([
            "/system Be brief.", "one", "/undo", "two", "/retry", "/edit three",
            f"/read {note}", "four", "/exit", "never sent"]))
        self.assertEqual([m["role"] for m in messages],
                         ["system", "user", "assistant", "user", "assistant"])
        self.assertEqual([m["content"] for m in messages if m["role"] != "assistant"],
                         ["Be brief.", "three", "from a file\n\nfour"])
        self.assertEqual(self.transcript("/system S\none\n/reset\n"),
                         [{"role": "system", "content": "S"}])
        self.assertEqual(self.transcript("/system S\n/system\n"), [])

    def test_a_conversation_is_loaded_and_goes_on(self):
        whole = self.transcript("one\ntwo\n")
        half = self.write("half.jsonl", "".join(json.dumps(m) + "\n" for m in whole[:2]))
        self.assertEqual(self.transcript("two\n", "--load", half), whole)
        self.assertEqual(self.transcript(f"/load {half}\ntwo\n"), whole)

    def test_think_changes_the_prompt(self):
        messages = self.transcript("/think on\none\n/think off\n")
        self.assertEqual(messages[0]["content"], "one")
        self.chat("/think maybe\n", code=2)

    def test_mistakes_end_a_piped_chat(self):
        for text, code in (("/frobnicate\n", 2), ("/undo\n", 2), ("/read /nowhere\n", 4),
                           ("/edit\n", 2), ("/help me\n", 2), ("/load\n", 2)):
            with self.subTest(text=text):
                self.assertEqual(self.chat(text, code=code)[0], "")
        bad = self.write("bad.jsonl", '{"role":"user"}\n{')
        self.assertIn("line 2", self.chat("", "--load", bad, code=4)[1])

    def test_a_message_too_long_for_the_context_is_an_input_error(self):
        self.chat("x" * 100 + "\n", "-c", "64", code=4)

    def test_no_history_is_kept_of_a_pipe(self):
        self.chat("secret\n")
        self.assertFalse(os.path.exists(self.path("state/gemma4/history")))

    def test_a_plan_needs_no_messages(self):
        plan = json.loads(self.chat("", "--plan", "--json")[0])
        self.assertGreater(plan["total"], plan["weights"])

    def test_signals_end_a_piped_chat(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with self.subTest(signal=number):
                process = subprocess.Popen(
                    [BINARY, "chat", "-m", self.model, "--device", "reference"], env=self.env,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                process.stdin.write(b"hello\nagain\n")
                process.stdin.flush()
                process.stdout.read(1)
                time.sleep(0.1)
                process.send_signal(number)
                process.communicate(timeout=TIMEOUT)
                self.assertEqual(process.returncode, code)


if __name__ == "__main__":
    unittest.main()
