"""The model's `pattern`s, written for Java, as Python's: only those that cannot be made to run for ever.

Pure text work; knows no shapes. A pattern that cannot be translated, or whose nested repetitions could backtrack without
end, is left out: the value then counts as matching.
"""

from __future__ import annotations

import re
from functools import lru_cache

PATTERN_VALUE_MAX = 1_024
"""Characters of a value that is matched at all; it bounds the square of its length, which `.+x.+` can cost."""
PATTERNS_REMEMBERED_MAX = 4_096
REPEAT_MAX = 32
"""A repetition of up to this many counts as bounded when repetitions are nested."""

SEPARATORS = r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
CATEGORIES = {r"\p{L}": r"\w", r"\p{N}": r"\d", r"\p{Z}": SEPARATORS, r"\p{Zs}": SEPARATORS}
"""Java's classes in terms of Python's. `\\w` lets a digit and a low line pass too, which errs on the lenient side."""

_TOKEN = re.compile(
    r"\[\^?\]?(?:\\.|[^\]\\])*\]|\\[pP]\{\w+\}|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\.|\{\d+(?:,\d*)?\}|.", re.S
)
_REPEAT = re.compile(r"[*+]|\{(\d+)(,(\d*))?\}\Z")


@lru_cache(maxsize=PATTERNS_REMEMBERED_MAX)
def compile_pattern(pattern: str) -> re.Pattern[str] | None:
    """The pattern, anchored as AWS means it; None if it is left out."""
    text = pattern
    for java, python in CATEGORIES.items():
        text = text.replace(java, python)
    if r"\p{" in text or r"\P{" in text or text in (".*", "(?s).*", r"[\s\S]*"):
        return None
    tokens = _TOKEN.findall(text)
    if _may_explode(tokens):
        return None
    text = "".join(_translate(token) for token in tokens)
    if not (pattern.startswith("^") or pattern.endswith("$")):
        text = f"(?:{text})\\Z" if not text.startswith("(?s)") else f"(?s:{text[4:]})\\Z"
        text = r"\A" + text
    try:
        return re.compile(text, re.ASCII if text.isascii() and r"\p{" not in pattern else 0)
    except (re.error, OverflowError, RecursionError):
        return None


def matches(pattern: re.Pattern[str], value: str) -> bool:
    """Whether it matches; a value too long to be tried does."""
    return len(value) > PATTERN_VALUE_MAX or pattern.search(value) is not None


def _translate(token: str) -> str:
    """`$` must not match before a last newline; `[\\w-_]` has a plain hyphen."""
    if token == "$":
        return r"\Z"
    if token.startswith("["):
        return re.sub(r"(\\[wdsWDS])-(?!\])", r"\1\-", token)
    return token


def _may_explode(tokens: list[str]) -> bool:
    """Whether an unbounded repetition holds another that can take the same characters over."""
    open_at: list[int] = []
    for at, token in enumerate(tokens):
        if token == "(":
            open_at.append(at)
        elif token == ")":
            if not open_at:
                return True
            start = open_at.pop()
            if at + 1 < len(tokens) and _unbounded(tokens[at + 1]) and _ambiguous(tokens[start + 1 : at]):
                return True
    return bool(open_at)


def _unbounded(token: str) -> bool:
    found = _REPEAT.match(token)
    if found is None:
        return False
    if found[1] is None:
        return True
    most = found[3] if found[2] else found[1]
    return most == "" or int(most) > REPEAT_MAX


def _ambiguous(body: list[str]) -> bool:
    """A repeated group is harmless without repetitions inside and with choices of one character each, or if each round
    begins with a character that nothing else in it can match."""
    if body[:2] == ["?", ":"]:
        body = body[2:]
    inner = any(_unbounded(token) or token == "?" for token in body)
    if not inner and "(" not in body:
        return "|" in body and any(token not in ("|",) and _width(token) != 1 for token in body)
    lead = body[0] if body else ""
    if _width(lead) != 1 or lead.startswith("[") or lead == "." or "|" in body:
        return True
    letter = lead[-1]
    if len(lead) == 2 and lead[1].isalnum():
        return True
    return any(_takes(token, letter) for token in body[1:])


def _width(token: str) -> int:
    """1 for a token that matches exactly one character."""
    return 0 if token in ("(", ")", "|", "^", "$", "?", "*", "+", "") or token.startswith("{") else 1


def _takes(token: str, letter: str) -> bool:
    if _width(token) != 1:
        return False
    try:
        return re.fullmatch(_translate(token), letter) is not None
    except re.error:
        return True
