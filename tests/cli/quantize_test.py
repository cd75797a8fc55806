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
