"""--draft: answers come as without it, and what it gained is told."""

import json
import os
import shutil
import unittest

import support
from support import CliTest

TARGET = support.golden("mtp-e/target")
ASSISTANT = support.golden("mtp-e/assistant")
# The golden prompt, on which this assistant does well.
TOKENS = ("2,330,368,401,273,97,180,306,177,303,353,421,17,"
          "452,72,32,146,95,123,196,97,392,183,17,292,164")


class Draft(CliTest):
    def answer(self, *flags, model=TARGET):
        done = self.command("run", "-m", model, "--tokens", TOKENS, "-n", "40", "--temp", "0",
                            "--ignore-eos", "--json", *flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout), done.stderr.decode()

    def test_an_assistant_changes_nothing_but_the_timings(self):
        plain, _ = self.answer()
        self.assertIsNone(plain["timings"]["draft_acceptance"])
        for tokens in ("1", "4", "8", "auto"):
            for option in ("-1", "0"):
                with self.subTest(tokens=tokens, option=option):
                    drafted, errors = self.answer(
                        "--draft", ASSISTANT, "--draft-tokens", tokens, "--stats",
                        "--model-option", "mtp_query_offset=" + option)
                    self.assertEqual(drafted["token_ids"], plain["token_ids"])
                    if tokens != "auto":
                        self.assertGreater(drafted["timings"]["draft_acceptance"], 0)
                        self.assertIn("drafts: ", errors)
                        self.assertIn("by position", errors)
                        self.assertIn("speed-up", errors)

    def test_look_up_needs_no_second_model(self):
        plain, _ = self.answer()
        drafted, _ = self.answer("--draft", "ngram", "--draft-tokens", "5")
        self.assertEqual(drafted["token_ids"], plain["token_ids"])

    def test_auto_takes_the_assistant_beside_the_model(self):
        model = os.path.join(self.folder, "small")
        shutil.copytree(TARGET, model)
        _, errors = self.answer("--draft", "auto", model=model)
        self.assertIn("no assistant", errors)
        shutil.copytree(ASSISTANT, model + "-assistant")
        drafted, errors = self.answer("--draft", "auto", "--draft-tokens", "3", model=model)
        self.assertNotIn("no assistant", errors)
        self.assertGreater(drafted["timings"]["draft_acceptance"], 0)

    def test_a_draft_that_does_not_fit_is_refused(self):
        run = ("run", "--tokens", TOKENS, "-m", TARGET, "--draft")
        self.assert_fails(3, *run, TARGET, says="not a draft model")
        self.assert_fails(3, *run, support.golden("mtp-31b/assistant"), says="does not fit")
        self.assert_fails(3, *run, "/no/such/model")


if __name__ == "__main__":
    unittest.main()
