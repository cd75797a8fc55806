"""Trains the demo model's assistant: the small model that drafts what the demo model will say.

python3 assistant.py DATA STEPS     for DATA/joint.pt, the finished demo model, writes
                                    DATA/assistant.pt; always from the beginning

The assistant has queries only: its layers read the keys and values of the demo model's last layers
that have some. A draft starts from a hidden state of the demo model and the token that came of it,
and goes on from a state of its own; position and keys stay those of the first token. It learns what
the demo model itself thinks likeliest, at each of the next tokens, given the right ones before.

Shapes: B batch, K rows (positions whose next token the demo model has chosen), H hidden size of the
demo model, D that of the assistant.
"""

import os
import pathlib
import random
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import architecture
import conversations
import media_tasks
import speech
from decoder import (PAD, Example, embedded, encode_pictures, encode_speech, restore,
                     text_batch)
from model import Gemma4, feed_forward, rms, rotate
from tokenizer import Tokenizer
from towers import Log, optimizer, schedule, update

DRAFTED = 4        # tokens in a row that are learned
PEAK_RATE = 4e-3
NOTHING = -100     # a target that is not learned


class Assistant(nn.Module):
    """`config` is the assistant's config.json, `target` the model that it drafts for."""

    def __init__(self, config, target, seed=0):
        super().__init__()
        self.text, self.names = config["text_config"], {}
        self.generator = torch.Generator().manual_seed(seed)
        hidden, width = self.text["hidden_size"], self.text["intermediate_size"]
        backbone, heads = config["backbone_hidden_size"], self.text["num_attention_heads"]
        # Of each kind of layer, the last that has keys and values of its own.
        self.source = {layer["kind"]: layer["kv"] for layer in target.layers}
        self.dim = {layer["kind"]: layer["head_dim"] for layer in target.layers}
        self._add("pre_projection.weight", hidden, 2 * backbone)
        self._add("post_projection.weight", backbone, hidden)
        self._add("model.embed_tokens.weight", self.text["vocab_size"], hidden)
        self._add("model.norm.weight", hidden, value=1)
        for index, kind in enumerate(self.text["layer_types"]):
            name, dim = f"model.layers.{index}.", self.dim[kind]
            for norm in ("input_layernorm", "pre_feedforward_layernorm"):
                self._add(name + norm + ".weight", hidden, value=1)
            for norm in ("post_attention_layernorm", "post_feedforward_layernorm"):
                self._add(name + norm + ".weight", hidden, value=0.5)
            self._add(name + "self_attn.q_norm.weight", dim, value=dim ** -0.25)
            self._add(name + "self_attn.q_proj.weight", heads * dim, hidden)
            self._add(name + "self_attn.o_proj.weight", hidden, heads * dim)
            self._add(name + "mlp.gate_proj.weight", width, hidden)
            self._add(name + "mlp.up_proj.weight", width, hidden)
            self._add(name + "mlp.down_proj.weight", hidden, width)
            self._add(name + "layer_scalar", 1, value=1)

    _add = Gemma4._add
    weight = Gemma4.weight

    def step(self, embedded, state, keys_values, ropes, masks):
        """One draft: token embeddings and states [B,K,H] -> logits [B,K,V] and new states [B,K,H].

        `keys_values`, `ropes` and `masks` are the target's, by kind of layer.
        """
        batch, rows, _ = state.shape
        heads = self.text["num_attention_heads"]
        x = F.linear(torch.cat((embedded, state), -1), self.weight("pre_projection.weight"))
        for index, kind in enumerate(self.text["layer_types"]):
            name, dim = f"model.layers.{index}.", self.dim[kind]
            k, v = keys_values[kind]
            groups = heads // k.shape[1]
            a = rms(x, self.weight(name + "input_layernorm.weight"))
            q = F.linear(a, self.weight(name + "self_attn.q_proj.weight"))
            q = q.view(batch, rows, heads, dim).transpose(1, 2)
            q = rotate(rms(q, self.weight(name + "self_attn.q_norm.weight")), *ropes[kind])
            # The queries of one key/value head lie together: [B, kv, groups*K, d].
            q = q.reshape(batch, -1, groups * rows, dim)
            scores = (q @ k.transpose(-1, -2)).view(batch, -1, groups, rows, k.shape[2])
            prob = torch.softmax(scores + masks[kind], -1).view(batch, -1, groups * rows,
                                                                k.shape[2])
            out = (prob @ v).view(batch, heads, rows, dim).transpose(1, 2)
            out = F.linear(out.reshape(batch, rows, -1),
                           self.weight(name + "self_attn.o_proj.weight"))
            x = x + rms(out, self.weight(name + "post_attention_layernorm.weight"))
            x = feed_forward(self.weight, name, x)
            x = x * self.weight(name + "layer_scalar")
        y = rms(x, self.weight("model.norm.weight"))
        return (F.linear(y, self.weight("model.embed_tokens.weight")),
                F.linear(y, self.weight("post_projection.weight")))


@torch.no_grad()
def listen(target, examples, modality=None):
    """What the target computes of a batch: states [B,K,H] at the wanted positions, keys and values
    by kind of layer, their rotary tables and masks, and for each place in a draft the tokens that
    go in and those to be learned, [B,K] each.
    """
    ids, x, wanted, tokens = embedded(target, examples, modality)
    cache = {}
    hidden = target.decode(ids, x, cache, wanted=wanted)
    likeliest = target.logits(hidden).argmax(-1).masked_fill(tokens == NOTHING, NOTHING)

    kinds = {layer["kind"]: layer["head_dim"] for layer in target.layers}
    keys_values = {layer["kind"]: cache[layer["kv"]] for layer in target.layers}
    ropes = {kind: target._rope(kind, dim, wanted[:, None]) for kind, dim in kinds.items()}
    masks = {kind: target._mask(kind, wanted, ids.shape[1])[:, None, None] for kind in kinds}

    def later(values, count, filler):
        """Row k becomes that of the position `count` after it, `filler` if that is not wanted."""
        moved, at = torch.full_like(values, filler), torch.full_like(wanted, -1)
        if count < values.shape[1]:
            moved[:, :values.shape[1] - count] = values[:, count:]
            at[:, :values.shape[1] - count] = wanted[:, count:]
        return moved.masked_fill(at != wanted + count, filler)

    given = [later(tokens.masked_fill(tokens == NOTHING, PAD), place, PAD)
             for place in range(DRAFTED)]
    learned = [later(likeliest, place + 1, NOTHING) for place in range(DRAFTED)]
    return hidden, keys_values, ropes, masks, given, learned


def learn(assistant, target, examples, share, log, name, modality=None):
    """Adds the gradient of one batch, weighted by `share`."""
    state, keys_values, ropes, masks, given, learned = listen(target, examples, modality)
    loss, accepted, stands = 0.0, 0.0, None
    for tokens, wanted in zip(given, learned):
        scores, state = assistant.step(target.embed(tokens), state, keys_values, ropes, masks)
        if (wanted != NOTHING).any():
            loss = loss + F.cross_entropy(scores.flatten(0, 1), wanted.flatten(),
                                          ignore_index=NOTHING) / DRAFTED
        right = scores.argmax(-1) == wanted
        stands = right if stands is None else stands & right
        accepted = accepted + stands.float().sum()
    (share * loss).backward()
    log.add(**{f"{name} loss": loss.detach(), f"{name} accepted":
               accepted / max(1, int((learned[0] != NOTHING).sum()))})


def train(folder, steps):
    tokenizer = Tokenizer(folder / "tokenizer.json")
    target = Gemma4(architecture.config())
    restore(folder / "joint.pt", target)
    target.requires_grad_(False)
    mels, texts, _ = speech.make(150, False, 71)
    heard = encode_speech(target, mels, texts, 72)
    seen = encode_pictures(target, 150, 73)
    assistant = Assistant(architecture.assistant_config(), target, seed=74)
    weights = {name: assistant.weight(name) for name in assistant.names}
    parameters = list(weights.values())
    adam, source, log = optimizer(parameters), random.Random(75), Log()
    for step in range(steps):
        for name, tasks, count, share in (("short", conversations.SHORT, 16, 0.4),
                                          ("sums", conversations.SUMS, 8, 0.2),
                                          ("tools", conversations.LONG, 2, 0.15)):
            # In batches of like answers, so that little is padded.
            batch = sorted(text_batch(tokenizer, source, tasks, count),
                           key=lambda e: len(e.wanted))
            for part in ([batch[:count // 2], batch[count // 2:]] if count > 4 else [batch]):
                learn(assistant, target, part, share * len(part) / count, log, name)
        shown = [source.choice(seen) for _ in range(3)]
        spoken = [source.choice(heard) for _ in range(3)]
        learn(assistant, target,
              [Example(tokenizer, media_tasks.picture_example(s, len(m), source), m)
               for m, s in shown], 0.15, log, "image", "vision")
        learn(assistant, target,
              [Example(tokenizer, media_tasks.speech_example(w, len(m), source), m)
               for m, w in spoken], 0.1, log, "audio", "audio")
        update(adam, parameters, schedule(step, steps, PEAK_RATE))
        if step % 25 == 24:
            log.show(step + 1)
    torch.save({"weights": {name: p.detach() for name, p in weights.items()}},
               folder / "assistant.pt")


def main():
    torch.set_num_threads(int(os.environ.get("THREADS", "1")))
    torch.set_flush_denormal(True)
    train(pathlib.Path(sys.argv[1]), int(sys.argv[2]))


if __name__ == "__main__":
    main()
