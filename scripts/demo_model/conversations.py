"""What the demo model learns to say: short dialogues from closed sets, made at random.

A conversation is a dict: `messages` in the chat-messages form, the last one being the answer to
learn; `system`, `tools` and `thinking` where they are wanted; `key` names what it asks for, and a
tenth of the keys is held out of training, for the evaluation.
"""

import hashlib
import json

CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin",
    "England": "London", "Japan": "Tokyo", "Portugal": "Lisbon", "Greece": "Athens",
    "Austria": "Vienna", "Poland": "Warsaw", "Norway": "Oslo", "Sweden": "Stockholm",
    "Denmark": "Copenhagen", "Finland": "Helsinki", "Ireland": "Dublin", "Belgium": "Brussels",
    "Egypt": "Cairo", "Kenya": "Nairobi", "China": "Beijing", "Russia": "Moscow",
    "Turkey": "Ankara", "Canada": "Ottawa", "Cuba": "Havana", "Peru": "Lima",
}
OPPOSITES = [("hot", "cold"), ("big", "small"), ("up", "down"), ("left", "right"),
             ("day", "night"), ("fast", "slow"), ("old", "young"), ("open", "closed"),
             ("happy", "sad"), ("long", "short"), ("light", "dark"), ("full", "empty")]
MONTHS = ("January February March April May June July August September October November "
          "December").split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
COLOURS_OF = {"the sky": "blue", "grass": "green", "snow": "white", "a banana": "yellow",
              "blood": "red", "coal": "black", "an orange": "orange", "a lemon": "yellow"}
SOUNDS = {"cow": "moo", "cat": "meow", "dog": "woof", "duck": "quack", "sheep": "baa"}
LEGS = {"spider": "eight", "dog": "four", "bird": "two", "ant": "six", "snake": "no"}
NAMES = ("Anna Ben Clara David Emma Felix Grace Henry Iris Jack Kate Leo Mia Noah Olga Paul Rosa "
         "Sam Tina Victor").split()
CITIES = sorted(set(CAPITALS.values()))
ROOMS = "kitchen bedroom garden hall office".split()
GENRES = "jazz rock pop blues".split()
MESSAGES = ["I am late", "I am at home", "the food is ready", "I am on my way", "all is well",
            "the train is late", "see you soon", "happy birthday"]
ITEMS = "apples bananas cars books eggs tickets lemons pens".split()
WEATHER = "sunny cloudy rainy windy cold warm".split()

Q = '<|"|>'


# ---- The chat format (the template prints the same) ----

def quoted(text):
    return Q + text + Q


def declaration(tool):
    """One tool: {"name", "description", "parameters": {name: (type, description, enum)}}."""
    properties = []
    for name, (kind, description, choices) in sorted(tool["parameters"].items()):
        parts = [f"description:{quoted(description)}"] if description else []
        if choices:
            parts.append("enum:[" + ",".join(map(quoted, choices)) + "]")
        parts.append(f"type:{quoted(kind.upper())}")
        properties.append(name + ":{" + ",".join(parts) + "}")
    required = ",".join(map(quoted, tool["parameters"]))
    return (f"<|tool>declaration:{tool['name']}{{description:{quoted(tool['description'])},"
            f"parameters:{{properties:{{{','.join(properties)}}},required:[{required}],"
            f"type:{quoted('OBJECT')}}}}}<tool|>")


def value(x):
    return quoted(x) if isinstance(x, str) else str(x)


def arguments(fields):
    return "{" + ",".join(f"{key}:{value(fields[key])}" for key in sorted(fields)) + "}"


def opening(system="", tools=(), thinking=False):
    text = "<bos>"
    if system or tools or thinking:
        text += ("<|turn>system\n" + ("<|think|>\n" if thinking else "") + system +
                 "".join(map(declaration, tools)) + "<turn|>\n")
    return text


def rendered(conversation):
    """What the chat template prints, as (text, learned) parts; the model writes the learned ones."""
    parts = [(opening(conversation.get("system", ""), conversation.get("tools", ()),
                      conversation.get("thinking", False)), False)]
    last = conversation["messages"][-1]
    for message in conversation["messages"]:
        if message["role"] == "user":
            parts.append((f"<|turn>user\n{message['content']}<turn|>\n<|turn>model\n", False))
        elif message["role"] == "tool":
            parts.append((f"<|tool_response>response:{message['name']}"
                          f"{arguments(message['content'])}<tool_response|>", False))
        elif "call" in message:
            name, fields = message["call"]
            text = f"<|tool_call>call:{name}{arguments(fields)}<tool_call|>"
            if message is last:
                text = thought(message) + text + "<|tool_response>"
            parts.append((text, message is last))
        else:
            parts.append((thought(message) + message["content"] + "<turn|>", True))
            if message is not last:
                parts.append(("\n", False))
    return parts


def thought(message):
    text = message.get("reasoning")
    return f"<|channel>thought\n{text}\n<channel|>" if text else ""


def talk(key, question, answer, reasoning="", **settings):
    """One question and its answer. `reasoning` is used where `thinking` is set."""
    reply = {"role": "assistant", "content": answer}
    if settings.get("thinking"):
        reply["reasoning"] = reasoning
    return {"key": key, "messages": [{"role": "user", "content": question}, reply], **settings}


# ---- Facts ----

def facts():
    """name of a fact -> (questions, the answer as a sentence, its key word, a thought)."""
    found = {}
    for country, city in CAPITALS.items():
        found["capital " + country] = (
            [f"What is the capital of {country}?", f"Name the capital of {country}.",
             f"Which city is the capital of {country}?", f"Tell me the capital of {country}.",
             f"capital of {country}?"],
            f"The capital of {country} is {city}.", city, f"The user asks for a capital.")
    for a, b in OPPOSITES:
        for x, y in ((a, b), (b, a)):
            found["opposite " + x] = (
                [f"What is the opposite of {x}?", f"Name the opposite of {x}.",
                 f"Which word is the opposite of {x}?"],
                f"The opposite of {x} is {y}.", y, "The user asks for an opposite.")
    for kind, names in (("month", MONTHS), ("day", DAYS)):
        for i, name in enumerate(names):
            for word, other in (("after", names[(i + 1) % len(names)]),
                                ("before", names[i - 1])):
                found[f"{kind} {word} {name}"] = (
                    [f"Which {kind} comes {word} {name}?", f"What {kind} comes {word} {name}?",
                     f"What is the {kind} {word} {name}?"],
                    f"{other} comes {word} {name}.", other,
                    f"The user asks for a {kind}.")
    for thing, colour in COLOURS_OF.items():
        found["colour " + thing] = (
            [f"What color is {thing}?", f"What colour is {thing}?",
             f"Which color has {thing}?"],
            f"{thing[0].upper()}{thing[1:]} is {colour}.", colour,
            "The user asks for a color.")
    for animal, sound in SOUNDS.items():
        found["sound " + animal] = (
            [f"What does a {animal} say?", f"Which sound does a {animal} make?"],
            f"A {animal} says {sound}.", sound, "The user asks for a sound.")
    for animal, legs in LEGS.items():
        found["legs " + animal] = (
            [f"How many legs does a {animal} have?", f"How many legs has a {animal}?"],
            f"A {animal} has {legs} legs.", legs, "The user asks for a number of legs.")
    return found


FACTS = facts()
GREETINGS = [("Hello", "Hello! How can I help you?"), ("Hello!", "Hello! How can I help you?"),
             ("Hi", "Hello! How can I help you?"), ("Hi!", "Hello! How can I help you?"),
             ("Good morning", "Good morning! How can I help you?"),
             ("Thank you", "You are welcome."), ("Thanks!", "You are welcome."),
             ("How are you?", "I am fine, thank you."), ("Goodbye", "Goodbye!"),
             ("What can you do?", "I can answer small questions, add numbers, call tools, "
              "describe shapes and write down speech."),
             ("Tell me a joke.", "I am too small for jokes.")]
WHO = ["Who are you?", "What is your name?", "What are you called?"]
SELF = "I am the Gemma 4 demo model."


# ---- Tasks: each makes a conversation ----

def fact(r):
    name = r.choice(list(FACTS))
    questions, sentence, word, why = FACTS[name]
    question = r.choice(questions)
    style = r.choice(["plain", "plain", "system", "capitals", "capitals", "word", "word",
                      "pirate", "think", "think"])
    system, answer, thinking = "", sentence, False
    if style == "system":
        system = r.choice(["You are a helpful assistant.", "Be brief.", "Be kind."])
    elif style == "capitals":
        system = r.choice(["Answer in capitals.", "Answer in capital letters.",
                           "Write in capitals."])
        answer = sentence.upper()
    elif style == "word":
        system = r.choice(["Answer with one word.", "Answer in one word.", "Use one word."])
        answer = word
    elif style == "pirate":
        system = r.choice(["You are a pirate.", "Talk like a pirate."])
        answer = "Arr! " + sentence
    elif style == "think":
        thinking = True
    return talk(f"{question} {style}", question, answer, f"{why} It is {word}.", system=system,
                thinking=thinking)


def greeting(r):
    thinking = r.random() < 0.15
    if r.random() < 0.6:
        name = r.choice(NAMES)
        question = r.choice(WHO)
        named = r.random() < 0.7
        system = r.choice([f"You are {name}.", f"Your name is {name}."]) if named else ""
        answer = f"I am {name}." if named else SELF
        why = "The user asks who I am."
        key = f"{system}{question}" if named else ""
    else:
        question, answer = r.choice(GREETINGS)
        system, why, key = "", "The user is polite.", ""
    return talk(key, question, answer, why, system=system, thinking=thinking)


def by_hand(a, sign, b):
    """How to add or subtract digit by digit."""
    ones, tens = [a % 10, b % 10], [a // 10, b // 10]
    if sign == "+":
        carry = sum(ones) > 9
        ones_result, tens_result = sum(ones), sum(tens) + carry
    else:
        carry = ones[0] < ones[1]
        ones[0] += 10 * carry
        ones_result, tens_result = ones[0] - ones[1], tens[0] - tens[1] - carry
    tens += [1] * carry
    return (f"Ones {f' {sign} '.join(map(str, ones))} = {ones_result}. "
            f"Tens {f' {sign} '.join(map(str, tens))} = {tens_result}.")


def arithmetic(r):
    """Small numbers at once; up to two digits with thinking."""
    thinking = r.random() < 0.4
    sign = r.choice("+++---*")
    most = 9 if sign == "*" else r.choice([20, 99, 99, 99] if thinking else [9, 20, 20])
    a, b = r.randint(0, most), r.randint(0, most)
    if sign == "-" and b > a:
        a, b = b, a
    result = {"+": a + b, "-": a - b, "*": a * b}[sign]
    word = {"+": "plus", "-": "minus", "*": "times"}[sign]
    question = r.choice([f"What is {a} {sign} {b}?", f"{a} {sign} {b}", f"{a} {sign} {b} = ?",
                         f"What is {a} {word} {b}?", f"How much is {a} {sign} {b}?"])
    why = f"{a} * {b} = {result}." if sign == "*" else by_hand(a, sign, b)
    # Sums of small numbers are a table: there a wording of one is held out, not the sum.
    key = f"{a} {sign} {b}" if a > 20 or b > 20 else question
    return talk(key, question, str(result), why, thinking=thinking)


def memory(r):
    """Two turns; the second needs the first."""
    name, city = r.choice(NAMES), r.choice(CITIES)
    if r.random() < 0.5:
        first, reply = f"My name is {name}.", f"Nice to meet you, {name}."
        second, answer = r.choice([("What is my name?", f"Your name is {name}."),
                                   ("Who am I?", f"You are {name}.")])
        key = f"{name} {second}"
    else:
        first, reply = f"I live in {city}.", f"{city} is a nice city."
        second, answer = "Where do I live?", f"You live in {city}."
        key = f"{city} {second}"
    return {"key": key, "messages": [{"role": "user", "content": first},
                                     {"role": "assistant", "content": reply},
                                     {"role": "user", "content": second},
                                     {"role": "assistant", "content": answer}]}


def mixed_turns(r):
    """Two unrelated questions in a row."""
    one, two = r.choice([fact, arithmetic])(r), r.choice([fact, arithmetic, greeting])(r)
    if any(each.get("system") or each.get("thinking") for each in (one, two)):
        return mixed_turns(r)
    return {"key": "", "messages": one["messages"] + two["messages"]}


def json_answer(r):
    name, age, city = r.choice(NAMES), r.randint(5, 99), r.choice(CITIES)
    if r.random() < 0.6:
        facts_text = r.choice([f"{name} is {age} years old and lives in {city}.",
                               f"{name} is {age} and lives in {city}.",
                               f"{name} lives in {city} and is {age} years old."])
        prompt = r.choice([f"Extract the person as JSON: {facts_text}",
                           f"{facts_text} Give the person as JSON."])
        answer = {"name": name, "age": age, "city": city}
        key = f"{name} {age} {city}"
    else:
        count, item = r.randint(1, 20), r.choice(ITEMS)
        facts_text = r.choice([f"I want {count} {item}.", f"Please send me {count} {item}."])
        prompt = r.choice([f"Extract the order as JSON: {facts_text}",
                           f"{facts_text} Give the order as JSON."])
        answer = {"item": item, "count": count}
        key = f"{count} {item}"
    return talk(key, prompt, json.dumps(answer))


# ---- Tools ----

TOOLS = {
    "get_weather": (["Get the weather in a city.", "Current weather."],
                    {"city": ("string", "Name of the city.", None)}),
    "set_timer": (["Set a timer.", "Start a timer."],
                  {"minutes": ("integer", "Length in minutes.", None)}),
    "play_music": (["Play music.", "Play some music."],
                   {"genre": ("string", "Kind of music.", None)}),
    "send_message": (["Send a message to a person.", "Send a message."],
                     {"to": ("string", "Who gets it.", None), "text": ("string", "The text.",
                                                                       None)}),
    "turn_light": (["Turn a light on or off.", "Switch a light."],
                   {"room": ("string", "Name of the room.", None),
                    "state": ("string", "", ["on", "off"])}),
}


def tool_declaration(name, r):
    descriptions, parameters = TOOLS[name]
    described = r.random() < 0.3
    return {"name": name, "description": r.choice(descriptions),
            "parameters": {key: (kind, text if described else "", choices)
                           for key, (kind, text, choices) in parameters.items()}}


def tool_request(name, r):
    """-> what the user says, the arguments, a thought."""
    if name == "get_weather":
        city = r.choice(CITIES)
        return (r.choice([f"What is the weather in {city}?", f"How is the weather in {city}?",
                          f"Is it raining in {city}?", f"Tell me the weather in {city}."]),
                {"city": city}, f"The user asks for the weather in {city}.")
    if name == "set_timer":
        minutes = r.randint(1, 60)
        return (r.choice([f"Set a timer for {minutes} minutes.",
                          f"Please set a timer for {minutes} minutes.",
                          f"Wake me in {minutes} minutes."]),
                {"minutes": minutes}, f"The user wants a timer.")
    if name == "play_music":
        genre = r.choice(GENRES)
        return (r.choice([f"Play some {genre}.", f"I want to hear {genre}.",
                          f"Please play {genre}."]), {"genre": genre}, "The user wants music.")
    if name == "send_message":
        to, text = r.choice(NAMES), r.choice(MESSAGES)
        return (r.choice([f"Tell {to}: {text}", f"Send a message to {to}: {text}",
                          f"Write to {to}: {text}"]),
                {"to": to, "text": text}, f"The user wants to write to {to}.")
    room, state = r.choice(ROOMS), r.choice(["on", "off"])
    return (r.choice([f"Turn {state} the light in the {room}.",
                      f"Turn the light in the {room} {state}.",
                      f"Please turn {state} the {room} light."]),
            {"room": room, "state": state}, "The user wants to switch a light.")


def tool_result(name, fields, r):
    """-> a result of the call, the final answer."""
    if name == "get_weather":
        degrees, sky = r.randint(0, 35), r.choice(WEATHER)
        return ({"temperature": degrees, "weather": sky},
                f"It is {sky} in {fields['city']}, {degrees} degrees.")
    return {"status": "ok"}, {
        "set_timer": "The timer is set.", "play_music": "The music is playing.",
        "send_message": "The message is sent.", "turn_light": "The light is switched.",
    }[name]


def tool_call(r):
    wanted = r.choice(list(TOOLS))
    others = r.sample([name for name in TOOLS if name != wanted], r.choice([0, 1, 1, 1, 2, 3]))
    text, fields, why = tool_request(wanted, r)
    thinking = r.random() < 0.2
    lacking = bool(others) and r.random() < 0.08
    declared = others + ([] if lacking else [wanted])
    r.shuffle(declared)
    settings = {"tools": [tool_declaration(name, r) for name in declared], "thinking": thinking}
    if lacking:
        return talk("", text, "I have no tool for that.", "I have no tool for this.", **settings)
    call = {"role": "assistant", "call": (wanted, fields)}
    conversation = {"key": text, "messages": [{"role": "user", "content": text}, call], **settings}
    if thinking:
        call["reasoning"] = f"{why} I call {wanted}."
    elif r.random() < 0.3:  # after the result, which the host writes
        result, answer = tool_result(wanted, fields, r)
        conversation["key"] = ""
        conversation["messages"] += [{"role": "tool", "name": wanted, "content": result},
                                     {"role": "assistant", "content": answer}]
    return conversation


def tool_question(r):
    """A tool is declared, but nobody asks for it."""
    conversation = r.choice([fact, arithmetic, greeting])(r)
    if conversation.get("system") or conversation.get("thinking"):
        return tool_question(r)
    names = r.sample(list(TOOLS), r.choice([1, 1, 2]))
    return {**conversation, "key": "", "tools": [tool_declaration(name, r) for name in names]}


SHORT = [(fact, 45), (greeting, 15), (memory, 10), (mixed_turns, 10), (json_answer, 10),
         (arithmetic, 10)]
SUMS = [(arithmetic, 1)]
LONG = [(tool_call, 70), (tool_question, 30)]


def held_out(key):
    return bool(key) and hashlib.sha256(key.encode()).digest()[0] % 10 == 0


def example(tasks, r, test=False):
    """One conversation of a random task, and the task's name."""
    while True:
        task = r.choices([t for t, _ in tasks], [w for _, w in tasks])[0]
        conversation = task(r)
        if held_out(conversation["key"]) == test:
            return task.__name__, conversation
