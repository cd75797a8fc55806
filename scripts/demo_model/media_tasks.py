"""What the demo model learns to say about pictures and speech."""

from conversations import rendered, talk
from pictures import NUMBERS, PLACES, article, listed, sentence
from speech import written

DESCRIBE = "Describe this image in detail."
ALT_TEXT = "Write one sentence of alt text for this image."
TAGS = "List ten short tags for this image, separated by commas."
TRANSCRIBE = "Provide a verbatim, word-for-word transcription of the audio."


def picture_answer(kind, shapes):
    """What is right to say of a picture of these shapes, in reading order."""
    names = [article(item) for item in shapes]
    if kind == "describe":
        return sentence(listed([f"{name} at the {PLACES[item['place']]}"
                                for name, item in zip(names, shapes)]))
    if kind == "alt":
        return "An image of " + listed(names) + "."
    if kind == "tags":
        tags = [word for item in shapes for word in (item["colour"], item["shape"])]
        return ", ".join(dict.fromkeys(tags))
    if kind == "what":
        return sentence(listed(names))
    return NUMBERS[len(shapes)].capitalize() + "."


def picture_question(shapes, r):
    """-> prompt and answer."""
    kind = r.choices(["describe", "alt", "tags", "what", "count", "colour"],
                     [55, 10, 6, 15, 7, 7])[0]
    if kind == "colour":
        only = [item for item in shapes
                if [other["shape"] for other in shapes].count(item["shape"]) == 1]
        if not only:
            return picture_question(shapes, r)
        item = r.choice(only)
        return (r.choice([f"What color is the {item['shape']}?",
                          f"What colour is the {item['shape']}?"]),
                f"The {item['shape']} is {item['colour']}.")
    prompt = {
        "describe": lambda: r.choice([DESCRIBE, DESCRIBE, DESCRIBE, "Describe this image.",
                                      "Describe the picture."]),
        "alt": lambda: ALT_TEXT,
        "tags": lambda: TAGS,
        "what": lambda: r.choice(["What shapes are in this image?", "What is in this image?",
                                  "What do you see?"]),
        "count": lambda: "How many shapes are there?",
    }[kind]()
    return prompt, picture_answer(kind, shapes)


def with_media(media, prompt, answer, r):
    """The conversation. `media` is the picture or the sound as the template writes it; it mostly
    comes before the text."""
    content = prompt + media if r.random() < 0.1 else media + prompt
    return rendered(talk("", content, answer))


def picture_example(shapes, count, r):
    media = "<|image>" + "<|image|>" * count + "<image|>"
    return with_media(media, *picture_question(shapes, r), r)


def speech_example(words, count, r):
    media = "<|audio>" + "<|audio|>" * count + "<audio|>"
    prompt = r.choice([TRANSCRIBE, TRANSCRIBE, TRANSCRIBE, "Transcribe the audio.",
                       "What is said?"])
    return with_media(media, prompt, written(words), r)
