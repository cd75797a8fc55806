"""gemma4 chat and run on a terminal (a pseudo-terminal that this test plays the person of)."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import termios
import time
import unittest

from support import BINARY, TIMEOUT, CliTest


class Terminal:
    """A command with a pseudo-terminal for all three streams."""

    def __init__(self, arguments, env):
        self.master, slave = pty.openpty()
        self.before = termios.tcgetattr(slave)

        def take_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen([BINARY, *arguments], env=env, stdin=slave, stdout=slave,
                                        stderr=slave, preexec_fn=take_terminal)
        os.close(slave)
        self.seen = ""

    def expect(self, pattern, seconds=20):
        """Waits until what came since the last call matches; returns that much."""
        deadline = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.seen)
            if found:
                text, self.seen = self.seen[:found.end()], self.seen[found.end():]
                return text
            if not select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"no {pattern!r} in {self.seen!r}")
            try:
                self.seen += os.read(self.master, 65536).decode()
            except OSError:
                raise AssertionError(f"ended without {pattern!r}: {self.seen!r}") from None

    def type(self, text):
        os.write(self.master, text.encode())

    def wait(self):
        code = None
        deadline = time.monotonic() + TIMEOUT
        while code is None and time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode()
                except OSError:
                    pass
            code = self.process.poll()
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


class OnATerminal(CliTest):
    def start(self, *arguments, **env):
        terminal = Terminal(arguments, dict(self.env, **env))
        self.addCleanup(terminal.close)
        return terminal

    def chat(self, *arguments, **env):
        terminal = self.start("chat", "-m", self.model, "--temp", "0", *arguments, **env)
        terminal.expect("Ctrl-D ends the chat")
        terminal.expect("> ")
        return terminal

    def talk(self, terminal, text):
        terminal.type(text)
        terminal.expect("> ")

    def saved(self):
        return [json.loads(line) for line in self.read("talk.jsonl").splitlines()]

    def test_a_message_is_answered_and_ctrl_d_quits(self):
        terminal = self.chat("-n", "6", "--save", self.path("talk.jsonl"))
        self.talk(terminal, "hello\r")
        self.talk(terminal, "gr\u00fc\u00df dich\r")
        terminal.type("\x04")
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual([m["content"] for m in self.saved()[::2]],
                         ["hello", "gr\u00fc\u00df dich"])

    def test_history_is_private_and_comes_back(self):
        terminal = self.chat("-n", "2")
        self.talk(terminal, "remember me\r")
        terminal.type("\x04")
        self.assertEqual(terminal.wait(), 0)
        path = self.path("state/gemma4/history")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertIn("remember me", self.read("state/gemma4/history"))
        terminal = self.chat("-n", "2", "--save", self.path("talk.jsonl"))
        self.talk(terminal, "\x1b[A\r")  # the up arrow
        terminal.type("/exit\r")
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual(self.saved()[0]["content"], "remember me")

    def test_no_history_keeps_nothing(self):
        terminal = self.chat("--no-history", "-n", "2", XDG_STATE_HOME=self.path("unused"))
        self.talk(terminal, "a secret\r")
        terminal.type("\x04")
        self.assertEqual(terminal.wait(), 0)
        self.assertFalse(os.path.exists(self.path("unused")))

    def test_a_paste_of_several_lines_is_one_message(self):
        terminal = self.chat("-n", "2", "--save", self.path("talk.jsonl"))
        self.talk(terminal, "see: \x1b[200~one\rtwo\n\tthree\n\x1b[201~\r")
        terminal.type("\x04")
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual(self.saved()[0]["content"], "see: one\ntwo\n\tthree")

    def test_quotes_make_a_message_of_several_lines(self):
        terminal = self.chat("-n", "2", "--save", self.path("talk.jsonl"))
        terminal.type('"""\r')
        terminal.expect(r"\. ")
        terminal.type("one\r")
        terminal.expect(r"\. ")
        self.talk(terminal, 'two"""\r')
        terminal.type("\x04")
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual(self.saved()[0]["content"], "one\ntwo")

    def test_edit_offers_the_last_message(self):
        terminal = self.chat("-n", "2", "--save", self.path("talk.jsonl"))
        self.talk(terminal, "helo\r")
        self.talk(terminal, "/edit\r")
        terminal.expect("helo")
        self.talk(terminal, "\x1b[D\x1b[Dl\r")  # left, left, l
        terminal.type("\x04")
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual([m["content"] for m in self.saved()[::2]], ["hello"])

    def test_ctrl_c_stops_the_answer_but_not_the_chat(self):
        terminal = self.chat("--device", "reference", "--save", self.path("talk.jsonl"))
        terminal.type("hello\r")
        terminal.expect("\r\n.*[!-~]{20}")
        terminal.type("\x03")
        terminal.expect("> ")
        terminal.type("\x04")
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual([m["role"] for m in self.saved()], ["user", "assistant"])
        self.assertLess(len(self.saved()[1]["content"]), 4000)

    def test_ctrl_c_at_the_prompt_leaves_the_line(self):
        terminal = self.chat("-n", "2", "--save", self.path("talk.jsonl"))
        terminal.type("not this\x03")
        terminal.expect(r"\^C")
        terminal.expect("> ")
        terminal.type('"""\r')
        terminal.expect(r"\. ")
        terminal.type("nor this\x03")
        terminal.expect("> ")
        self.talk(terminal, "this\r")
        terminal.type("\x04")
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual([m["content"] for m in self.saved()[::2]], ["this"])

    def test_a_mistake_does_not_end_the_chat(self):
        terminal = self.chat("-n", "2", "-c", "64")
        terminal.type("/frobnicate\r")
        terminal.expect("gemma4: unknown command")
        terminal.expect("> ")
        terminal.type("x" * 100 + "\r")
        terminal.expect("does not fit the context")
        terminal.expect("> ")
        self.talk(terminal, "hello\r")
        terminal.type("/help\r")
        terminal.expect("/system")
        terminal.expect("> ")
        terminal.type("/stats\r")
        terminal.expect("context: ")
        terminal.expect("> ")
        terminal.type("\x04")
        self.assertEqual(terminal.wait(), 0)

    def test_the_terminal_is_left_as_it_was(self):
        terminal = self.chat("-n", "2")
        self.talk(terminal, "hello\r")
        terminal.process.send_signal(signal.SIGTERM)
        self.assertIn(terminal.wait(), (143, -signal.SIGTERM))
        after = termios.tcgetattr(terminal.master)
        self.assertEqual(after[3] & (termios.ECHO | termios.ICANON | termios.ISIG),
                         terminal.before[3] & (termios.ECHO | termios.ICANON | termios.ISIG))

    def test_run_without_a_prompt_on_a_terminal_is_a_usage_error(self):
        terminal = self.start("run", "-m", self.model)
        self.assertEqual(terminal.wait(), 2)
        self.assertIn("no prompt", terminal.seen)

    def test_run_streams_to_a_terminal_without_control_characters(self):
        terminal = self.start("run", "-m", self.model, "-n", "6", "--temp", "0", "hello")
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual(terminal.seen.replace("\r\n", "\n"), self.run_ok("-n", "6", "hello"))


if __name__ == "__main__":
    unittest.main()
