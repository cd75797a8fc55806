"""gemma4 transcribe, with a model that hears and speaks random text."""

import array
import json
import math
import os
import random
import re
import select
import shutil
import signal
import subprocess
import time
import unittest
import wave

from chat_terminal_test import Terminal
from support import BINARY, TIMEOUT, CliTest, golden, make_text_checkpoint

RATE = 16000
LETTERS = [107] + list(range(110, 205))  # what the toy tokenizer can say


def noise(seconds, seed=1, loudness=8000):
    """Bursts like syllables, with pauses now and then, as 16-bit samples."""
    source = random.Random(seed)
    second = array.array("h", (source.randint(-loudness, loudness) for _ in range(RATE)))
    samples = array.array("h")
    while len(samples) < seconds * RATE:
        samples.extend(second[:source.randint(3000, 16000)])
        samples.extend(array.array("h", bytes(2 * source.randint(400, 9000))))
    return samples[:int(seconds * RATE)]


class Transcribe(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = cls.make_model("hears", LETTERS)
        cls.write_wav("short.wav", noise(3))
        cls.write_wav("long.wav", noise(25, 2))

    @classmethod
    def make_model(cls, name, spoken):
        """A checkpoint that says nothing but the given ids."""
        silent = [i for i in range(512) if i not in spoken]
        directory = make_text_checkpoint(os.path.join(cls.folder, name), "audio-e",
                                         suppress_tokens=silent)
        shutil.copy(os.path.join(golden("audio-e"), "processor_config.json"), directory)
        return directory

    @classmethod
    def write_wav(cls, name, samples, rate=RATE):
        path = os.path.join(cls.folder, name)
        with wave.open(path, "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
        return path

    def arguments(self, *arguments, model=None):
        return ["transcribe", "-m", model or self.model, "-n", "6", "--segment", "6s",
                "--overlap", "0.5s", *arguments]

    def transcribe(self, *arguments, code=0, **options):
        done = self.command(*self.arguments(*arguments, model=options.pop("model", None)),
                            **options)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def output(self, *arguments, **options):
        done = self.transcribe(*arguments, **options)
        self.assertEqual(done.stderr, b"")
        return done.stdout.decode()

    # --- formats ---

    def test_text_has_a_line_for_each_segment_and_json_holds_the_same(self):
        text = self.output(self.path("long.wav"))
        answer = json.loads(self.output(self.path("long.wav"), "--json"))
        self.assertEqual(list(answer), ["model", "file", "duration", "text", "segments", "usage",
                                        "timings", "finish_reason", "seed"])
        self.assertEqual("".join(s["text"] + "\n" for s in answer["segments"]), text)
        self.assertEqual(answer["file"], self.path("long.wav"))
        self.assertEqual(answer["duration"], 25.0)
        self.assertEqual(answer["finish_reason"], "length")
        self.assertGreater(answer["usage"]["media_tokens"], 25 * 25)
        segments = answer["segments"]
        self.assertGreater(len(segments), 3)
        self.assertEqual(segments[0]["start"], 0.0)
        self.assertEqual(segments[-1]["end"], 25.0)
        for before, after in zip(segments, segments[1:]):
            self.assertLessEqual(before["end"], after["start"])
        for segment in segments:
            self.assertEqual(segment["text"], segment["text"].strip())

    def test_the_same_transcript_every_time(self):
        first = self.output(self.path("long.wav"))
        self.assertEqual(first, self.output(self.path("long.wav")))

    def test_jsonl_is_a_line_for_each_segment_and_one_at_the_end(self):
        lines = [json.loads(line) for line in
                 self.output(self.path("long.wav"), "--format", "jsonl").splitlines()]
        answer = json.loads(self.output(self.path("long.wav"), "--json"))
        self.assertEqual([line["type"] for line in lines],
                         ["segment"] * len(answer["segments"]) + ["end"])
        self.assertEqual([{k: line[k] for k in ("start", "end", "text")} for line in lines[:-1]],
                         answer["segments"])
        self.assertEqual(lines[-1]["usage"], answer["usage"])

    def test_srt_has_numbered_cues_with_the_segments_times(self):
        answer = json.loads(self.output(self.path("long.wav"), "--json"))
        cues = self.output(self.path("long.wav"), "--format", "srt").rstrip("\n").split("\n\n")
        self.assertEqual(len(cues), len(answer["segments"]))
        for number, (cue, segment) in enumerate(zip(cues, answer["segments"]), 1):
            lines = cue.split("\n")
            self.assertEqual(lines[0], str(number))
            found = re.fullmatch(r"(\d\d):(\d\d):(\d\d),(\d{3}) --> \S{12}", lines[1])
            self.assertTrue(found, lines[1])
            hours, minutes, seconds, ms = map(int, found.groups())
            self.assertAlmostEqual(hours * 3600 + minutes * 60 + seconds + ms / 1000,
                                   segment["start"], places=3)
            self.assertEqual("".join(lines[2:]).replace(" ", ""),
                             re.sub(r"\s", "", segment["text"]))

    def test_vtt_escapes_what_would_be_markup_and_wraps_lines(self):
        # Greedy answers repeat themselves; hot ones use every character.
        model = self.make_model("marks", [110 + ord(c) - 32 for c in "<>&- ab"])
        hot = ("--temp", "20", "--top-k", "0", "--top-p", "1", "--seed", "5", "-n", "400")
        text = self.output(self.path("short.wav"), *hot, model=model)
        cues = self.output(self.path("short.wav"), *hot, "--format", "vtt", model=model)
        head, time, *lines = cues.rstrip("\n").split("\n")[0:1] + cues.rstrip("\n").split("\n")[2:]
        self.assertEqual(head, "WEBVTT")
        self.assertRegex(time, r"^00:00:00\.000 --> 00:00:03\.000$")
        self.assertIn("&lt;", cues)
        self.assertNotRegex("".join(lines), r"[<>]|&(?!amp;|lt;|gt;)")
        plain = [line.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
                 for line in lines]
        self.assertEqual("".join(plain).replace(" ", ""), text.replace(" ", "").strip())
        for line in plain:
            self.assertTrue(line and (len(line) <= 42 or " " not in line), line)

    def test_output_goes_to_a_file_that_appears_whole(self):
        expected = self.output(self.path("short.wav"))
        self.assertEqual(self.output(self.path("short.wav"), "-o", self.path("out.txt")), "")
        self.assertEqual(self.read("out.txt"), expected)
        # Sound that breaks off after some segments.
        values = array.array("f", (sample / 32768 for sample in noise(60, 3)))
        values[-1] = math.nan
        raw = self.write("breaks.raw", values.tobytes())
        done = self.transcribe("--pcm", "f32le:16000", raw, "-o", self.path("broken.txt"), code=4)
        self.assertIn(b"not numbers", done.stderr)
        self.assertFalse(os.path.exists(self.path("broken.txt")))
        # On standard output the finished segments stay, as whole lines.
        done = self.transcribe("--pcm", "f32le:16000", raw, code=4)
        self.assertTrue(done.stdout.endswith(b"\n"))
        self.assertEqual(done.stderr.count(b"\n"), 1)

    # --- inputs ---

    def test_standard_input_and_parts(self):
        with open(self.path("long.wav"), "rb") as file:
            piped = json.loads(self.output("-", "--json", stdin=file))
        with open(self.path("long.wav"), "rb") as file:
            spooled = json.loads(self.output("-", "--json", stdin=file.read()))
        whole = json.loads(self.output(self.path("long.wav"), "--json"))
        for answer in (piped, spooled):
            self.assertEqual(answer["segments"], whole["segments"])
            self.assertEqual(answer["file"], "-")
        part = json.loads(self.output(self.path("long.wav"), "--json", "--offset", "0:10",
                                      "--duration", "5s"))
        self.assertEqual(part["duration"], 5.0)
        self.assertEqual(part["segments"][0]["start"], 10.0)
        self.assertEqual(part["segments"][-1]["end"], 15.0)
        self.write_wav("cut.wav", noise(25, 2)[10 * RATE:15 * RATE])
        cut = json.loads(self.output(self.path("cut.wav"), "--json"))
        self.assertEqual([s["text"] for s in cut["segments"]],
                         [s["text"] for s in part["segments"]])

    @unittest.skipUnless(shutil.which("ffmpeg"), "needs ffmpeg")
    def test_the_sound_track_of_a_video(self):
        path = self.path("film.mkv")
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=d=3:s=64x48",
                        "-i", self.path("short.wav"), "-c:v", "mpeg4", "-c:a", "flac", path],
                       check=True, stdin=subprocess.DEVNULL)
        self.assertEqual(json.loads(self.output(path, "--json"))["text"],
                         json.loads(self.output(self.path("short.wav"), "--json"))["text"])

    def test_several_files_in_order_and_a_bad_one_does_not_stop_the_rest(self):
        self.write("empty.wav", b"")
        self.write("words.mp3", "these are words, not sound\n" * 40)
        with open(self.path("long.wav"), "rb") as file:
            self.write("truncated.wav", file.read()[:100000])
        with wave.open(self.path("nothing.wav"), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
        values = array.array("f", [0.5] * RATE)
        values[500] = math.nan
        header = (b"RIFF" + (36 + 4 * RATE).to_bytes(4, "little") + b"WAVEfmt " +
                  (16).to_bytes(4, "little") + b"\x03\x00\x01\x00" + RATE.to_bytes(4, "little") +
                  (4 * RATE).to_bytes(4, "little") + b"\x04\x00\x20\x00data" +
                  (4 * RATE).to_bytes(4, "little"))
        self.write("nan.wav", header + values.tobytes())
        bad = ["empty.wav", "words.mp3", "truncated.wav", "nothing.wav", "nan.wav", "missing.wav"]
        files = ["short.wav", *bad, "long.wav"]
        done = self.transcribe("--json", *(self.path(file) for file in files), code=4)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line["file"] for line in lines], [self.path(file) for file in files])
        self.assertEqual(["error" in line for line in lines],
                         [file in bad for file in files])
        self.assertEqual(done.stderr.count(b"\n"), len(bad))
        for line, message in zip(lines[1:-1], done.stderr.decode().splitlines()):
            self.assertEqual(message, "gemma4: " + line["error"]["message"])
            self.assertEqual(line["error"]["code"], 4)
        # Alone, each is one line and the exit code.
        for name in bad:
            with self.subTest(name):
                self.assert_fails(4, *self.arguments(self.path(name)), says=name)

    def test_texts_of_several_files_have_a_blank_line_between(self):
        one = self.output(self.path("short.wav"))
        two = self.output(self.path("long.wav"))
        self.assertEqual(self.output(self.path("short.wav"), self.path("long.wav")),
                         one + "\n" + two)

    def test_a_list_of_files_and_a_directory_for_the_transcripts(self):
        files = self.path("short.wav") + "\n\n" + self.path("missing.wav") + "\r\n" + \
            self.path("long.wav")
        out = self.path("texts/here")
        done = self.transcribe("--files-from", "-", "--out-dir", out, "--format", "srt", code=4,
                               stdin=files.encode())
        self.assertEqual(done.stdout, b"")
        self.assertEqual(sorted(os.listdir(out)), ["long.srt", "short.srt"])
        self.assertEqual(self.read("texts/here/long.srt"),
                         self.output(self.path("long.wav"), "--format", "srt"))

    def test_every_sample_is_heard_and_none_twice_outside_of_the_overlaps(self):
        done = self.transcribe("-v", self.path("long.wav"))
        found = re.findall(r"window (\d+): samples (\d+) to (\d+), its own (\d+) to (\d+), "
                           r"(\d+) audio tokens", done.stderr.decode())
        windows = [list(map(int, window)) for window in found]
        self.assertGreater(len(windows), 3)
        owned = 0
        for number, (index, begin, end, own_begin, own_end, tokens) in enumerate(windows):
            self.assertEqual(index, number)
            self.assertEqual(own_begin, owned)
            self.assertTrue(begin <= own_begin < own_end <= end <= begin + 6 * RATE)
            self.assertEqual(tokens, math.ceil(((end - begin - 1) // 160) / 4))
            if number:
                self.assertEqual(windows[number - 1][2] - begin, RATE // 2)
            owned = own_end
        self.assertEqual(owned, 25 * RATE)

    # --- live sound ---

    def live(self, *arguments):
        process = subprocess.Popen(
            [BINARY, *self.arguments("--pcm", "s16le:16000", *arguments)], env=self.env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for stream in (process.stdin, process.stdout, process.stderr):
            self.addCleanup(stream.close)
        self.addCleanup(process.kill)
        return process

    @staticmethod
    def utterance(seed):
        return noise(3, seed)[:30000].tobytes() + bytes(2 * RATE)

    def test_live_sound_is_transcribed_while_it_arrives(self):
        process = self.live("--jsonl")
        ends = []
        for seed in (1, 2):
            process.stdin.write(self.utterance(seed))
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], TIMEOUT)
            self.assertTrue(ready, "nothing came while the pipe was open")
            ends.append(json.loads(process.stdout.readline())["end"])
        self.assertLess(ends[0], ends[1])
        process.stdin.close()
        lines = [json.loads(line) for line in process.stdout.read().splitlines()]
        self.assertEqual(lines[-1]["type"], "end")
        self.assertEqual(process.wait(TIMEOUT), 0)
        self.assertEqual(process.stderr.read(), b"")

    def test_an_interrupt_ends_live_sound_and_completes_the_json(self):
        for number, code, reason in ((signal.SIGINT, 130, "interrupted"),
                                     (signal.SIGTERM, 143, "terminated")):
            with self.subTest(reason):
                process = self.live("--jsonl")
                process.stdin.write(self.utterance(1))
                process.stdin.flush()
                first = json.loads(process.stdout.readline())
                self.assertEqual(first["type"], "segment")
                process.send_signal(number)
                rest = [json.loads(line) for line in process.stdout.read().splitlines()]
                self.assertEqual(process.wait(TIMEOUT), code)
                self.assertEqual(rest[-1]["finish_reason"], reason)

    def test_other_raw_sound_and_the_same_sound_at_once(self):
        samples = noise(4, 5)
        floats = array.array("f", (sample / 32768 for sample in samples))
        first = self.output("--pcm", "s16le:16000", stdin=samples.tobytes())
        self.assertEqual(self.output("--pcm", "f32le:16000", "-", stdin=floats.tobytes()), first)
        path = self.write("sound.raw", samples.tobytes())
        self.assertEqual(self.output("--pcm", "s16le:16000", path), first)
        self.assertTrue(self.output("--pcm", "s16le:44100", path))
        self.assert_fails(4, *self.arguments("--pcm", "s16le:16000"), stdin=b"")

    def test_a_closed_pipe_ends_quietly(self):
        process = subprocess.Popen([BINARY, *self.arguments(self.path("long.wav"), "-n", "3000",
                                                            "--device", "reference")],
                                   env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        process.stdout.close()
        started = time.monotonic()
        self.assertEqual(process.stderr.read(), b"")
        self.assertEqual(process.wait(TIMEOUT), 0)
        process.stderr.close()
        self.assertLess(time.monotonic() - started, 30)

    def test_an_interrupt_completes_the_json_of_a_file(self):
        process = subprocess.Popen([BINARY, *self.arguments(self.path("long.wav"), "-n", "3000",
                                                            "--device", "reference", "--json",
                                                            "-v")],
                                   env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        for line in process.stderr:
            if b"window 0" in line:
                break
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, 130)
        self.assertEqual(json.loads(output)["finish_reason"], "interrupted")

    def test_progress_is_drawn_on_a_terminal_only_and_wiped_out(self):
        path = self.write_wav("minutes.wav", noise(120, 4))
        terminal = Terminal(self.arguments(path, "-o", self.path("minutes.txt"), "-n", "60",
                                           "--device", "reference"), self.env)
        self.addCleanup(terminal.close)
        terminal.expect(r"transcribing \d+%, \d+ (s|min) left", TIMEOUT)
        self.assertEqual(terminal.wait(), 0)
        self.assertTrue(terminal.seen.endswith("\r\x1b[K"))

    # --- what it says ---

    def test_help_says_what_the_times_are(self):
        done = self.command("transcribe", "--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"Times are those of the segments", done.stdout)

    def test_languages_and_hints_change_the_prompt(self):
        def prompt_tokens(*arguments):
            answer = json.loads(self.output(self.path("short.wav"), "--json", *arguments))
            return answer["usage"]["prompt_tokens"], answer.get("language")

        plain, language = prompt_tokens("--language", "auto")
        self.assertIsNone(language)
        asked = "Provide a verbatim, word-for-word transcription of the audio."
        self.assertEqual(prompt_tokens("--language", "de"),
                         (plain + len(" The language is German."), "de"))
        self.assertEqual(prompt_tokens("--prompt", "Names: Ada."),
                         (plain + len(" Names: Ada."), None))
        translate = ("Transcribe the audio, then translate it into French. "
                     "Give only the translation.")
        self.assertEqual(prompt_tokens("--translate", "fr"),
                         (plain + len(translate) - len(asked), None))

    def test_plan_and_stats(self):
        plan = json.loads(self.output("--plan", "--json"))
        self.assertGreater(plan["media"], 0)
        done = self.transcribe("--stats", self.path("short.wav"))
        self.assertIn(b"real time", done.stderr)

    def test_a_model_that_cannot_hear_is_refused_before_anything_is_read(self):
        deaf = make_text_checkpoint(self.path("deaf"), "text-e")
        self.assert_fails(4, "transcribe", "-m", deaf, self.path("missing.wav"),
                          says="audio encoder")

    def test_flags_that_make_no_sense_are_refused(self):
        wav = self.path("short.wav")
        for arguments, says in (
                ((), "no recordings"), ((wav, "--segment", "31"), "31"),
                ((wav, "--segment", "1s"), "1"), ((wav, "--overlap", "3s"), "--overlap"),
                ((wav, "--pcm", "mp3:16000"), "--pcm"), ((wav, "--json", "--format", "srt"), ""),
                ((wav, wav, "--format", "srt"), "--out-dir"), (("-", "-"), "twice"),
                ((wav, wav, "--out-dir", "x"), "short.txt"), ((wav, "--language", "d/e"), "d/e"),
                ((wav, "--out-dir", "x", "-o", "y"), "exclude"), ((wav, "--offset", "1:99"), "1:99"),
                ((wav, "--format", "doc"), "doc")):
            with self.subTest(arguments):
                self.assert_fails(2, *self.arguments(*arguments), says=says)
        self.assert_fails(4, *self.arguments(wav, "--offset", "10s"), says="--offset")
        self.assert_fails(4, *self.arguments(wav, "--max-duration", "2s"), says="--max-duration")
        self.assert_fails(4, *self.arguments(wav, "-c", "100"), says="context")

    def test_memory_does_not_grow_with_the_recording(self):
        minute = noise(60, 9).tobytes()
        peaks = []
        for minutes in (5, 30):
            path = self.path(f"{minutes}.wav")
            with wave.open(path, "wb") as file:
                file.setparams((1, 2, RATE, 0, "NONE", ""))
                for _ in range(minutes):
                    file.writeframes(minute)
            process = subprocess.Popen(
                [BINARY, "transcribe", "-m", self.model, "-n", "2", "--json", path],
                env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            answer = json.loads(process.stdout.read())
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
            process.stdout.close()
            self.assertEqual(status, 0)
            self.assertEqual(answer["duration"], 60.0 * minutes)
            peaks.append(usage.ru_maxrss / 1024)
            os.unlink(path)
        print(f"peak of 5 and 30 minutes: {peaks[0]:.1f} and {peaks[1]:.1f} MiB")
        self.assertLess(peaks[1], peaks[0] + 16)


if __name__ == "__main__":
    unittest.main()
