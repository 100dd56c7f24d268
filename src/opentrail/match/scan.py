"""Pattern text → JSON tokens, one at a time, with the sentences and positions that AWS's own parser reports.

Event patterns are judged while they are read, so which of two mistakes is named depends on the order of reading. This
scanner therefore reads as AWS's does: a string counts as read only when its text is asked for, and a field name pulls
the beginning of its value along (positions checked against errors recorded on AWS).
It must not know what a pattern means.
"""

from __future__ import annotations

import re
from typing import Final

DEPTH_MAX: Final = 128
"""Nesting of arrays and objects in a pattern."""
SOURCE_CHARS_MAX: Final = 500
"""Characters of the pattern quoted in a position."""

OBJECT, OBJECT_END, ARRAY, ARRAY_END, FIELD, STRING, NUMBER, TRUE, FALSE, NULL, END = (
    "{", "}", "[", "]", "field", "string", "number", "true", "false", "null", "end"
)  # fmt: skip
LITERALS: Final = {"t": TRUE, "f": FALSE, "n": NULL}

_BLANKS = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_WORD = re.compile(r"[A-Za-z0-9_$]*")
_HEX = re.compile(r"[0-9a-fA-F]{4}")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_EXPECTED = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"


class Refused(Exception):
    """The text is no valid pattern; the one argument is AWS's reason, position included where AWS gives one."""

    @property
    def reason(self) -> str:
        return str(self.args[0])


class Scanner:
    """Tokens of one JSON text. `kind` is the token last read, `name` the last field name."""

    def __init__(self, text: str) -> None:
        self.kind = ""
        self.name = ""
        self._text = text
        self._at = 0
        self._token_start = 0
        self._value: str | None = None
        self._open_string = False
        self._ahead = ""
        self._open: list[tuple[str, int]] = []
        self._fresh = True
        """Nothing has been read yet in the innermost object or array."""

    def next(self) -> str:
        """The kind of the next token; raises Refused where the text is no JSON. END at the end of the text."""
        if self._ahead:
            self.kind, self._ahead = self._ahead, ""
            return self.kind
        if self._open_string:
            self._finish_string()
        self.kind = self._read_next()
        return self.kind

    def text(self) -> str:
        """Text of the current token: a string's characters, a number's digits, else the token itself."""
        if self.kind == FIELD:
            return self.name
        if self._open_string:
            self._finish_string()
        if self.kind == STRING:
            return self._value or ""
        return self._text[self._token_start : self._at]

    def refuse(self, reason: str) -> Refused:
        """The exception to raise for `reason` at the present position."""
        return Refused(reason + self._where(self._at))

    def _where(self, at: int) -> str:
        return f"\n at {self._location(at)}"

    def _location(self, at: int) -> str:
        text = self._text
        quoted = f'"{text[:SOURCE_CHARS_MAX]}"'
        if len(text) > SOURCE_CHARS_MAX:
            quoted += f"[truncated {len(text) - SOURCE_CHARS_MAX} chars]"
        read = text[:at].replace("\r\n", "\n").replace("\r", "\n")
        column = len(read) - (read.rfind("\n") + 1) + 1
        return f"[Source: (String){quoted}; line: {read.count(chr(10)) + 1}, column: {column}]"

    def _unexpected(self, char: str, expected: str) -> Refused:
        what = f"Unexpected character ('{char}' (code {ord(char)})): {expected}"
        return Refused(what + self._where(self._at))

    def _skip(self) -> str:
        """The next character that is no blank, still unread; empty at the end."""
        found = _BLANKS.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._text[self._at : self._at + 1]

    def _read_next(self) -> str:
        char = self._skip()
        if not char:
            return self._at_end()
        if char in "}]":
            return self._close(char)
        if not self._open:
            return self._read_value(char)
        inside = self._open[-1][0]
        if not self._fresh:
            char = self._read_comma(char, inside)
        self._fresh = False
        return self._read_field(char) if inside == OBJECT else self._read_value(char)

    def _at_end(self) -> str:
        if not self._open:
            return END
        inside, start = self._open[-1]
        kind = "Object" if inside == OBJECT else "Array"
        marker = f"expected close marker for {kind} (start marker at {self._location(start)})"
        raise self.refuse(f"Unexpected end-of-input: {marker}")

    def _close(self, char: str) -> str:
        inside, start = self._open[-1] if self._open else ("", 0)
        self._token_start = self._at
        self._at += 1
        wanted = {OBJECT: OBJECT_END, ARRAY: ARRAY_END}.get(inside, "")
        if char != wanted:
            opened = "Object" if inside == OBJECT else "Array" if inside else "root"
            raise self.refuse(
                f"Unexpected close marker '{char}': expected '{wanted}' "
                f"(for {opened} starting at {self._location(start)})"
            )
        self._open.pop()
        self._fresh = False
        return char

    def _read_comma(self, char: str, inside: str) -> str:
        entries = "Object" if inside == OBJECT else "Array"
        if char != ",":
            raise self._unexpected(char, f"was expecting comma to separate {entries} entries")
        self._at += 1
        char = self._skip()
        if not char:
            raise self.refuse(f"Unexpected end-of-input within/between {entries} entries")
        return char

    def _read_field(self, char: str) -> str:
        if char != '"':
            raise self._unexpected(char, "was expecting double-quote to start field name")
        self._at += 1
        self.name = self._characters("was expecting closing quote for name")
        char = self._skip()
        if char != ":":
            raise self._colon_missing(char)
        self._at += 1
        char = self._skip()
        if not char:
            raise self.refuse("Unexpected end-of-input within/between Object entries")
        self._ahead = self._read_value(char)
        return FIELD

    def _colon_missing(self, char: str) -> Refused:
        if not char:
            return self.refuse("Unexpected end-of-input within/between Object entries")
        return self._unexpected(char, "was expecting a colon to separate field name and value")

    def _read_value(self, char: str) -> str:
        self._token_start = self._at
        if char == '"':
            self._at += 1
            self._open_string = True
            return STRING
        if char in "{[":
            self._enter(char)
            return char
        if char == "-" or (char.isdecimal() and char.isascii()):
            return self._read_number()
        return self._read_literal(char)

    def _enter(self, char: str) -> None:
        if len(self._open) >= DEPTH_MAX:
            depth = f"Document nesting depth ({DEPTH_MAX + 1}) exceeds the maximum allowed ({DEPTH_MAX})"
            raise self.refuse(depth)
        self._open.append((char, self._at))
        self._at += 1
        self._fresh = True

    def _read_number(self) -> str:
        found = _NUMBER.match(self._text, self._at)
        if found is None:
            self._at += 1
            raise self.refuse("Invalid numeric value: expected digit after minus sign")
        self._at = found.end()
        rest = self._text[self._at : self._at + 1]
        if found.group().lstrip("-") == "0" and rest.isdecimal():
            self._at += 1
            raise self.refuse("Invalid numeric value: Leading zeroes not allowed")
        if rest and rest not in ",]} \t\r\n/":
            raise self._unexpected(rest, "Expected space separating root-level values or end of number")
        return NUMBER

    def _read_literal(self, char: str) -> str:
        found = _WORD.match(self._text, self._at)
        word = found.group() if found else ""
        kind = LITERALS.get(char, "")
        if kind and word == kind:
            self._at += len(word)
            return kind
        if not word:
            raise self._unexpected(char, f"expected a valid value {_EXPECTED}")
        self._at += len(word)
        if word in ("NaN", "Infinity"):
            hint = "enable `JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS` to allow"
            raise self.refuse(f"Non-standard token '{word}': {hint}")
        raise self.refuse(f"Unrecognized token '{word}': was expecting {_EXPECTED}")

    def _finish_string(self) -> None:
        self._open_string = False
        self._value = self._characters("was expecting closing quote for a string value")

    def _characters(self, at_end: str) -> str:
        """Read the characters up to and including the closing quote."""
        text, parts = self._text, []
        while True:
            plain = _PLAIN.match(text, self._at)
            if plain is not None:
                parts.append(plain.group())
                self._at = plain.end()
            char = text[self._at : self._at + 1]
            if not char:
                raise self.refuse(f"Unexpected end-of-input: {at_end}")
            self._at += 1
            if char == '"':
                return _join(parts)
            if char != "\\":
                control = f"Illegal unquoted character ((CTRL-CHAR, code {ord(char)}))"
                raise self.refuse(f"{control}: has to be escaped using backslash to be included in string value")
            parts.append(self._escape())

    def _escape(self) -> str:
        char = self._text[self._at : self._at + 1]
        self._at += 1
        if char == "u":
            found = _HEX.match(self._text, self._at)
            if found is None:
                raise self.refuse("Unexpected character: expected a hex-digit for character escape sequence")
            self._at = found.end()
            return chr(int(found.group(), 16))
        if char not in _ESCAPES or not char:
            raise self.refuse(f"Unrecognized character escape '{char}' (code {ord(char) if char else -1})")
        return _ESCAPES[char]


def _join(parts: list[str]) -> str:
    """One string of pieces; escaped surrogate pairs become the character they stand for, lone ones stay."""
    joined = "".join(parts)
    if any("\ud800" <= char <= "\udfff" for char in joined):
        return joined.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return joined
