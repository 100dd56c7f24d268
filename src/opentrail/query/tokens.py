"""An expression of S3 Select as tokens. Source: S3 user guide, "SQL reference for Amazon S3 Select". Pure."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from opentrail.query.faults import QueryFault

EXPRESSION_BYTES_MAX = 256 * 1024
"""UTF-8 bytes of an expression."""
NUMBER_DIGITS_MAX = 38
"""Digits of a number, as many as S3 Select's decimals have."""

Kind = Literal["name", "quoted", "string", "number", "ion", "operator", "end"]

_TOKEN = re.compile(
    r"""(?P<blank>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w$]))
    |(?P<name>[^\W\d][\w$]*)
    |'(?P<string>(?:[^']|'')*)'
    |"(?P<quoted>(?:[^"]|"")*)"
    |`(?P<ion>[^`]*)`
    |(?P<operator><=|>=|<>|!=|\|\||[-+*/%=<>(),.\[\]])
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(msgspec.Struct, frozen=True):
    """`text` of a name is as written, `word` in upper case; quotes are gone."""

    kind: Kind
    text: str
    word: str


END = Token("end", "", "")


def tokens_of(expression: str) -> list[Token]:
    """All tokens and END; raises QueryFault with AWS's code for what is none."""
    if len(expression.encode("utf-8", "surrogatepass")) > EXPRESSION_BYTES_MAX:
        raise QueryFault("ExpressionTooLong")
    found: list[Token] = []
    place, size = 0, len(expression)
    while place < size:
        match = _TOKEN.match(expression, place)
        if match is None:
            raise _unreadable(expression[place])
        place = match.end()
        if match.lastgroup != "blank":
            found.append(_token(match))
    return [*found, END]


def _token(match: re.Match[str]) -> Token:
    kind = match.lastgroup
    text = match[kind or 0]
    if kind == "number":
        if sum(map(str.isdigit, re.split("[eE]", text)[0])) > NUMBER_DIGITS_MAX:
            raise QueryFault("LexerInvalidLiteral")
        return Token("number", text, text)
    if kind == "string":
        return Token("string", text.replace("''", "'"), "")
    if kind == "quoted":
        return Token("quoted", text.replace('""', '"'), "")
    if kind == "ion":
        return Token("ion", text.strip(), "")
    return Token("operator", text, text) if kind == "operator" else Token("name", text, text.upper())


def _unreadable(char: str) -> QueryFault:
    if char in "'\"`" or char.isdigit():
        return QueryFault("LexerInvalidLiteral")
    return QueryFault("LexerInvalidOperator" if char in "!|&^~:" else "LexerInvalidChar")
