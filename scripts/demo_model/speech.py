"""Speech that the demo model learns to write down: a closed set of sentences, spoken by espeak-ng.

`python3 speech.py FOLDER COUNT` writes FOLDER/speech-{train,test}.npz: log-mel features and texts
of COUNT utterances to learn and of 400 others at most.
"""

import hashlib
import io
import pathlib
import random
import subprocess
import sys
import wave

import numpy as np

DIGITS = "zero one two three four five six seven eight nine".split()
MONTHS = ("January February March April May June July August September October November "
          "December").split()
COLOURS = "red orange yellow green blue purple pink black".split()
SHAPES = "circle square triangle star".split()
ROOMS = "kitchen bedroom garden hall office".split()
THINGS = "door window box".split()
CITIES = "Paris London Rome Berlin Madrid Tokyo".split()
WEATHER = "raining sunny cold warm".split()
MINUTES = "five ten fifteen twenty thirty".split()
MUSIC = "jazz rock music".split()
FOOD = "apples flowers cars".split()
PHRASES = ["good morning", "good evening", "hello", "thank you", "how are you"]
VOICES = [voice + variant
          for voice in ("en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland")
          for variant in ("", "", "+m1", "+m3", "+m7", "+f1", "+f2", "+f4")]
RATE = 16000


def spoken(random_source):
    """The words of one utterance and its kind."""
    pick = random_source.choice
    kind = random_source.choices(["digits", "month", "colour", "sentence"], [40, 8, 7, 45])[0]
    if kind == "digits":
        return kind, " ".join(pick(DIGITS) for _ in range(pick([1, 2, 3, 3, 4, 4])))
    if kind == "month":
        return kind, pick(MONTHS)
    if kind == "colour":
        return kind, pick(COLOURS)
    return kind, pick([
        lambda: f"set a timer for {pick(MINUTES)} minutes",
        lambda: f"turn {pick(['on', 'off'])} the light in the {pick(ROOMS)}",
        lambda: f"{pick(['open', 'close'])} the {pick(THINGS)}",
        lambda: f"play some {pick(MUSIC)}",
        lambda: f"it is {pick(WEATHER)} in {pick(CITIES)}",
        lambda: f"the {pick(COLOURS)} {pick(SHAPES)} is on the {pick(['left', 'right'])}",
        lambda: f"my birthday is in {pick(MONTHS)}",
        lambda: f"I like {pick(COLOURS)} {pick(FOOD)}",
        lambda: pick(PHRASES),
    ])()


def written(words):
    """As the model writes it: a capital first, a full stop last."""
    return words[0].upper() + words[1:] + "."


def held_out(words):
    """A tenth of the utterances of at least three words is never trained on.

    Only where every word is heard in other utterances, too.
    """
    first = words.split()[0]
    if len(words.split()) < 3 or first not in (*DIGITS, "it", "the", "turn", "I"):
        return False
    return hashlib.sha256(words.encode()).digest()[0] % 10 == 0


def resample(samples, source, target):
    """Band-limited, by its spectrum."""
    count = int(len(samples) * target / source)
    spectrum = np.fft.rfft(samples)
    keep = count // 2 + 1
    if keep <= len(spectrum):
        spectrum = spectrum[:keep]
    else:
        spectrum = np.pad(spectrum, (0, keep - len(spectrum)))
    return np.fft.irfft(spectrum, count) * (count / len(samples))


def say(words, voice, speed, pitch):
    """Samples at 16 kHz, in -1..1."""
    done = subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch),
                           "--stdout", words], stdout=subprocess.PIPE, check=True)
    # The header of a stream does not know its length.
    with wave.open(io.BytesIO(done.stdout)) as file:
        source = file.getframerate()
    samples = np.frombuffer(done.stdout[44:len(done.stdout) // 2 * 2], np.int16) / 32768.0
    return resample(samples, source, RATE)


def perform(words, random_source, noise_source):
    """An utterance as someone may have recorded it: voice, speed, pauses, level, noise."""
    uniform = random_source.uniform
    samples = say(words, random_source.choice(VOICES), int(uniform(130, 195)),
                  int(uniform(30, 70)))
    samples = np.concatenate((np.zeros(int(uniform(0, 0.25) * RATE)), samples,
                              np.zeros(int(uniform(0, 0.2) * RATE))))
    samples *= uniform(0.3, 1.3)
    if random_source.random() < 0.5:
        level = np.sqrt(np.mean(samples ** 2)) * 10 ** (-uniform(12, 35) / 20)
        noise = noise_source.standard_normal(len(samples))
        if random_source.random() < 0.5:  # duller than white
            noise = np.convolve(noise, np.ones(4) / 2, "same")
        samples = samples + level * noise
    return np.round(np.clip(samples, -1, 32767 / 32768) * 32768).astype(np.int16)


def mel_matrix():
    """[257,128]: triangles on the HTK mel scale, 0 to 8000 Hz, of height 1."""
    def hz(mel):
        return 700 * (10 ** (mel / 2595) - 1)

    points = hz(np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 130))
    bins = np.linspace(0, 8000, 257)[:, None]
    low, middle, high = points[:-2], points[1:-1], points[2:]
    return np.maximum(0, np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)))


WINDOW = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(320) / 320)).astype(np.float32)
MEL = mel_matrix()


def log_mel(samples):
    """int16 samples at 16 kHz -> [frames,128]."""
    padded = np.concatenate((np.zeros(160), samples / 32768.0)).astype(np.float32)
    count = (len(samples) - 1) // 160
    frames = np.lib.stride_tricks.sliding_window_view(padded, 320)[::160][:count]
    magnitude = np.abs(np.fft.rfft((frames * WINDOW).astype(np.float64), 512))
    return np.log(magnitude @ MEL + 1e-3).astype(np.float32)


def make(count, test, seed):
    random_source, noise_source = random.Random(seed), np.random.default_rng(seed)
    mels, texts, kinds = [], [], []
    while len(mels) < count:
        kind, words = spoken(random_source)
        if held_out(words) != test and (test is False or len(words.split()) >= 3):
            continue
        mels.append(log_mel(perform(words, random_source, noise_source)).astype(np.float16))
        texts.append(words)
        kinds.append(kind)
    return mels, texts, kinds


def save(path, mels, texts, kinds):
    np.savez(path, mel=np.concatenate(mels), frames=[len(mel) for mel in mels], text=texts,
             kind=kinds)


def load(path):
    """-> list of [frames,128] float32, texts, kinds."""
    data = np.load(path)
    ends = np.cumsum(data["frames"])
    mel = data["mel"]
    return ([mel[end - count:end] for end, count in zip(ends, data["frames"])],
            data["text"].tolist(), data["kind"].tolist())


def main():
    folder, count = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / "speech-test.npz", *make(min(400, count), True, 2))
    save(folder / "speech-train.npz", *make(count, False, 1))


if __name__ == "__main__":
    main()
