"""Reading and writing safetensors files, as much as is needed here."""

import json
import struct

import numpy as np
import torch

_NUMPY = {"F32": np.float32, "I64": np.int64, "U8": np.uint8, "I32": np.int32, "BOOL": np.bool_}


def read(path):
    """name -> tensor; bfloat16 is widened to float32."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        if entry["dtype"] == "BF16":
            words = np.frombuffer(data[begin:end], np.uint16).astype(np.uint32) << 16
            array = words.view(np.float32)
        else:
            array = np.frombuffer(data[begin:end], _NUMPY[entry["dtype"]]).copy()
        tensors[name] = torch.from_numpy(array.reshape(entry["shape"]))
    return tensors


def write_bfloat16(path, tensors):
    """Writes float tensors as bfloat16, rounded to nearest even, and int64 ones as they are."""
    header, blocks, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        if tensor.dtype == torch.int64:
            kind, block = "I64", tensor.numpy().tobytes()
        else:
            kind, block = "BF16", tensor.bfloat16().view(torch.int16).numpy().tobytes()
        header[name] = {"dtype": kind, "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + len(block)]}
        blocks.append(block)
        offset += len(block)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blocks))
