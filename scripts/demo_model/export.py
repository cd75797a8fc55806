"""Writes a trained demo model, or its assistant, as a checkpoint, in bfloat16.

python3 export.py DATA/joint.pt DATA/tokenizer.json FOLDER
python3 export.py DATA/assistant.pt FOLDER
"""

import json
import pathlib
import random
import shutil
import sys

import torch

import architecture
import pictures
import safetensors
import speech
from decoder import restore
from model import AUDIO, VISION, Gemma4

TEMPLATE = (pathlib.Path(__file__).resolve().parents[2] /
            "share/chat_templates/gemma4-small.jinja")
MARGIN = 1.5  # bounds of clipped linears, over the largest values seen


def clip_bounds(model):
    """Bounds for the towers' clipped linears, from what they see on fresh examples."""
    model.observed = {}
    source = random.Random(51)
    with torch.no_grad():
        for _ in range(40):
            pixels, _ = pictures.draw(source)
            x = torch.from_numpy(pictures.patches(pixels))[None].float() / 255
            model.encode_image(x, pixels.shape[1] // 16, pixels.shape[0] // 16)
        for mel in speech.make(40, False, 52)[0]:
            model.encode_audio(torch.from_numpy(mel).float()[None])
    names = ("input_min", "input_max", "output_min", "output_max")
    return {f"{linear}.{name}": torch.tensor(MARGIN * extreme)
            for linear, extremes in model.observed.items()
            for name, extreme in zip(names, extremes)}


def write_json(path, document):
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def write_assistant(weights, folder):
    """Its vocabulary, template and tokenizer are those of the model that it drafts for."""
    tensors = torch.load(weights)["weights"]
    safetensors.write_bfloat16(folder / "model.safetensors", tensors)
    write_json(folder / "config.json", architecture.assistant_config())


def write_model(weights, tokenizer, folder):
    model = Gemma4(architecture.config())
    restore(weights, model)
    tensors = {name: model.weight(name) for name in model.names}
    assert any(name.startswith((VISION, AUDIO)) for name in tensors)
    tensors.update(clip_bounds(model))
    safetensors.write_bfloat16(folder / "model.safetensors", tensors)
    write_json(folder / "config.json", architecture.config())
    write_json(folder / "generation_config.json", architecture.generation_config())
    write_json(folder / "processor_config.json", architecture.processor_config())
    write_json(folder / "tokenizer_config.json", architecture.tokenizer_config())
    shutil.copy(tokenizer, folder / "tokenizer.json")
    shutil.copy(TEMPLATE, folder / "chat_template.jinja")


def main():
    *sources, folder = map(pathlib.Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    if len(sources) == 1:
        write_assistant(*sources, folder)
    else:
        write_model(*sources, folder)


if __name__ == "__main__":
    main()
