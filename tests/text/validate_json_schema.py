#!/usr/bin/env python3
"""Checks answers against their schemas with python3-jsonschema, which knows nothing of gemma4.

Standard input: one object a line, {"schema": ..., "text": "..."}. Prints every text that is not
JSON or not valid, then "checked N"; exit code 1 if there was one, 77 without python3-jsonschema.
"""
import datetime
import json
import re
import sys
import urllib.parse

try:
    import jsonschema
except ImportError:
    print("python3-jsonschema is not installed")
    sys.exit(77)

formats = jsonschema.FormatChecker()


def check(name):
    return formats.checks(name, raises=(ValueError, IndexError))


@check("date-time")
def is_date_time(text):
    if not isinstance(text, str):
        return True
    fraction = re.sub(r"\.(\d+)", lambda m: "." + m[1][:6].ljust(6, "0"), text)
    return datetime.datetime.fromisoformat(fraction.replace("Z", "+00:00")).tzinfo is not None


@check("time")
def is_time(text):
    return not isinstance(text, str) or is_date_time("2024-01-01T" + text)


@check("duration")
def is_duration(text):
    if not isinstance(text, str):
        return True
    return re.fullmatch(r"P(?!$)(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?)",
                        text) is not None


@check("hostname")
def is_hostname(text):
    return not isinstance(text, str) or len(text) < 254 and all(
        re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", label)
        for label in text.split("."))


@check("uri")
def is_uri(text):
    if not isinstance(text, str):
        return True
    parts = urllib.parse.urlsplit(text)
    return bool(parts.scheme) and is_uri_reference(text)


@check("uri-reference")
def is_uri_reference(text):
    if not isinstance(text, str):
        return True
    urllib.parse.urlsplit(text)
    return re.fullmatch(r"([A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*",
                        text) is not None and text.count("#") <= 1


@check("json-pointer")
def is_json_pointer(text):
    return not isinstance(text, str) or re.fullmatch(r"(/([^/~]|~[01])*)*", text,
                                                     re.S) is not None


@check("relative-json-pointer")
def is_relative_json_pointer(text):
    if not isinstance(text, str):
        return True
    match = re.fullmatch(r"(0|[1-9][0-9]*)(.*)", text, re.S)
    return match is not None and (match[2] == "#" or is_json_pointer(match[2]))


def no_constant(name):
    raise ValueError(name)


def main():
    checked = failed = 0
    validators = {}
    for line in sys.stdin:
        case = json.loads(line)
        key = json.dumps(case["schema"])
        if key not in validators:
            validators[key] = jsonschema.Draft202012Validator(case["schema"],
                                                              format_checker=formats)
        try:
            value = json.loads(case["text"], parse_constant=no_constant)
            wrong = next(iter(validators[key].iter_errors(value)), None)
        except ValueError as error:
            wrong = error
        if wrong is not None:
            print(f"schema {key}\n  text {case['text']}\n  {str(wrong).splitlines()[0]}")
            failed += 1
        checked += 1
    print(f"checked {checked}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
