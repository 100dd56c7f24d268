"""LIKE patterns as regular expressions for RE2, which takes time in proportion to the text whatever the pattern.

DuckDB's own LIKE tries every way in which several `%` can share a text once `_` or ESCAPE is in play; a caller could keep a
processor busy for hours with a line of SQL. Pure.
"""

from __future__ import annotations

import re

from opentrail.query.faults import QueryFault

PATTERN_CHARS_MAX = 4_000
"""Characters of a pattern that becomes a regular expression."""
_ALL = re.compile(r"%+")
_SPECIAL = re.compile(r"([^\w\s])", re.ASCII)


def is_simple(pattern: str) -> bool:
    """Is it one that DuckDB itself matches quickly: no `_`?"""
    return "_" not in pattern


def regex_of(pattern: str, escape: str) -> str:
    """Raises QueryFault for an escape that escapes nothing."""
    if len(pattern) > PATTERN_CHARS_MAX:
        raise QueryFault("LikeInvalidInputs")
    found: list[str] = []
    chars = iter(_ALL.sub("%", pattern) if not escape else pattern)
    for char in chars:
        if char == escape:
            char = next(chars, "")
            if char not in ("%", "_", escape):
                raise QueryFault("LikeInvalidInputs")
            found.append(_quoted(char))
        elif char == "%":
            if found[-1:] != [".*"]:
                found.append(".*")
        else:
            found.append("." if char == "_" else _quoted(char))
    return "".join(found)


def _quoted(char: str) -> str:
    if char == "\0":
        return r"\x00"
    return _SPECIAL.sub(r"\\\1", char) if char.isascii() else char
