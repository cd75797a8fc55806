"""Scores the demo model with the program itself, on examples that it was not trained on.

python3 evaluate.py GEMMA4 MODEL [COUNT] [--media] [--only-text|--only-media]

Prints a Markdown table. GEMMA4 is the program, MODEL a checkpoint folder. Answers count only when
they are exactly right; wrong ones go to stderr. With --media the pictures and the speech go through
the program as files, too; without, through model.py with the (unquantised) checkpoint's weights.
"""

import json
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile
import wave
import zlib

import numpy as np
import torch

import conversations
import media_tasks
import pictures
import safetensors
import speech
from architecture import ID, STOPS
from model import Gemma4
from tokenizer import Tokenizer

TASKS = [
    ("Facts", conversations.fact, lambda c: not c.get("system") and not c["thinking"]),
    ("System prompt: capitals, one word, pirate", conversations.fact,
     lambda c: c.get("system", "").startswith(("Answer", "Write", "Use", "You", "Talk"))),
    ("System prompt: a name", conversations.greeting, lambda c: c["system"]),
    ("Arithmetic: + and - up to 20, * up to 9", conversations.arithmetic,
     lambda c: not c["thinking"]),
    ("Arithmetic after thinking, up to 99", conversations.arithmetic, lambda c: c["thinking"]),
    ("Facts after thinking", conversations.fact, lambda c: c["thinking"]),
    ("Remembers the turn before", conversations.memory, lambda c: True),
    ("JSON from a sentence", conversations.json_answer, lambda c: True),
    ("Tool call, one to four tools declared", conversations.tool_call,
     lambda c: "call" in c["messages"][-1]),
    ("Answer from a tool's result", conversations.tool_call,
     lambda c: c["messages"][-2]["role"] == "tool"),
    ("No call where none is asked for", conversations.tool_question, lambda c: True),
]
NEVER_HELD_OUT = {"Answer from a tool's result", "No call where none is asked for"}


def collect(task, accept, count, seed, fresh):
    r, found = random.Random(seed), []
    while len(found) < count:
        conversation = task(r)
        if fresh and not conversations.held_out(conversation["key"]):
            continue
        if accept(conversation):
            found.append(conversation)
    return found


def tool_schema(tool):
    properties = {}
    for name, (kind, description, choices) in tool["parameters"].items():
        properties[name] = {"type": kind}
        if description:
            properties[name]["description"] = description
        if choices:
            properties[name]["enum"] = choices
    return {"type": "function", "function": {
        "name": tool["name"], "description": tool["description"],
        "parameters": {"type": "object", "properties": properties,
                       "required": list(tool["parameters"])}}}


def request(conversation):
    """A line for `gemma4 run --batch`."""
    messages = []
    if conversation.get("system"):
        messages.append({"role": "system", "content": conversation["system"]})
    for message in conversation["messages"][:-1]:
        if "call" in message:
            name, fields = message["call"]
            messages.append({"role": "assistant", "tool_calls": [
                {"id": "1", "type": "function",
                 "function": {"name": name, "arguments": fields}}]})
        elif message["role"] == "tool":
            messages.append({"role": "tool", "tool_call_id": "1", "content": message["content"]})
        else:
            messages.append(message)
    line = {"messages": messages, "max_tokens": 120}
    if conversation.get("tools"):
        line["tools"] = [tool_schema(tool) for tool in conversation["tools"]]
    return line


def run_batch(program, model, lines, *flags):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
        file.flush()
        done = subprocess.run([program, "run", "-m", model, "--batch", file.name, *flags],
                              stdout=subprocess.PIPE, check=False)
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def is_right(conversation, answer):
    wanted = conversation["messages"][-1]
    if "error" in answer:
        return False
    calls = [(call["function"]["name"], call["function"]["arguments"])
             if "function" in call else (call["name"], call["arguments"])
             for call in answer["tool_calls"] or []]
    calls = [(name, json.loads(a) if isinstance(a, str) else a) for name, a in calls]
    if "call" in wanted:
        return calls == [tuple(wanted["call"])]
    if conversation.get("thinking") and not answer["reasoning"]:
        return False
    return not calls and (answer["text"] or "").strip() == wanted["content"]


def show(name, results):
    right = sum(results)
    print(f"| {name} | {right} of {len(results)} | {100 * right / len(results):.1f} % |",
          flush=True)


def score_text(program, model, count):
    for number, (name, task, accept) in enumerate(TASKS):
        asked = collect(task, accept, count, 60 + number, name not in NEVER_HELD_OUT)
        results = []
        for thinking in (False, True):
            some = [c for c in asked if bool(c.get("thinking")) == thinking]
            if not some:
                continue
            answers = run_batch(program, model, map(request, some),
                                *(["--think"] if thinking else []))
            for conversation, answer in zip(some, answers):
                results.append(is_right(conversation, answer))
                if not results[-1]:
                    print("    ", conversation["messages"][-2]["content"], "->",
                          answer.get("reasoning"), answer.get("text"), answer.get("tool_calls"),
                          answer.get("error", ""), file=sys.stderr)
        show(name, results)


# ---- Pictures and speech ----

def write_png(path, pixels):
    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data +
                struct.pack(">I", zlib.crc32(kind + data)))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" +
                     chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                     chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write_wav(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(speech.RATE)
        file.writeframes(samples.astype("<i2").tobytes())


class Torch:
    """The checkpoint in model.py, greedy."""

    def __init__(self, folder):
        config = json.loads((folder / "config.json").read_text())
        self.model = Gemma4(config)
        self.model.load(safetensors.read(folder / "model.safetensors"))
        self.tokenizer = Tokenizer(folder / "tokenizer.json")

    @torch.no_grad()
    def answer(self, prompt, encoded, modality):
        model = self.model
        rows = model.soft_tokens(encoded, modality)
        spelling = f"<|{modality}|>" if modality == "audio" else "<|image|>"
        begin, end = spelling.replace("|>", ">"), spelling.replace("<|", "<")
        text = conversations.opening() + (f"<|turn>user\n{begin}{spelling * len(rows)}{end}"
                                          f"{prompt}<turn|>\n<|turn>model\n")
        ids = torch.tensor([self.tokenizer.encode(text)])
        places = (ids == ID["<|image|>"]) | (ids == ID["<|audio|>"])
        ids = ids.masked_fill(places, ID["<pad>"])
        x = model.embed(ids).masked_scatter(places[..., None], rows)
        cache, made = {}, []
        for _ in range(60):
            hidden = model.decode(ids, x, cache)
            best = int(model.logits(hidden[:, -1]).argmax())
            if best in STOPS:
                break
            made.append(best)
            ids = torch.tensor([[best]])
            x = model.embed(ids)
        return self.tokenizer.decode(made)

    @torch.no_grad()
    def see(self, pixels, prompt):
        x = torch.from_numpy(pictures.patches(pixels))[None].float() / 255
        encoded = self.model.encode_image(x, pixels.shape[1] // 16, pixels.shape[0] // 16)
        return self.answer(prompt, encoded[0], "vision")

    @torch.no_grad()
    def hear(self, samples, prompt):
        mel = torch.from_numpy(speech.log_mel(samples))[None]
        return self.answer(prompt, self.model.encode_audio(mel)[0], "audio")


def word_errors(said, wanted):
    """Edit distance in words."""
    said, wanted = (re.sub(r"[^a-z ]", "", text.lower()).split() for text in (said, wanted))
    row = list(range(len(wanted) + 1))
    for i, word in enumerate(said, 1):
        new = [i]
        for j, other in enumerate(wanted, 1):
            new.append(min(row[j] + 1, new[-1] + 1, row[j - 1] + (word != other)))
        row = new
    return row[-1], len(wanted)


def speech_clips(count, seed):
    """Held-out utterances, by kind: samples and the words."""
    r, noise, found = random.Random(seed), np.random.default_rng(seed), {}
    while len(found) < 4 or min(map(len, found.values())) < count:
        kind, words = speech.spoken(r)
        long = len(words.split()) >= 3
        if len(found.setdefault(kind, [])) < count and speech.held_out(words) == long:
            found[kind].append((speech.perform(words, r, noise), words))
    return found


def score_media(program, folder, count, through_program):
    model = Torch(folder)
    r = random.Random(91)
    drawn = [pictures.draw(r) for _ in range(count)]
    heard = speech_clips(count, 92)
    prompts = {
        "Picture described": (media_tasks.DESCRIBE, "describe"),
        "Alt text of a picture": (media_tasks.ALT_TEXT, "alt"),
        "Shapes counted": ("How many shapes are there?", "count"),
    }
    with tempfile.TemporaryDirectory() as temporary:
        temporary = pathlib.Path(temporary)
        for name, (prompt, kind) in prompts.items():
            wanted = [media_tasks.picture_answer(kind, shapes) for _, shapes in drawn]
            if through_program:
                lines = []
                for i, (pixels, _) in enumerate(drawn):
                    path = temporary / f"{i}.png"
                    write_png(path, pixels)
                    lines.append({"prompt": prompt, "image": str(path), "max_tokens": 80})
                said = [a.get("text", "") for a in run_batch(program, str(folder), lines)]
            else:
                said = [model.see(pixels, prompt) for pixels, _ in drawn]
            for s, w in zip(said, wanted):
                if s != w:
                    print("    ", w, "->", s, file=sys.stderr)
            show(name, [s == w for s, w in zip(said, wanted)])
        errors, words_in_all = 0, 0
        for kind, clips in heard.items():
            if through_program:
                lines = []
                for i, (samples, _) in enumerate(clips):
                    path = temporary / f"{kind}{i}.wav"
                    write_wav(path, samples)
                    lines.append({"prompt": media_tasks.TRANSCRIBE, "audio": str(path),
                                  "max_tokens": 60})
                said = [a.get("text", "") for a in run_batch(program, str(folder), lines)]
            else:
                said = [model.hear(samples, media_tasks.TRANSCRIBE) for samples, _ in clips]
            results = []
            for s, (_, words) in zip(said, clips):
                wrong, total = word_errors(s, words)
                errors, words_in_all = errors + wrong, words_in_all + total
                results.append(s == speech.written(words))
                if not results[-1]:
                    print("    ", words, "->", s, file=sys.stderr)
            show(f"Speech: {kind}s" if kind != "digits" else "Speech: one to four digits",
                 results)
        print(f"| Speech: words wrong | {errors} of {words_in_all} | "
              f"{100 * errors / words_in_all:.1f} % |", flush=True)


def main():
    torch.set_num_threads(1)
    flags = [a for a in sys.argv[1:] if a.startswith("--")]
    program, folder, *rest = [a for a in sys.argv[1:] if not a.startswith("--")]
    count = int(rest[0]) if rest else 100
    print("| Task | exactly right | |\n|---|---|---|")
    if "--only-media" not in flags:
        score_text(program, folder, count)
    if "--only-text" not in flags:
        score_media(program, pathlib.Path(folder), count, "--media" in flags)


if __name__ == "__main__":
    main()
