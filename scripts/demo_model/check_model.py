"""Compares model.py with the reference's numbers in tests/goldens. Prints the largest errors."""

import json
import pathlib

import torch

import safetensors
from model import Gemma4

GOLDENS = pathlib.Path(__file__).resolve().parents[2] / "tests/goldens"
LIMIT = 2e-4  # of the largest value; float32 noise is some 1e-6


def load(name):
    folder = GOLDENS / name
    config = json.loads((folder / "config.json").read_text())
    model = Gemma4(config)
    model.load(safetensors.read(folder / "model.safetensors"))
    return model, safetensors.read(folder / "goldens.safetensors")


def check(what, got, wanted):
    error = float((got - wanted).abs().max() / wanted.abs().max())
    print(f"{what:40} {error:.1e}")
    if not error < LIMIT:
        raise SystemExit(f"{what} differs from the reference")


def run(model, ids, rows=None, places=None):
    """Logits of a prompt [T], with media rows at the boolean `places`."""
    ids = ids.clone()
    if places is not None:
        ids[places] = 0
    x = model.embed(ids[None])
    if places is not None:
        x[0, places] = rows
    return model.logits(model.decode(ids[None], x))[0]


def main():
    torch.set_grad_enabled(False)
    model, golden = load("text-e")
    check("text-e logits", run(model, golden["input_ids"]), golden["logits"])
    cache, ids = {}, golden["input_ids"][None]  # and through the cache, in two parts
    model.decode(ids[:, :17], model.embed(ids[:, :17]), cache)
    rest = model.logits(model.decode(ids[:, 17:], model.embed(ids[:, 17:]), cache))
    check("text-e logits, in two parts", rest[0], golden["logits"][17:])

    model, golden = load("vision-e")
    for index in range(4):
        patches = golden[f"img{index}.patches_u8"].float()[None] / 255
        columns, rows = (golden[f"img{index}.position_ids"].max(0)[0] + 1).tolist()
        encoded = model.encode_image(patches, columns, rows)
        check(f"vision-e tower, image {index}", encoded[0], golden[f"img{index}.tower_out"])
        soft = model.soft_tokens(encoded, "vision")[0]
        check(f"vision-e soft tokens, image {index}", soft, golden[f"img{index}.soft_tokens"])
    soft = golden["img0.soft_tokens"]
    places = golden["prompt0.mm_token_type_ids"] == 1
    if int(places.sum()) == len(soft):
        logits = run(model, golden["prompt0.input_ids"], soft, places)
        check("vision-e logits", logits[-12:], golden["prompt0.logits_tail"])

    model, golden = load("audio-e")
    for index in range(2):
        mel = golden[f"clip{index}.mel"][golden[f"clip{index}.mel_mask"]]
        encoded = model.encode_audio(mel[None])[0]
        mask = golden[f"clip{index}.token_mask"]
        check(f"audio-e tower, clip {index}", encoded[:int(mask.sum())],
              golden[f"clip{index}.tower_out"][mask])
        soft = model.soft_tokens(encoded, "audio")
        wanted = golden[f"clip{index}.soft_tokens"]
        check(f"audio-e soft tokens, clip {index}", soft[:len(wanted)], wanted)
    soft = golden["clip0.soft_tokens"]
    places = golden["prompt0.mm_token_type_ids"] == 3
    logits = run(model, golden["prompt0.input_ids"], soft, places)
    check("audio-e logits", logits[-12:], golden["prompt0.logits_tail"])


if __name__ == "__main__":
    main()
