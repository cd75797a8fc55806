"""gemma4 quantize: checkpoints that run, or nothing at all."""

import hashlib
import json
import os
import unittest

from support import CliTest, golden


def digest(directory):
    total = hashlib.sha256()
    for name in sorted(os.listdir(directory)):
        with open(os.path.join(directory, name), "rb") as file:
            total.update(name.encode() + file.read())
    return total.hexdigest()


class Quantize(CliTest):
    def done(self, *arguments):
        done = self.command(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def test_a_converted_checkpoint_runs(self):
        for scheme in ("int8", "w4a16"):
            target = self.path(scheme)
            done = self.done("quantize", golden("text-e"), target, "--scheme", scheme,
                               "--group-size", "32", "--json")
            report = json.loads(done.stdout)
            self.assertLess(report["output_bytes"], report["source_bytes"])
            self.assertGreater(len(report["modules"]), 50)
            out = self.done("run", "-m", target, "--tokens", "2,110,150", "--temp", "0", "-n", "4")
            self.assertEqual(len(out.stdout.split(b",")), 4)

    def test_verification_measures_weights_and_logits(self):
        reports = {}
        for scheme in ("int8", "w4a16"):
            target = self.path("verified-" + scheme)
            done = self.done("quantize", golden("text-e"), target, "--scheme", scheme, "--json",
                             "--verify")
            reports[scheme] = verify = json.loads(done.stdout)["verify"]
            self.assertEqual(verify["positions"], 256)
            self.assertEqual(verify["layers"][0]["part"], "layer 0")
            self.assertGreater(verify["kl"]["mean"], 0)
            self.assertLessEqual(verify["kl"]["median"], verify["kl"]["p99"])
            self.assertLessEqual(verify["kl"]["p99"], verify["kl"]["max"])
            self.assertTrue(os.path.exists(target))
        self.assertLess(reports["int8"]["kl"]["mean"], reports["w4a16"]["kl"]["mean"] / 10)
        self.assertLess(reports["int8"]["relative_error"], 0.02)
        self.assertGreater(reports["int8"]["top1_agreement"], 0.8)
        # The same for any number of threads, and on ids of the user's.
        again = self.done("quantize", golden("text-e"), self.path("one"), "--scheme", "int8",
                          "--json", "--verify", "-t", "1")
        self.assertEqual(json.loads(again.stdout)["verify"], reports["int8"])
        ids = self.done("quantize", golden("text-e"), self.path("ids"), "--scheme", "int8",
                        "--verify", "2,110,150,7")
        self.assertIn(b"over 4 positions", ids.stdout)

    def test_a_result_too_far_off_is_not_kept(self):
        target = self.path("far")
        failed = self.command("quantize", golden("text-e"), target, "--scheme", "w4a16",
                              "--verify", "--max-kl", "1e-9")
        self.assertEqual(failed.returncode, 6)
        self.assertIn(b"the mean KL divergence is", failed.stderr)
        self.assertIn(b"KL divergence over 256", failed.stdout)
        self.assertEqual([name for name in os.listdir(os.path.dirname(target)) if "far" in name], [])
        self.done("quantize", golden("text-e"), target, "--scheme", "w4a16", "--verify",
                  "--max-kl", "100")
        self.assertTrue(os.path.exists(target))
        self.assert_fails(2, "quantize", golden("text-e"), self.path("x"), "--scheme", "int8",
                          "--max-kl", "1")
        self.assert_fails(4, "quantize", golden("text-e"), self.path("x"), "--scheme", "int8",
                          "--verify", "words")
        self.assert_fails(2, "quantize", golden("text-e"), self.path("x"), "--scheme", "int8",
                          "--verify", "--dry-run")
        self.assertFalse(os.path.exists(self.path("x")))

    def test_a_dry_run_writes_nothing(self):
        target = self.path("dry")
        done = self.done("quantize", golden("text-31b"), target, "--scheme", "w4a16", "--dry-run",
                           "--json")
        plan = json.loads(done.stdout)
        self.assertLess(plan["output_bytes"], plan["source_bytes"])
        self.assertFalse(os.path.exists(target))

    def test_what_cannot_be_is_refused_and_the_source_stays(self):
        source = golden("text-moe")
        before = digest(source)
        self.assert_fails(2, "quantize", source, source, "--scheme", "int8")
        existing = self.path("existing")
        os.mkdir(existing)
        open(os.path.join(existing, "file"), "w").close()
        self.assert_fails(2, "quantize", source, existing, "--scheme", "int8", says="exists")
        self.assert_fails(3, "quantize", source, self.path("narrow"), "--scheme", "w4a16",
                          "--group-size", "16", says="expert")
        self.assert_fails(2, "quantize", source, self.path("x"), "--scheme", "int8", "--rule",
                          "grid")
        self.assert_fails(2, "quantize", source, self.path("x"))
        self.assertEqual(digest(source), before)
        self.assertEqual(os.listdir(existing), ["file"])
        self.assertFalse(os.path.exists(self.path("narrow")))


if __name__ == "__main__":
    unittest.main()
