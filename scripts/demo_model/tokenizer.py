"""A small tokenizer of Gemma's kind: BPE with byte fallback, digits single, U+2581 for a blank.

`train` makes tokenizer.json, `Tokenizer` encodes like the program does.

python3 tokenizer.py FILE      writes tokenizer.json
"""

import json
import random
import re
import sys
from collections import Counter

import conversations
import media_tasks
import pictures
import speech
from architecture import CONTROL_TOKENS, VOCABULARY

BLANK = "\u2581"
# No piece reaches beyond one of these.
WORD = re.compile(f"{BLANK}?[A-Za-z_]+|{BLANK}?[^A-Za-z_0-9{BLANK}\n]|[0-9]|{BLANK}|\n")
CONTROL = re.compile("(" + "|".join(map(re.escape, CONTROL_TOKENS)) + ")")
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
CHARACTERS = [BLANK, "\n", "\t"] + [chr(code) for code in range(33, 127)]


def plain_words(text):
    """The words of a text, between its control tokens."""
    for part in CONTROL.split(text):
        if part not in CONTROL_TOKENS:
            yield from WORD.findall(part.replace(" ", BLANK))


def train(texts):
    """-> tokenizer.json as a dict."""
    words = Counter(word for text in texts for word in plain_words(text))
    pieces = {word: tuple(word) for word in words}
    found = []
    room = VOCABULARY - len(CONTROL_TOKENS) - len(BYTES) - len(CHARACTERS)
    while len(found) < room:
        pairs = Counter()
        for word, parts in pieces.items():
            # A word counts less than in proportion: rare ones deserve a piece of their own too.
            for pair in zip(parts, parts[1:]):
                pairs[pair] += words[word] ** 0.5
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        joined = "".join(best)
        found.append(joined)
        for word, parts in pieces.items():
            if joined not in word:
                continue
            merged, i = [], 0
            while i < len(parts):
                if parts[i:i + 2] == best:
                    merged.append(joined)
                    i += 2
                else:
                    merged.append(parts[i])
                    i += 1
            pieces[word] = tuple(merged)
    found = list(dict.fromkeys(found))
    listed = CONTROL_TOKENS + BYTES + found + CHARACTERS
    listed += [f"<unused{i}>" for i in range(VOCABULARY - len(listed))]
    known = set(found + CHARACTERS)
    # As in Gemma's files: every split of a piece into two pieces is a merge, by piece.
    merges = [[piece[:cut], piece[cut:]] for piece in found
              for cut in range(len(piece) - 1, 0, -1)
              if piece[:cut] in known and piece[cut:] in known]
    blank = {"String": " "}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": number, "content": token, "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": True}
                         for number, token in enumerate(CONTROL_TOKENS)],
        "normalizer": {"type": "Replace", "pattern": blank, "content": BLANK},
        "pre_tokenizer": {"type": "Split", "pattern": blank, "behavior": "MergedWithPrevious",
                          "invert": False},
        "post_processor": {"type": "TemplateProcessing",
                           "single": [{"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                                    {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": BLANK}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>",
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": {piece: number for number, piece in enumerate(listed)},
                  "merges": merges},
    }


class Tokenizer:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            model = json.load(file)["model"]
        self.ids = model["vocab"]
        self.pieces = {number: piece for piece, number in self.ids.items()}
        self.ranks = {tuple(pair): rank for rank, pair in enumerate(model["merges"])}
        self.words = {}

    def _word(self, word):
        parts = list(word)
        while len(parts) > 1:
            rank, i = min((self.ranks.get(pair, 1 << 30), i)
                          for i, pair in enumerate(zip(parts, parts[1:])))
            if rank == 1 << 30:
                break
            parts[i:i + 2] = [parts[i] + parts[i + 1]]
        ids = []
        for part in parts:
            if part in self.ids:
                ids.append(self.ids[part])
            else:
                ids += [self.ids[BYTES[byte]] for byte in part.encode()]
        return ids

    def encode(self, text):
        """Ids; spellings of control tokens become those tokens."""
        ids = []
        for part in CONTROL.split(text):
            if part in CONTROL_TOKENS:
                ids.append(self.ids[part])
                continue
            for word in WORD.findall(part.replace(" ", BLANK)):
                if word not in self.words:
                    self.words[word] = self._word(word)
                ids += self.words[word]
        return ids

    def decode(self, ids):
        """The text of ids that are no byte tokens."""
        return "".join(self.pieces[i] for i in ids).replace(BLANK, " ")


def corpus(seed=5):
    """Texts of every kind, for `train`."""
    r = random.Random(seed)
    for tasks, count in ((conversations.SHORT, 12000), (conversations.LONG, 2500)):
        for _ in range(count):
            conversation = conversations.example(tasks, r)[1]
            yield "".join(text for text, _ in conversations.rendered(conversation))
    for _ in range(2500):
        _, shapes = pictures.draw(r)
        yield "".join(text for text, _ in media_tasks.picture_example(shapes, 1, r))
        yield "".join(text for text, _ in media_tasks.speech_example(speech.spoken(r)[1], 1, r))


def main():
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(train(corpus()), file, ensure_ascii=False)


if __name__ == "__main__":
    main()
