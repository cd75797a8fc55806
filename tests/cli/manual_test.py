"""Manual pages and completions say what the program's own help says."""

import os
import re
import shutil
import subprocess
import unittest

from support import SOURCE_DIR, CliTest

SECTIONS = os.path.join(SOURCE_DIR, "man", "sections")
COMPLETIONS = os.path.join(SOURCE_DIR, "completions")
# A flag of a help page: "  -m, --model MODEL   text", or its text on the next line.
FLAG = re.compile(r"^  (-\w, |    )(--\S+(?:, --\S+)*)(?: (\S+))?(?:  +\S.*)?$")


def plain(roff):
    """The words of a page without its markup."""
    text = re.sub(r"\\f[BIR]|\\&", "", roff)
    for code, character in (("\\-", "-"), ("\\(aq", "'"), ("\\(ga", "`"), ("\\(ha", "^"),
                            ("\\(ti", "~"), ("\\e", "\\")):
        text = text.replace(code, character)
    return text


def words(text):
    return " ".join(text.split())


class ManualTest(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.commands = cls.sections_of(cls.help())["Subcommands"]
        cls.commands = [line.split()[0] for line in cls.commands if line.startswith("  ")]
        assert "run" in cls.commands and "manual" not in cls.commands, cls.commands

    @classmethod
    def help(cls, *command):
        test = cls()
        return test.command(*command, "--help").stdout.decode()

    @staticmethod
    def sections_of(page):
        """Heading -> lines."""
        sections, current = {}, []
        for line in page.splitlines():
            if re.match(r"^[A-Z].*:$", line):
                current = sections.setdefault(line[:-1], [])
            else:
                current.append(line)
        return sections

    def flags(self, command):
        """(names with twins spelled out, name of the value) of each flag on a help page."""
        for line in self.help(*filter(None, [command])).splitlines():
            match = FLAG.match(line)
            if match:
                names = []
                for name in (match[1] + match[2]).replace(" ", "").split(","):
                    if name.startswith("--[no-]"):
                        names += ["--" + name[7:], "--no-" + name[7:]]
                    else:
                        names.append(name)
                yield names, match[3]

    def complete(self, *line, point=None):
        """What bash offers for the last word of a command line."""
        script = (f". '{COMPLETIONS}/gemma4.bash'; COMP_WORDS=(\"$@\"); "
                  f"COMP_CWORD={len(line) - 1 if point is None else point}; _gemma4; "
                  "printf '%s\\n' \"${COMPREPLY[@]}\"")
        done = subprocess.run(["bash", "-c", script, "bash", *line], cwd=self.folder,
                              capture_output=True, timeout=20, check=True)
        self.assertEqual(done.stderr, b"")
        return [word for word in done.stdout.decode().split("\n") if word]


class Pages(ManualTest):
    def test_the_committed_pages_are_what_the_program_writes(self):
        done = self.command("manual", SECTIONS, self.path("new"))
        self.assertEqual(done.returncode, 0, done.stderr)
        for folder in ("man", "completions"):
            new = os.path.join(self.path("new"), folder)
            old = os.path.join(SOURCE_DIR, folder)
            files = [name for name in os.listdir(old) if name != "sections"]
            self.assertEqual(sorted(files), sorted(os.listdir(new)),
                             "run scripts/update_manual.sh")
            for name in files:
                with open(os.path.join(new, name), encoding="utf-8") as file:
                    expected = file.read()
                with open(os.path.join(old, name), encoding="utf-8") as file:
                    self.assertEqual(file.read(), expected,
                                     f"{folder}/{name}: run scripts/update_manual.sh")

    def page(self, command):
        name = f"gemma4-{command}.1" if command else "gemma4.1"
        with open(os.path.join(SOURCE_DIR, "man", name), encoding="utf-8") as file:
            return file.read()

    def test_every_flag_and_every_word_of_the_help_is_on_the_page(self):
        for command in ["", *self.commands]:
            text = words(plain(self.page(command)))
            page = self.help(*filter(None, [command]))
            self.assertGreater(len(list(self.flags(command))), 1)
            for names, value in self.flags(command):
                twins = {"--no-" + name[2:] for name in names}
                shown = ["--[no-]" + name[2:] if "--no-" + name[2:] in names else name
                         for name in names if name not in twins]
                self.assertIn(", ".join(shown) + (f" {value}" if value else ""), text)
            end = page[page.index("Exit codes: ") + len("Exit codes: "):]
            self.assertIn(words(end), text)
            for paragraph in page.split("\n\n"):
                if not re.match(r"Usage|.*:\n|Exit codes", paragraph):
                    self.assertIn(words(paragraph), text)
            for line in page.split("Examples:\n")[1].split("\n\n")[0].splitlines():
                self.assertIn(words(line), text)

    def test_the_first_page_names_all_commands(self):
        text = plain(self.page(""))
        for command in self.commands:
            self.assertIn(f"\n.TP\n{command}\n", text)
            self.assertIn(f".BR gemma4-{command} (1)", text)

    @unittest.skipUnless(shutil.which("groff"), "groff is not installed")
    def test_the_pages_are_set_without_warnings(self):
        for command in ["", *self.commands]:
            done = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8"], timeout=20,
                                  input=self.page(command).encode(), capture_output=True,
                                  check=False)
            self.assertEqual((done.returncode, done.stderr), (0, b""), command)

    def test_sections_belong_to_a_page(self):
        pages = {"common.roff", "gemma4.roff"} | {f"gemma4-{name}.roff" for name in self.commands}
        self.assertEqual(set(os.listdir(SECTIONS)) - pages, set())


class Bash(ManualTest):
    def test_commands(self):
        self.assertEqual(self.complete("gemma4", ""), self.commands)
        self.assertEqual(self.complete("gemma4", "qu"), ["quantize"])
        self.assertEqual(self.complete("gemma4", "--v"), ["--version"])

    def test_every_flag_of_every_command(self):
        for command in ["", *self.commands]:
            line = ["gemma4", *filter(None, [command]), "-"]
            expected = [name for names, _ in self.flags(command) for name in names]
            self.assertEqual(sorted(self.complete(*line)), sorted(expected), command)

    def test_every_choice(self):
        checked = 0
        for command in self.commands:
            for names, value in self.flags(command):
                if value and re.fullmatch(r"[a-z0-9_-]+(\|[a-z0-9_-]+)+", value):
                    checked += 1
                    for name in names:
                        self.assertEqual(self.complete("gemma4", command, name, ""),
                                         value.split("|"), name)
        self.assertGreater(checked, 8)

    def test_flags_with_an_equals_sign(self):
        line = ("gemma4", "run", "--device", "=")
        self.assertEqual(self.complete(*line), ["auto", "cpu", "reference"])
        self.assertEqual(self.complete(*line, "re"), ["reference"])

    def test_values_that_are_files_folders_or_neither(self):
        self.write("two words.txt", "x")
        os.makedirs(self.path("two folders"), exist_ok=True)
        self.assertEqual(sorted(self.complete("gemma4", "run", "--file", "two")),
                         ["two folders", "two words.txt"])
        self.assertEqual(self.complete("gemma4", "run", "-m", "two"), ["two folders"])
        self.assertEqual(self.complete("gemma4", "run", "--seed", ""), [])
        self.assertEqual(sorted(self.complete("gemma4", "quantize", "two")),
                         ["two folders", "two words.txt"])


class OtherShells(ManualTest):
    def check(self, shell, file):
        if not shutil.which(shell):
            self.skipTest(f"{shell} is not installed")
        done = subprocess.run([shell, "-n", os.path.join(COMPLETIONS, file)], timeout=20,
                              capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_bash_reads_it(self):
        self.check("bash", "gemma4.bash")

    def test_zsh_reads_it(self):
        self.check("zsh", "_gemma4")

    def test_fish_reads_it(self):
        self.check("fish", "gemma4.fish")

    def test_zsh_and_fish_know_every_flag(self):
        with open(os.path.join(COMPLETIONS, "_gemma4"), encoding="utf-8") as file:
            zsh = file.read()
        with open(os.path.join(COMPLETIONS, "gemma4.fish"), encoding="utf-8") as file:
            fish = file.read()
        for command in self.commands:
            case = zsh.split(f"        {command}) _arguments")[1].split(";;")[0]
            lines = [line for line in fish.splitlines()
                     if f"'__fish_seen_subcommand_from {command}'" in line]
            for names, value in self.flags(command):
                for name in names:
                    self.assertRegex(case, rf"[ '{{,)*]{re.escape(name)}[,}}\[]")
                    short = f" -l {name[2:]} " if name.startswith("--") else f" -s {name[1:]} "
                    self.assertEqual(sum(short in line for line in lines), 1, name)
                if value and re.fullmatch(r"[a-z0-9_-]+(\|[a-z0-9_-]+)+", value):
                    self.assertIn("(" + value.replace("|", " ") + ")", case)
                    self.assertIn(" -a '" + value.replace("|", " ") + "'", "\n".join(lines))


if __name__ == "__main__":
    unittest.main()
