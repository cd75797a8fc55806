"""Small pictures, recordings and videos made for the test, by code here or by ffmpeg."""

import base64
import math
import shutil
import struct
import subprocess
import zlib

HAS_FFMPEG = shutil.which("ffmpeg") is not None


def png(width, height, seed=0):
    """An RGB picture without noise, another one for each seed."""
    rows = b"".join(
        b"\0" + bytes((7 * x + 13 * y + 29 * c + seed * 37) % 256
                      for x in range(width) for c in range(3))
        for y in range(height))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
              (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks)


def wav(samples, rate=16000):
    """A mono recording of two tones, 16 bits."""
    data = b"".join(struct.pack("<h", int(9000 * math.sin(i * 0.05) + 5000 * math.sin(i * 0.21)))
                    for i in range(samples))
    return (b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt "
            + struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
            + b"data" + struct.pack("<I", len(data)) + data)


def make_video(path, frames=12, rate=4, sound=False):
    """A lossless test picture of 96 x 64 that moves; `sound`: with a tone."""
    tone = ["-f", "lavfi", "-i", f"sine=440:d={frames / rate}", "-c:a", "flac"] if sound else []
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i",
                    f"testsrc=s=96x64:r={rate}:d={frames / rate}", *tone, "-c:v", "ffv1", path],
                   check=True)
    return path


def data_uri(content, media_type="image/png"):
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
