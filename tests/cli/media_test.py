"""Images, recordings and videos in run, batches and chat."""

import base64
import json
import os
import unittest

from media_files import HAS_FFMPEG, data_uri, make_video, png, wav
from support import GOLDENS, QUIET, CliTest, decode, golden, make_text_checkpoint, read_int64

BEGIN_IMAGE, IMAGE, END_IMAGE = 490, 496, 498
BEGIN_AUDIO, AUDIO, END_AUDIO = 491, 497, 499
VIDEO = 500


def runs_of(ids):
    """The readable form of processor-layout/layout.json."""
    names = {BEGIN_IMAGE: "<|image>", IMAGE: "<|image|>", END_IMAGE: "<image|>",
             BEGIN_AUDIO: "<|audio>", AUDIO: "<|audio|>", END_AUDIO: "<audio|>",
             VIDEO: "<|video|>", 2: "<bos>", 105: "<|turn>", 106: "<turn|>"}
    runs = []
    for token in ids:
        if token not in names:
            text = decode([token])
            if runs and runs[-1][2] is None:
                runs[-1][0] += text
            else:
                runs.append([text, 1, None])
        elif runs and runs[-1][2] == token:
            runs[-1][1] += 1
        else:
            runs.append([names[token], 1, token])
    return [f"{text} x{count}" if token in (IMAGE, AUDIO, VIDEO) else text
            for text, count, token in runs]


class Media(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.models = {
            name: make_text_checkpoint(os.path.join(cls.folder, name), name, suppress_tokens=QUIET)
            for name in ("vision-e", "vision-31b", "audio-e", "unified")}
        cls.sees = cls.models["vision-e"]
        cls.hears = cls.models["audio-e"]
        cls.image = cls.save("a.png", png(320, 240))
        cls.other = cls.save("b.png", png(300, 200, 3))
        cls.clip = cls.save("c.wav", wav(20000))

    @classmethod
    def save(cls, name, content):
        path = os.path.join(cls.folder, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def ask(self, model, *arguments, **options):
        done = self.command("run", "-m", model, "--temp", "0", "-n", "6", "--json", *arguments,
                            **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def prompt(self, model, *arguments, **options):
        done = self.command("run", "-m", model, "--print-prompt", "--json", *arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_golden_prompts_run_from_their_ids_and_files(self):
        cases = [("vision-e", "prompt0.", ["img0.png"]),
                 ("vision-e", "prompt1.", ["img1.png", "img0.png"]),
                 ("vision-e", "prompt2.", ["img3.png"]),
                 ("vision-31b", "prompt1.", ["img1.png", "img0.png"]),
                 ("audio-e", "prompt1.", ["clip0.wav", "clip1.wav"]),
                 ("unified", "prompt2.", ["clip1.wav", "img1.png", "img0.png"])]
        for name, prompt, files in cases:
            for device in ("cpu", "reference"):
                with self.subTest(name=name, prompt=prompt, device=device):
                    goldens = os.path.join(GOLDENS, name, "goldens.safetensors")
                    ids = read_int64(goldens, prompt + "input_ids")
                    path = self.write("ids.json", json.dumps(ids))
                    flags = []
                    for file in files:
                        flags += ["--image" if file.endswith("png") else "--audio",
                                  os.path.join(GOLDENS, name, file)]
                    if name == "unified":
                        flags += ["--model-option", "image_mask_rule=all_layers_unbounded"]
                    answer = self.ask(golden(name), "--tokens", "@" + path, *flags, "-n", "12",
                                      "--device", device, "--ignore-eos", "--kv-cache-dtype",
                                      "f32", "--exact-activations")
                    self.assertEqual(answer["token_ids"],
                                     read_int64(goldens, prompt + "greedy_tokens"))
                    self.assertEqual(answer["usage"]["prompt_tokens"], len(ids))
                    soft = sum(token in (IMAGE, AUDIO) for token in ids)
                    self.assertEqual(answer["usage"]["media_tokens"], soft)

    def test_layouts_are_those_of_the_official_processor(self):
        with open(os.path.join(GOLDENS, "processor-layout", "layout.json"), encoding="utf-8") as f:
            layout = json.load(f)
        marks = {"<|image|>": "{image}", "<|audio|>": "{audio}", "<|video|>": "{video}"}
        both = self.models["unified"]  # sees and hears; its audio tokens are counted otherwise
        for number, case in enumerate(layout["prompts"]):
            if case["images_wh"] and case["audio_samples"]:
                continue
            model = self.hears if case["audio_samples"] else self.sees
            text = case["text"].removeprefix("<bos>")
            for mark, ours in marks.items():
                text = text.replace(mark, ours)
            if "<" in text:
                continue
            flags = []
            for i, (width, height) in enumerate(case["images_wh"]):
                flags += ["--image", self.save(f"l{number}-{i}.png", png(width, height))]
            if flags:
                flags += ["--image-tokens", str(case["max_soft_tokens"])]
            for i, samples in enumerate(case["audio_samples"]):
                flags += ["--audio", self.save(f"l{number}-{i}.wav", wav(samples))]
            got = self.prompt(model, "--raw", *flags, text)
            self.assertEqual(got["prompt_token_ids"], case["input_ids"])
        case = layout["prompts"][0]
        got = self.prompt(both, "--image", self.save("l.png", png(640, 480)), "--audio",
                          self.save("l.wav", wav(31 * 640)), "--image-tokens", "70",
                          "--chat-template", self.write("user.jinja", (
                              "<bos><|turn>user\n{% for part in messages[0].content %}"
                              "{% if part.type == 'text' %}{{ part.text }}"
                              "{% elif part.type == 'image' %}<|image|>"
                              "{% else %}<|audio|>{% endif %}{% endfor %}"
                              "<turn|>\n<|turn>model\n\n")),  # the template's last newline is no text
                          "First {image}then {audio} end.")
        self.assertEqual(got["prompt_token_ids"], case["input_ids"])

    @unittest.skipUnless(HAS_FFMPEG, "needs ffmpeg")
    def test_videos_become_frames_with_their_times(self):
        video = make_video(self.path("v.mkv"), frames=40, rate=4, sound=True)
        got = self.prompt(self.sees, "--raw", "--video", video, "--video-frames", "5", "What?")
        runs = runs_of(got["prompt_token_ids"])
        expected = ["<bos>"]
        for i, time in enumerate(("00:00", "00:02", "00:04", "00:06", "00:08")):
            expected += [(" " if i else "") + time + " ", "<|image>", "<|video|> x60", "<image|>"]
        self.assertEqual(runs, expected + ["What?"])
        self.assertEqual(got["media"], [{
            "kind": "video", "file": video, "tokens": 300, "width": 480, "height": 288,
            "seconds": 10.0, "timestamps": ["00:00", "00:02", "00:04", "00:06", "00:08"]}])
        by_rate = self.prompt(self.sees, "--raw", "--video", video, "--video-fps", "0.5", "What?")
        self.assertEqual(by_rate["prompt_token_ids"], got["prompt_token_ids"])
        all_frames = self.prompt(self.sees, "--raw", "--video", video, "What?")
        self.assertEqual(len(all_frames["media"][0]["timestamps"]), 32)
        # A text in front of a time is tokenised with it.
        marked = self.prompt(self.sees, "--raw", "--video", video, "--video-frames", "1",
                             "At {video}.")
        self.assertEqual(runs_of(marked["prompt_token_ids"]),
                         ["<bos>", "At 00:00 ", "<|image>", "<|video|> x60", "<image|>", "."])
        sound = self.prompt(self.models["unified"], "--video", video, "--video-audio",
                            "--video-frames", "2", "What?")
        self.assertEqual([m["kind"] for m in sound["media"]], ["video", "audio"])
        self.assertEqual(sound["media"][1]["tokens"], 250)
        runs = runs_of(sound["prompt_token_ids"])
        self.assertLess(runs.index("What?"), runs.index("<|audio>"))
        answer = self.ask(self.sees, "--video", video, "--video-frames", "3", "What?")
        self.assertEqual(answer["usage"]["media_tokens"], 180)
        self.assert_fails(4, "run", "-m", self.sees, "--video", video, "--video-audio", "x",
                          says="no audio encoder")

    def test_marks_say_where_files_go_and_the_rest_comes_first(self):
        def order(*arguments):
            ids = self.prompt(self.models["unified"], "--raw", "--image-tokens", "70",
                              *arguments)["prompt_token_ids"]
            return [run.split(" x")[0] for run in runs_of(ids)[1:]]
        image, audio = ["<|image>", "<|image|>", "<image|>"], ["<|audio>", "<|audio|>", "<audio|>"]
        files = ["--image", self.image, "--audio", self.clip]
        self.assertEqual(order(*files, "Hi"), image + audio + ["Hi"])
        self.assertEqual(order(*files[2:], *files[:2], "Hi"), audio + image + ["Hi"])
        self.assertEqual(order(*files, "A {image} b"), audio + ["A "] + image + [" b"])
        self.assertEqual(order(*files, "{audio}A{image}"), audio + ["A"] + image)
        # Without a file of the kind, and in files, a mark is text.
        self.assertEqual(order(*files[:2], "{audio}"), image + ["{audio}"])
        notes = self.write("notes.txt", "see {image}")
        in_file = order(*files[:2], "-f", notes, "x")
        self.assertEqual(in_file[:3], image)
        self.assertTrue(in_file[3].startswith("see {image}"))
        two = self.prompt(self.sees, "--image", self.image, "--image", self.other,
                          "--image-tokens", "70", "{image} or {image}")
        self.assertEqual([m["file"] for m in two["media"]], [self.image, self.other])
        self.assertEqual([m["tokens"] for m in two["media"]], [63, 60])
        self.assert_fails(2, "run", "-m", self.sees, "--image", self.image, "{image} {image}",
                          says="marks than files")

    def test_budgets_have_numbers_and_names(self):
        def tokens(*flags):
            return self.prompt(self.sees, "--image", self.image, "x", *flags)["media"][0]["tokens"]
        self.assertEqual(tokens(), 266)  # the processor's own: 280
        self.assertEqual(tokens("--image-tokens", "auto"), 266)
        for name, number in (("low", 70), ("medium", 280), ("high", 560), ("max", 1120)):
            self.assertEqual(tokens("--detail", name), tokens("--image-tokens", str(number)))
        self.assertEqual(tokens("--detail", "high"), 540)

    def test_pictures_are_seen_and_change_the_answer(self):
        for name in ("vision-e", "vision-31b", "unified"):
            model = self.models[name]
            one = self.ask(model, "--image", self.image, "--logprobs", "0", "Hi")
            two = self.ask(model, "--image", self.other, "--logprobs", "0", "Hi")
            self.assertNotEqual(one["logprobs"], two["logprobs"])
            with open(self.image, "rb") as file:
                piped = self.ask(model, "--image", "-", "--logprobs", "0", "Hi", stdin=file)
            self.assertEqual(piped["token_ids"], one["token_ids"])
            self.assertEqual(one["usage"]["media_tokens"],
                             self.prompt(model, "--image", self.image, "Hi")["media"][0]["tokens"])
        self.assertEqual(self.ask(self.sees, "Hi")["usage"]["media_tokens"], 0)
        only = self.ask(self.sees, "--image", self.image)
        self.assertGreater(only["usage"]["media_tokens"], 0)

    def test_messages_take_the_parts_of_chat_apis(self):
        with open(self.image, "rb") as file:
            image = file.read()
        with open(self.clip, "rb") as file:
            clip = file.read()
        text = {"type": "text", "text": "Hi"}
        def ids(model, parts, *flags):
            path = self.write("messages.json", json.dumps([{"role": "user", "content": parts}]))
            return self.prompt(model, "--messages", path, *flags)["prompt_token_ids"]
        expected = self.prompt(self.sees, "--image", self.image, "Hi")["prompt_token_ids"]
        for part in ({"type": "image_url", "image_url": {"url": self.image}},
                     {"type": "image_url", "image_url": self.image},
                     {"type": "image_url", "image_url": {"url": "file://" + self.image}},
                     {"type": "image_url", "image_url": {"url": data_uri(image)}},
                     {"type": "image", "image": self.image}, {"type": "image", "url": self.image},
                     {"type": "input_image", "image_url": self.image},
                     {"type": "image", "path": self.image}):
            self.assertEqual(ids(self.sees, [part, text]), expected, part)
        self.assertEqual(ids(self.sees, [{"type": "image"}, text], "--image", self.image), expected)
        fine = ids(self.sees, [{"type": "image_url",
                                "image_url": {"url": self.image, "detail": "low"}}, text])
        self.assertEqual(fine.count(IMAGE), 63)
        heard = self.prompt(self.hears, "--audio", self.clip, "Hi")["prompt_token_ids"]
        sound = {"data": base64.b64encode(clip).decode(), "format": "wav"}
        for part in ({"type": "input_audio", "input_audio": sound},
                     {"type": "audio", "audio": self.clip},
                     {"type": "audio_url", "audio_url": {"url": self.clip}}):
            self.assertEqual(ids(self.hears, [part, text]), heard, part)

        def refuse(part, says, code=4, *flags):
            path = self.write("bad.json", json.dumps([{"role": "user", "content": [part, text]}]))
            self.assert_fails(code, "run", "-m", self.sees, "--messages", path, *flags, says=says)
        refuse({"type": "image_url", "image_url": {"url": "https://x.org/a.png"}}, "network")
        refuse({"type": "image_url", "image_url": {}}, "names no file")
        refuse({"type": "image_url"}, "names no file")
        refuse({"type": "image", "image": 7}, "must be a text")
        refuse({"type": "image"}, "names no file")
        refuse({"type": "image_url", "image_url": {"url": "data:image/png;base64,%%"}}, "content/0")
        refuse({"type": "input_audio", "input_audio": sound}, "no audio encoder")
        refuse({"type": "image", "image": self.image}, "no place", 2, "--image", self.other)

    def test_batches_name_files_and_a_bad_one_stops_nothing(self):
        lines = [
            {"id": 0, "prompt": "Hi", "image": self.image},
            {"id": 1, "prompt": "{image} or {image}", "image": [self.image, self.other]},
            {"id": 2, "prompt": "Hi", "image": self.path("none.png")},
            {"id": 3, "messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": self.image}},
                {"type": "text", "text": "Hi"}]}]},
            {"id": 4, "prompt": "Hi", "audio": self.clip},
            {"id": 5, "prompt": "Hi", "image": 7}, {"id": 6, "prompt": "Hi"}]
        path = self.write("batch.jsonl", "\n".join(json.dumps(line) for line in lines))
        done = self.command("run", "-m", self.sees, "--temp", "0", "-n", "6", "--batch", path)
        self.assertEqual(done.returncode, 4)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([a["id"] for a in answers], list(range(7)))
        self.assertEqual(["error" in a for a in answers],
                         [False, False, True, False, True, True, False])
        self.assertIn("no audio encoder", answers[4]["error"]["message"])
        self.assertEqual(answers[0]["token_ids"], answers[3]["token_ids"])
        self.assertEqual(answers[0]["token_ids"],
                         self.ask(self.sees, "--image", self.image, "Hi")["token_ids"])
        self.assertEqual([a["usage"]["media_tokens"] for a in answers if "usage" in a],
                         [266, 526, 266, 0])

    def test_chat_shows_pictures_and_keeps_them(self):
        talk = self.path("talk.jsonl")
        done = self.command(
            "chat", "-m", self.models["vision-31b"], "--temp", "0", "-n", "5", "--stats",
            "--save", talk, "--image-tokens", "70",
            stdin=f"/image {self.image}\nWhat?\nAgain?\n/edit Other words\n".encode())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 3)
        self.assertIn("a.png: 320x240, 63 tokens", done.stderr.decode())
        with open(talk, encoding="utf-8") as file:
            messages = [json.loads(line) for line in file]
        self.assertEqual(messages[0]["content"], [{"type": "image", "image": self.image},
                                                  {"type": "text", "text": "What?"}])
        self.assertEqual(messages[2]["content"], "Other words")
        # A saved conversation goes on with its pictures, and the edited message keeps its own.
        done = self.command("chat", "-m", self.models["vision-31b"], "--temp", "0", "-n", "5",
                            "--load", talk, "--save", talk, "--image-tokens", "70",
                            stdin=b"/undo\n/edit Who?\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(talk, encoding="utf-8") as file:
            self.assertEqual(json.loads(file.readline())["content"],
                             [{"type": "image", "image": self.image},
                              {"type": "text", "text": "Who?"}])
        first = self.command("chat", "-m", self.sees, "--temp", "0", "-n", "5", "--image",
                             self.image, stdin=b"Hi\n")
        alone = self.command("run", "-m", self.sees, "--temp", "0", "-n", "5", "--image",
                             self.image, "Hi")
        self.assertEqual(first.stdout, alone.stdout)
        self.assert_fails(4, "chat", "-m", self.sees, "-q", stdin=b"/image nothing.png\n",
                          says="nothing.png")
        self.assert_fails(4, "chat", "-m", self.sees, "-q", "--audio", self.clip, stdin=b"x\n",
                          says="no audio encoder")

    def test_flags_that_cannot_take_effect_are_refused(self):
        run = ("run", "-m", self.sees)
        image = ("--image", self.image)
        self.assert_fails(2, *run, "--image-tokens", "70", "x", says="--image-tokens")
        self.assert_fails(2, *run, *image, "--video-frames", "3", "x", says="--video-frames")
        self.assert_fails(2, *run, *image, "--image-tokens", "100", "x")
        self.assert_fails(2, *run, *image, "--image-tokens", "70", "--detail", "low", "x")
        self.assert_fails(2, *run, *image, "--max-duration", "soon", "x", says="--max-duration")
        self.assert_fails(2, *run, "--image", "-", "--image", "-", "x", says="named twice")
        self.assert_fails(2, *run, "--model-option", "colour=red", "x", says="colour")

    def test_bad_media_are_one_clear_error(self):
        def refuse(content, says="", name="bad.png", flag="--image", model=None, flags=()):
            path = self.save(name, content)
            self.assert_fails(4, "run", "-m", model or self.sees, flag, path, *flags, "x", says=says)
        refuse(b"", "bad.png")
        refuse(b"no picture", "bad.png")
        refuse(png(64, 64)[:60], "bad.png")
        refuse(png(200, 200), "--max-pixels", flags=("--max-pixels", "10k"))
        refuse(png(1, 3000), "elongated", flags=("--image-tokens", "1120"))
        refuse(wav(100), "", "bad.wav", "--audio", self.hears)
        refuse(wav(40000), "", "bad.wav", "--audio", self.hears, ("--max-duration", "1s"))
        self.assert_fails(4, "run", "-m", self.sees, "--image", "https://x.org/a.png", "x",
                          says="network")
        self.assert_fails(4, "run", "-m", self.sees, "-c", "200", "--image", self.image, "x",
                          says="does not fit the context")
        self.assert_fails(4, "run", "-m", self.model, "--image", self.image, "x",
                          says="no image encoder")

    def test_long_recordings_become_clips_with_a_warning(self):
        path = self.save("long.wav", wav(500_000))
        done = self.command("run", "-m", self.hears, "--print-prompt", "--json", "--audio", path,
                            "x")
        self.assertEqual(done.returncode, 0)
        self.assertIn("longer than 30 s", done.stderr.decode())
        got = json.loads(done.stdout)
        self.assertEqual(got["media"][0]["clips"], 2)
        self.assertEqual(got["prompt_token_ids"].count(AUDIO), 750 + 31)
        self.assertEqual(got["prompt_token_ids"].count(BEGIN_AUDIO), 2)

    def test_the_plan_counts_media(self):
        def plan(*arguments):
            done = self.command("run", "-m", self.sees, "--plan", "--json", *arguments)
            self.assertEqual(done.returncode, 0, done.stderr)
            return json.loads(done.stdout)
        self.assertEqual(plan("x")["media"], 0)
        small = plan("--image", self.image, "--image-tokens", "70", "x")["media"]
        large = plan("--image", self.image, "--image-tokens", "560", "x")["media"]
        self.assertTrue(0 < small < large)


if __name__ == "__main__":
    unittest.main()
