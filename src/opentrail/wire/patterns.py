"""The model's `pattern`s, written for Java, as Python's: only those that cannot be made to run for ever.

Pure text work; knows no shapes. A pattern that cannot be translated, or whose nested repetitions could backtrack without
end, is left out: the value then counts as matching.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import NamedTuple

PATTERN_VALUE_MAX = 1_024
"""Characters of a value that is matched at all; it bounds the square of its length, which two repetitions can cost."""
MANY_REPEATS_VALUE_MAX = 256
"""The same for a pattern of more than two repetitions, which can cost the cube."""
PATTERNS_REMEMBERED_MAX = 4_096
REPEAT_MAX = 4
"""A group repeated up to this many times may be ambiguous."""
WIDE = (".", r"\S", r"\D", r"\W")
WIDE_MAX = 2
"""Repetitions of nearly any character in one pattern; with this many the cost is the square of a value's length."""
SAMPLED = 0x250
"""Characters tried to see whether two choices exclude each other: up to the end of Latin letters."""

SEPARATORS = r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
CATEGORIES = {r"\p{L}": r"\w", r"\p{N}": r"\d", r"\p{Z}": SEPARATORS, r"\p{Zs}": SEPARATORS}
"""Java's classes in terms of Python's. `\\w` lets a digit and a low line pass too, which errs on the lenient side."""

_TOKEN = re.compile(
    r"\[\^?\]?(?:\\.|[^\]\\])*\]|\\[pP]\{\w+\}|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\.|\{\d+(?:,\d*)?\}|.", re.S
)
_REPEAT = re.compile(r"[*+]|\{(\d+)(,(\d*))?\}")
_REPEATED_GROUP = re.compile(r"\)\{\d+,\d+\}")


class Pattern(NamedTuple):
    """A compiled pattern and the length of the longest value that is tried."""

    regex: re.Pattern[str]
    limit: int


@lru_cache(maxsize=PATTERNS_REMEMBERED_MAX)
def compile_pattern(pattern: str) -> Pattern | None:
    """The pattern, anchored as AWS means it; None if it is left out."""
    text = pattern
    for java, python in CATEGORIES.items():
        text = text.replace(java, python)
    if any(part in text for part in (r"\p{", r"\P{", "&&")) or text in (".*", "(?s).*", r"[\s\S]*"):
        return None
    tokens = _TOKEN.findall(text)
    if _may_explode(tokens):
        return None
    text = "".join(_translate(token) for token in tokens)
    if not (pattern.startswith("^") or pattern.endswith("$")):
        text = f"(?:{text})\\Z" if not text.startswith("(?s)") else f"(?s:{text[4:]})\\Z"
        text = r"\A" + text
    many = sum(_repeats(tokens, at) for at in range(len(tokens))) > 2 or _REPEATED_GROUP.search(text) is not None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            regex = re.compile(text, re.ASCII if r"\p{" not in pattern else 0)
    except (re.error, OverflowError, RecursionError):
        return None
    return Pattern(regex, MANY_REPEATS_VALUE_MAX if many else PATTERN_VALUE_MAX)


def matches(pattern: Pattern, value: str) -> bool:
    """Whether it matches; a value too long to be tried does."""
    return len(value) > pattern.limit or pattern.regex.search(value) is not None


def _translate(token: str) -> str:
    """`$` must not match before a last newline; `[\\w-_]` has a plain hyphen."""
    if token == "$":
        return r"\Z"
    if token.startswith("["):
        token = "[" + re.sub(r"(\\.)|\[", lambda found: found[1] or r"\[", token[1:])
        return re.sub(r"(\\[wdsWDS])-(?!\])", r"\1\-", token)
    return token


def _may_explode(tokens: list[str]) -> bool:
    """Whether a value could be divided among the pattern's repetitions in more ways than the square of its length."""
    wide = [at for at, token in enumerate(tokens) if token in WIDE or token.startswith("[^")]
    if sum(_repeats(tokens, at + 1) for at in wide) > WIDE_MAX:
        return True
    open_at: list[int] = []
    for at, token in enumerate(tokens):
        if token == "(":
            open_at.append(at)
        elif token == ")":
            if not open_at:
                return True
            start = open_at.pop()
            if _repeats(tokens, at + 1) and not _one_way(tokens[start + 1 : at]):
                return True
    return bool(open_at)


def _repeats(tokens: list[str], at: int) -> bool:
    """Whether the token there repeats what is before it more than REPEAT_MAX times."""
    found = _REPEAT.fullmatch(tokens[at]) if at < len(tokens) else None
    if found is None:
        return False
    if found[1] is None:
        return True
    most = found[3] if found[2] else found[1]
    return most == "" or int(most) > REPEAT_MAX


def _one_way(body: list[str]) -> bool:
    """Whether a text can be divided into rounds of a repeated group in one way only.

    True for choices of single characters that exclude each other, for rounds of fixed length, and for rounds that begin
    with a letter which the one repetition in them cannot take.
    """
    if body[:2] == ["?", ":"]:
        body = body[2:]
    if "(" in body:
        return False
    if "|" in body:
        return body[1::2] == ["|"] * (len(body) // 2) and _exclusive(body[::2])
    varying = [at for at, token in enumerate(body) if token == "?" or _REPEAT.fullmatch(token)]
    if not varying:
        return True
    lead = body[0]
    plain = lead not in ".^$" if len(lead) == 1 else len(lead) == 2 and lead[0] == "\\" and not lead[1].isalnum()
    return plain and len(varying) == 1 and varying[0] > 1 and not _takes(body[varying[0] - 1], lead[-1])


def _exclusive(choices: list[str]) -> bool:
    """Whether no character is taken by two of them."""
    return all(sum(_takes(choice, chr(code)) for choice in choices) < 2 for code in range(SAMPLED))


def _takes(token: str, letter: str) -> bool:
    """Whether a token takes this one character; a token that makes no sense alone may take any."""
    try:
        return re.fullmatch(_translate(token), letter, re.S) is not None
    except re.error:
        return True
