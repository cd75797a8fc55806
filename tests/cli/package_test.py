"""The Debian package: built, unpacked, and run from where it was unpacked."""

import glob
import os
import shutil
import subprocess
import tempfile
import unittest

import support

BUILD_DIR = os.environ["GEMMA4_BUILD_DIR"]


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300,
                          check=False, **options)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout.decode()


@unittest.skipUnless(shutil.which("dpkg-deb"), "dpkg-deb is not installed")
@unittest.skipUnless(shutil.which("dpkg-shlibdeps"), "dpkg-dev is not installed")
class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="gemma4-deb-")
        cls.folder = cls.temporary.name
        run("cpack", "-G", "DEB", "-B", cls.folder, cwd=BUILD_DIR)
        packages = glob.glob(os.path.join(cls.folder, "*.deb"))
        assert len(packages) == 1, packages
        cls.package = packages[0]
        cls.root = os.path.join(cls.folder, "root")
        run("dpkg", "-x", cls.package, cls.root)
        cls.binary = os.path.join(cls.root, "usr/bin/gemma4")
        cls.env = support.environment(cls.folder)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def path(self, *names):
        return os.path.join(self.root, "usr", *names)

    def test_the_unpacked_program_runs(self):
        version = run(self.binary, "--version", env=self.env)
        self.assertEqual(version, run(support.BINARY, "--version", env=self.env))

    def test_it_finds_its_own_shared_files(self):
        plan = [self.binary, "bench", "--dummy", "e2b", "--plan"]
        self.assertIn("weights", run(*plan, env=self.env))
        # With a preset that is not like the one in the source tree, only its own can fail.
        preset = self.path("share/gemma4/models/e2b.json")
        os.rename(preset, preset + ".away")
        self.addCleanup(os.replace, preset + ".away", preset)
        with open(preset, "w", encoding="ascii") as file:
            file.write("{}")
        done = subprocess.run(plan, env=self.env, capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn(b"model_type", done.stderr)

    def test_it_brings_the_demo_model_and_its_assistant(self):
        asked = [self.binary, "run", "-m", "demo", "--draft", "auto", "-v", "-n", "4", "Hello"]
        done = subprocess.run(asked, env=self.env, capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        # Not those of the source tree, which it would find too.
        self.assertIn(self.path("share/gemma4/models/demo-assistant").encode(), done.stderr)

    def test_it_brings_manual_and_completions_and_no_library(self):
        pages = os.listdir(self.path("share/man/man1"))
        self.assertEqual(sorted(pages), sorted(
            os.path.basename(page)
            for page in glob.glob(os.path.join(support.SOURCE_DIR, "man/*.1"))))
        for name in ("bash-completion/completions/gemma4", "zsh/site-functions/_gemma4",
                     "fish/vendor_completions.d/gemma4.fish"):
            self.assertTrue(os.path.isfile(self.path("share", name)), name)
        self.assertFalse(os.path.exists(self.path("include")))
        self.assertFalse(os.path.exists(self.path("lib")))

    def test_its_fields(self):
        fields = run("dpkg-deb", "-f", self.package)
        version = run(self.binary, "--version", env=self.env).split()[1]
        self.assertIn(f"Package: gemma4\n", fields)
        self.assertIn(f"Version: {version}\n", fields)
        self.assertIn("Section: science\n", fields)
        for library in ("libc6 ", "libstdc++6 ", "libcurl4 ", "ca-certificates"):
            self.assertIn(library, fields.split("Depends: ")[1].split("\n")[0])


if __name__ == "__main__":
    unittest.main()
