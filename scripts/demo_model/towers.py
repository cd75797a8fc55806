"""Trains the two towers on their own, before the decoder sees them.

Each gets a throw-away head that names what every soft token shows: for pictures the shape that has
its centre there, for speech the word that ends there (CTC). Decoding is then a matter of reading.

python3 towers.py vision|audio DATA STEPS      writes DATA/vision.pt, DATA/audio.pt
"""

import pathlib
import random
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import architecture
import pictures
import speech
from model import VISION, Gemma4


def schedule(step, steps, peak):
    """Learning rate: up over 100 steps, then down to a fiftieth of the peak."""
    if step < 100:
        return peak * (step + 1) / 100
    return peak * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * step / steps)))


def optimizer(parameters):
    parameters = list(parameters)
    return torch.optim.AdamW([{"params": [p for p in parameters if p.ndim > 1],
                               "weight_decay": 0.02},
                              {"params": [p for p in parameters if p.ndim <= 1],
                               "weight_decay": 0.0}], lr=1e-3, betas=(0.9, 0.98), foreach=True)


def update(adam, parameters, rate):
    for group in adam.param_groups:
        group["lr"] = rate
    nn.utils.clip_grad_norm_(parameters, 1.0)
    adam.step()
    adam.zero_grad(set_to_none=True)


def tower_parameters(model, modality):
    prefix = f"model.{modality}_tower."
    return {name: model.weight(name) for name in model.names if name.startswith(prefix)}


UTTERANCES = 16  # a batch


def save(path, weights, adam, step, **more):
    """A stage's weights (name -> tensor) and what is needed to go on with it."""
    partial = path.with_suffix(".new")
    torch.save({"weights": {name: p.detach() for name, p in weights.items()},
                "adam": adam.state_dict(), "step": step, **more}, partial)
    partial.rename(path)


def resume(path, weights, adam, heads=None):
    """Takes up an interrupted stage. Returns the step to go on with."""
    if not path.exists():
        return 0
    saved = torch.load(path)
    with torch.no_grad():
        for name, tensor in weights.items():
            tensor.copy_(saved["weights"][name])
    if heads is not None:
        heads.load_state_dict(saved["heads"])
    if saved.get("adam"):
        adam.load_state_dict(saved["adam"])
    print(f"resumed at step {saved['step']}", flush=True)
    return saved["step"]


class Log:
    def __init__(self):
        self.start, self.sums = time.time(), {}

    def add(self, **values):
        for name, value in values.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + float(value), count + 1)

    def show(self, step):
        text = "  ".join(f"{name} {total / count:.3f}"
                         for name, (total, count) in self.sums.items())
        print(f"{step:6d} {time.time() - self.start:7.0f} s  {text}", flush=True)
        self.sums = {}


def principal_filters(count):
    """[count,768]: what patches with something in them differ by most, each to unit variance."""
    source, rows = random.Random(10), []
    for _ in range(400):
        x = 2 * (pictures.patches(pictures.draw_detail(source)[0]) / 255 - 0.5)
        rows.append(x[x.std(1) > 0.05])
    rows = np.concatenate(rows)
    values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
    best = vectors[:, -count:] / np.sqrt(values[-count:])
    return torch.from_numpy(best.T.copy()).float()


def train_vision(folder, steps):
    model = Gemma4(architecture.config(), seed=11)
    width = model.vision["hidden_size"]
    with torch.no_grad():
        model.weight(VISION + "patch_embedder.input_proj.weight").copy_(principal_filters(width))
    torch.manual_seed(12)
    heads = nn.ModuleList(nn.Linear(width, classes) for classes in (33, 9, 5, 9, 9))
    tower = tower_parameters(model, "vision")
    parameters = [*tower.values(), *heads.parameters()]
    adam, source, log = optimizer(parameters), random.Random(13), Log()
    weight = torch.ones(33)
    weight[1:] = 4.0
    for step in range(resume(folder / "vision.pt", tower, adam, heads), steps):
        # Single shapes first, then parts of pictures, then whole ones, which cost the most.
        left = top = 0
        if step < steps * 0.6:
            left, top = 48 * source.randint(0, 4), 48 * source.randint(0, 4)
            items = [pictures.draw_detail(source) for _ in range(24)]
        elif step < steps * 0.9:
            left, top = 48 * source.randint(0, 3), 48 * source.randint(0, 2)
            items = [pictures.draw_scene(source, left, top) for _ in range(12)]
        else:
            items = [pictures.draw(source) for _ in range(8)]
        groups = {}  # one batch for each size of picture
        for pixels, shapes in items:
            groups.setdefault(pixels.shape, []).append(
                (pictures.patches(pixels),
                 pictures.cell_labels(pixels, shapes) + pictures.cell_places(pixels, left, top)))
        count = sum(map(len, groups.values()))
        for (height, width_, _), group in groups.items():
            x = torch.from_numpy(np.stack([item[0] for item in group])).float() / 255
            labels = [torch.from_numpy(np.stack([item[1][i] for item in group])).flatten()
                      for i in range(5)]
            encoded = model.encode_image(x, width_ // 16, height // 16, left // 16, top // 16)
            encoded = F.layer_norm(encoded, [width])
            scores = [head(encoded).flatten(0, 1) for head in heads]
            loss = F.cross_entropy(scores[0], labels[0], weight)
            loss = loss + 0.5 * F.cross_entropy(scores[1], labels[1])
            loss = loss + 0.5 * F.cross_entropy(scores[2], labels[2])
            # The decoder counts tokens in one row; where they lie must come from here.
            loss = loss + 0.3 * F.cross_entropy(scores[3], labels[3])
            loss = loss + 0.3 * F.cross_entropy(scores[4], labels[4])
            (loss * len(group) / count).backward()
            with torch.no_grad():
                guess = scores[0].argmax(-1)
                shown = labels[0] > 0
                log.add(loss=loss, place=(scores[3].argmax(-1) == labels[3]).float().mean(),
                        false=((guess > 0) & ~shown).float().sum() / len(group))
                if shown.any():
                    log.add(found=(guess == labels[0])[shown].float().mean())
        update(adam, parameters, schedule(step, steps, 3e-3))
        if step % 50 == 49 or step + 1 == steps:
            log.show(step + 1)
            save(folder / "vision.pt", tower, adam, step + 1, heads=heads.state_dict())


def disturb(mel, source):
    """Another level and another noise, put into finished log-mel features."""
    magnitude = np.exp(mel.astype(np.float32)) - 1e-3
    magnitude *= source.uniform(0.5, 1.6)
    if source.random() < 0.5:
        level = 10 ** source.uniform(-3, -0.7)
        tilt = np.linspace(1, source.uniform(0.3, 2), 128, dtype=np.float32)
        noise = np.random.default_rng(source.getrandbits(32)).exponential(
            1, mel.shape).astype(np.float32)
        magnitude = np.sqrt(magnitude ** 2 + (level * tilt * noise) ** 2)
    return np.log(np.maximum(magnitude, 0) + 1e-3)


def padded(mels):
    batch = np.full((len(mels), max(map(len, mels)), 128), -6.907755, np.float32)
    for row, mel in zip(batch, mels):
        row[:len(mel)] = mel
    return torch.from_numpy(batch)


def best_path(scores, words):
    """The words of one utterance from the scores [n,words+1], 0 being the blank."""
    best = scores.argmax(-1).tolist()
    return " ".join(words[b - 1] for a, b in zip([0] + best, best) if b not in (0, a))


def train_audio(folder, steps):
    mels, texts, _ = speech.load(folder / "speech-train.npz")
    test_mels, test_texts, test_kinds = speech.load(folder / "speech-test.npz")
    words = sorted({word for text in texts for word in text.split()})
    number = {word: i + 1 for i, word in enumerate(words)}
    print(len(mels), "utterances of", len(words), "words", flush=True)
    model = Gemma4(architecture.config(), seed=21)
    torch.manual_seed(22)
    width = model.audio["output_proj_dims"]
    head = nn.Linear(width, len(words) + 1)
    tower = tower_parameters(model, "audio")
    parameters = [*tower.values(), *head.parameters()]
    adam, source, log = optimizer(parameters), random.Random(23), Log()
    order = []
    for step in range(resume(folder / "audio.pt", tower, adam, head), steps):
        if not order:  # batches of like length, in random order
            # Short utterances first: with them the words are found sooner.
            usable = [i for i in range(len(mels))
                      if step >= steps // 5 or len(texts[i].split()) <= 2]
            ranked = sorted(usable, key=lambda i: len(mels[i]) + source.uniform(0, 30))
            order = [ranked[i:i + UTTERANCES]
                     for i in range(0, len(ranked), UTTERANCES)]
            source.shuffle(order)
        batch = order.pop()
        x = padded([disturb(mels[i], source) for i in batch])
        encoded = F.layer_norm(model.encode_audio(x), [width])
        scores = head(encoded).log_softmax(-1)
        targets = [[number[word] for word in texts[i].split()] for i in batch]
        loss = F.ctc_loss(scores.transpose(0, 1), torch.tensor(sum(targets, [])),
                          torch.tensor([(len(mels[i]) + 3) // 4 for i in batch]),
                          torch.tensor([len(t) for t in targets]), zero_infinity=True)
        loss.backward()
        update(adam, parameters, schedule(step, steps, 2e-3))
        log.add(loss=loss)
        if step % 50 == 49:
            log.show(step + 1)
        if step % 250 == 249 or step + 1 == steps:
            save(folder / "audio.pt", tower, adam, step + 1, heads=head.state_dict())
            right = {}
            with torch.no_grad():
                for mel, text, kind in list(zip(test_mels, test_texts, test_kinds))[:200]:
                    x = torch.from_numpy(mel.astype(np.float32))[None]
                    encoded = F.layer_norm(model.encode_audio(x), [width])
                    right.setdefault(kind, []).append(best_path(head(encoded)[0], words) == text)
            print("       exact: ", {kind: f"{sum(r)}/{len(r)}" for kind, r in right.items()},
                  flush=True)


def main():
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    stage, folder, steps = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    {"vision": train_vision, "audio": train_audio}[stage](folder, steps)


if __name__ == "__main__":
    main()
