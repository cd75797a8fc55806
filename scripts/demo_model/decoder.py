"""Trains the decoder: first on text alone, then together with what the finished towers gave.

python3 decoder.py text DATA STEPS     writes DATA/text.pt
python3 decoder.py joint DATA STEPS    from text.pt, vision.pt, audio.pt writes DATA/joint.pt
"""

import os
import pathlib
import random
import sys

import numpy as np
import torch
import torch.nn.functional as F

import architecture
import conversations
import media_tasks
import pictures
import speech
from model import Gemma4
from tokenizer import Tokenizer
from towers import Log, disturb, optimizer, padded, resume, save, schedule, update

PAD = architecture.ID["<pad>"]
SOFT = (architecture.ID["<|image|>"], architecture.ID["<|audio|>"])


class Example:
    """Ids of a conversation, which of them are learned, and its media rows."""

    def __init__(self, tokenizer, parts, media=None):
        self.ids, self.learned, self.media = [], [], media
        for text, learned in parts:
            ids = tokenizer.encode(text)
            self.ids += ids
            self.learned += [learned] * len(ids)
        # Position p is wanted when token p + 1 is to be learned.
        self.wanted = [p for p in range(len(self.ids) - 1) if self.learned[p + 1]]


def collate(examples):
    """-> ids [B,T], wanted [B,K], targets [B,K] (-100 where there is none)."""
    length = max(len(e.ids) for e in examples)
    most = max(len(e.wanted) for e in examples)
    ids = torch.full((len(examples), length), PAD)
    wanted = torch.zeros(len(examples), most, dtype=torch.long)
    targets = torch.full((len(examples), most), -100)
    for row, e in enumerate(examples):
        ids[row, :len(e.ids)] = torch.tensor(e.ids)
        wanted[row, :len(e.wanted)] = torch.tensor(e.wanted)
        targets[row, :len(e.wanted)] = torch.tensor([e.ids[p + 1] for p in e.wanted])
    return ids, wanted, targets


def embedded(model, examples, modality=None):
    """collate(), with the rows [B,T,H] that enter the decoder: embeddings, and media in place."""
    ids, wanted, targets = collate(examples)
    places = (ids == SOFT[0]) | (ids == SOFT[1])
    ids = ids.masked_fill(places, PAD)
    x = model.embed(ids)
    if modality:
        rows = model.soft_tokens(torch.cat([e.media for e in examples]), modality)
        x = x.masked_scatter(places[..., None], rows)
    return ids, x, wanted, targets


def answers(model, examples, modality=None):
    """Scores at the wanted positions, and the targets."""
    ids, x, wanted, targets = embedded(model, examples, modality)
    hidden = model.decode(ids, x, wanted=wanted)
    return model.logits(hidden), targets


def learn(model, examples, share, log, name, modality=None):
    """Adds the gradient of one batch, weighted by `share`."""
    scores, targets = answers(model, examples, modality)
    loss = F.cross_entropy(scores.flatten(0, 1), targets.flatten(), ignore_index=-100)
    (share * loss).backward()
    with torch.no_grad():
        right = ((scores.argmax(-1) == targets) | (targets == -100)).all(-1).float().mean()
    log.add(**{f"{name} loss": loss, f"{name} right": right})


def text_batch(tokenizer, source, tasks, count):
    return [Example(tokenizer, conversations.rendered(conversations.example(tasks, source)[1]))
            for _ in range(count)]


def learn_text(model, tokenizer, source, log, share):
    # In batches of like lengths, so that little is padded.
    for name, tasks, count, weight in (("short", conversations.SHORT, 8, 0.35),
                                       ("sums", conversations.SUMS, 24, 0.5),
                                       ("tools", conversations.LONG, 1, 0.15)):
        batch = sorted(text_batch(tokenizer, source, tasks, count), key=lambda e: len(e.ids))
        cut = count * 5 // 8
        for part in ([batch[:cut], batch[cut:]] if count > 16 else [batch]):
            scale = share * weight * len(part) / count
            learn(model, part, scale, log, name)


def decoder_weights(model):
    return {name: model.weight(name) for name in model.names if "_tower." not in name}


def restore(path, model):
    """Takes the weights of a finished stage."""
    with torch.no_grad():
        for name, tensor in torch.load(path)["weights"].items():
            model.weight(name).copy_(tensor)


def train_text(folder, steps):
    tokenizer = Tokenizer(folder / "tokenizer.json")
    model = Gemma4(architecture.config(), seed=31)
    weights = decoder_weights(model)
    parameters = list(weights.values())
    adam, source, log = optimizer(parameters), random.Random(32), Log()
    for step in range(resume(folder / "text.pt", weights, adam), steps):
        learn_text(model, tokenizer, source, log, 1.0)
        # The rate stays up at the end: training goes on with the media.
        update(adam, parameters, 2.5e-3 * min(1, (step + 1) / 100))
        if step % 25 == 24:
            log.show(step + 1)
        if step % 50 == 49 or step + 1 == steps:
            save(folder / "text.pt", weights, adam, step + 1)


def encode_pictures(model, count, seed):
    """Drawings, through the tower: (soft tokens before projection, shapes)."""
    source, found = random.Random(seed), []
    with torch.no_grad():
        for _ in range(count):
            pixels, shapes = pictures.draw(source)
            x = torch.from_numpy(pictures.patches(pixels))[None].float() / 255
            rows, columns = pixels.shape[0] // 16, pixels.shape[1] // 16
            found.append((model.encode_image(x, columns, rows)[0], shapes))
    return found


def encode_speech(model, mels, texts, seed):
    source, found = random.Random(seed), []
    with torch.no_grad():
        for mel, words in zip(mels, texts):
            x = padded([disturb(mel, source)])
            found.append((model.encode_audio(x)[0], words))
    return found


def train_joint(folder, steps):
    tokenizer = Tokenizer(folder / "tokenizer.json")
    model = Gemma4(architecture.config(), seed=41)
    for name in ("text", "vision", "audio"):
        restore(folder / f"{name}.pt", model)
    weights = decoder_weights(model)
    parameters = list(weights.values())
    mels, texts, _ = speech.load(folder / "speech-train.npz")
    adam, source, log = optimizer(parameters), random.Random(42), Log()
    order = list(range(len(mels)))
    source.shuffle(order)
    mels, texts = [mels[i] for i in order], [texts[i] for i in order]
    # The towers stand still, so what they say of an item is computed once.
    seen, heard = [], []
    for step in range(resume(folder / "joint.pt", weights, adam), steps):
        if len(seen) < 4000:
            seen += encode_pictures(model, 2 if seen else 300, 43 + step)
        if len(heard) < len(mels):
            some = slice(len(heard), len(heard) + (4 if heard else 400))
            heard += encode_speech(model, mels[some], texts[some], 43 + step)
        shown = [source.choice(seen) for _ in range(16)]
        spoken = [source.choice(heard) for _ in range(8)]
        learn_text(model, tokenizer, source, log, 0.35)
        learn(model, [Example(tokenizer, media_tasks.picture_example(s, len(m), source), m)
                      for m, s in shown], 0.45, log, "image", "vision")
        learn(model, [Example(tokenizer, media_tasks.speech_example(w, len(m), source), m)
                      for m, w in spoken], 0.2, log, "audio", "audio")
        update(adam, parameters, schedule(step, steps, 2.5e-3))
        if step % 25 == 24:
            log.show(step + 1)
        if step % 50 == 49 or step + 1 == steps:
            save(folder / "joint.pt", {n: model.weight(n) for n in model.names}, adam, step + 1)


def main():
    torch.set_num_threads(int(os.environ.get("THREADS", "1")))
    torch.set_flush_denormal(True)
    stage, folder, steps = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    {"text": train_text, "joint": train_joint}[stage](folder, steps)


if __name__ == "__main__":
    main()
