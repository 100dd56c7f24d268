"""One entry of a pattern's value list → what it adds to the test of its field: literals and match expressions.

Reads tokens in AWS's order so that the first mistake named is the one that AWS names (errors recorded on AWS). Knows
nothing of paths, events or $or.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from opentrail.match.scan import (
    ARRAY,
    ARRAY_END,
    FALSE,
    FIELD,
    NUMBER,
    OBJECT,
    OBJECT_END,
    STRING,
    TRUE,
    Refused,
    Scanner,
)
from opentrail.match.values import (
    Addresses,
    FieldTest,
    Number,
    Span,
    Test,
    Value,
    address,
    comparable,
    glob,
    looks_like_address,
    same_letters,
)

_ONE_KEY: Final = "Only one key allowed in match expression"
_TOO_MANY: Final = "Too many elements in numeric expression"
_MASK = re.compile(r"[+-]?[0-9]{1,9}")


def add_string(test: FieldTest, text: str) -> None:
    """A literal string; one that is an IP address stands for that address in any spelling."""
    digits = address(text) if looks_like_address(text) else None
    if digits is None:
        test.strings.add(text)
    else:
        test.addresses.append(Addresses(digits, digits))


def add_number(test: FieldTest, text: str) -> None:
    """A literal number: the same value, or the same text where no double holds the value."""
    test.tokens.add(text)
    number = comparable(text)
    if number is not None:
        test.numbers.add(number)
        test.compares = True


def add_expression(test: FieldTest, scan: Scanner) -> None:
    """A match expression `{"prefix": …}`, its opening brace just read."""
    if scan.next() != FIELD:
        raise scan.refuse("Match expression name not found")
    read = _EXPRESSIONS.get(scan.name)
    if read is None:
        raise scan.refuse(f"Unrecognized match type {scan.name}")
    read(test, scan)


def _string(scan: Scanner, what: str) -> str:
    if scan.next() != STRING:
        raise scan.refuse(f"{what} match pattern must be a string")
    return scan.text()


def _end(scan: Scanner, reason: str = _ONE_KEY) -> None:
    if scan.next() != OBJECT_END:
        raise scan.refuse(reason)


def _exactly(test: FieldTest, scan: Scanner) -> None:
    test.strings.add(_string(scan, "exact"))
    _end(scan)


def _equals_ignore_case(test: FieldTest, scan: Scanner) -> None:
    matches = same_letters(_string(scan, "equals-ignore-case")).fullmatch
    test.texts.append(lambda value: matches(value) is not None)
    _end(scan)


def _prefix(test: FieldTest, scan: Scanner) -> None:
    if scan.next() == OBJECT:
        begins = same_letters(_inner_ignore_case(scan, "prefix")).match
        test.texts.append(lambda value: begins(value) is not None)
        return
    if scan.kind != STRING:
        raise scan.refuse("prefix match pattern must be a string")
    text = scan.text()
    test.texts.append(lambda value: value.startswith(text))
    _end(scan)


def _suffix(test: FieldTest, scan: Scanner) -> None:
    if scan.next() == OBJECT:
        text = _inner_ignore_case(scan, "suffix")
        ends, longest = same_letters(text, backwards=True).match, 3 * len(text)
        test.texts.append(lambda value: ends(value[-longest:][::-1] if longest else "") is not None)
        return
    if scan.kind != STRING:
        raise scan.refuse("suffix match pattern must be a string")
    text = scan.text()
    test.texts.append(lambda value: value.endswith(text))
    _end(scan)


def _inner_ignore_case(scan: Scanner, what: str) -> str:
    """The text of `{"equals-ignore-case": …}` inside a prefix or suffix, both closing braces read."""
    if scan.next() != FIELD:
        raise scan.refuse(f"{what.capitalize()} expression name not found")
    if scan.name != "equals-ignore-case":
        raise scan.refuse(f"Unsupported {what} pattern: {scan.name}")
    text = _string(scan, "equals-ignore-case")
    _end(scan)
    _end(scan)
    return text


def _wildcard(test: FieldTest, scan: Scanner) -> None:
    text = _string(scan, "wildcard")
    check_glob(text, scan)
    test.texts.append(glob(text))
    test.globs.append([text])
    _end(scan)


def check_glob(text: str, scan: Scanner) -> None:
    """Refuse two stars in a row and a backslash before anything but star or backslash. Positions are bytes of the
    quoted text."""
    data = f'"{text}"'.encode("utf-8", "surrogatepass")
    at = 0
    while at < len(data):
        two = data[at : at + 2]
        if two == b"**":
            raise scan.refuse(f"Consecutive wildcard characters at pos {at}")
        if two[:1] == b"\\":
            if two[1:] not in (b"*", b"\\"):
                raise scan.refuse(f"Invalid escape character at pos {at}")
            at += 1
        at += 1


def _exists(test: FieldTest, scan: Scanner) -> None:
    kind = scan.next()
    if kind not in (TRUE, FALSE):
        raise scan.refuse("exists match pattern must be either true or false.")
    if kind == TRUE:
        test.exists = True
    else:
        test.absent = True
    _end(scan)


def _cidr(test: FieldTest, scan: Scanner) -> None:
    test.addresses.append(_addresses(_string(scan, "prefix")))
    _end(scan)


def _addresses(text: str) -> Addresses:
    parts = text.split("/")
    while parts and not parts[-1]:
        parts.pop()
    if len(parts) != 2:
        raise Refused("Malformed CIDR, one '/' required")
    if not _MASK.fullmatch(parts[1]):
        raise Refused("Malformed CIDR, mask bits must be an integer")
    bits = int(parts[1])
    if bits < 0:
        raise Refused("Malformed CIDR, mask bits must not be negative")
    digits = address(parts[0])
    if digits is None:
        kind = "Invalid" if looks_like_address(parts[0]) else "Nonstandard"
        raise Refused(f"{kind} IP address: {parts[0]}")
    width = 4 * len(digits)
    if bits >= width:
        raise Refused(f"IPv{4 if width == 32 else 6} mask bits must be < {width}")
    free = (1 << (width - bits)) - 1
    base = int(digits, 16)
    return Addresses(f"{base & ~free:0{width // 4}X}", f"{base | free:0{width // 4}X}")


# numeric


def _numeric(test: FieldTest, scan: Scanner) -> None:
    if scan.next() != ARRAY:
        raise scan.refuse("Value of numeric must be an array.")
    if scan.next() != STRING:
        raise scan.refuse(f"Invalid member in numeric match: {scan.text()}")
    operator = scan.text()
    kind = scan.next()
    if operator not in _OPERATORS:
        raise scan.refuse(f"Unrecognized numeric range operator: {operator}")
    if kind != NUMBER:
        raise scan.refuse(f"Value of {_OPERATORS[operator]} must be numeric")
    first = scan.text()
    test.compares = True
    if operator in (">", ">=") and scan.next() != ARRAY_END:
        test.spans.append(_between(scan, first, low_open=operator == ">"))
    else:
        if operator not in (">", ">=") and scan.next() != ARRAY_END:
            raise scan.refuse(_TOO_MANY)
        _add_half(test, operator, _double(first, scan))
    _end(scan, _TOO_MANY)


_OPERATORS = {"=": "equals", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def _add_half(test: FieldTest, operator: str, number: float) -> None:
    if operator == "=":
        test.numbers.add(number)
    elif operator.startswith("<"):
        test.spans.append(Span(high=number, high_open=operator == "<"))
    else:
        test.spans.append(Span(low=number, low_open=operator == ">"))


def _between(scan: Scanner, low: str, *, low_open: bool) -> Span:
    if scan.kind != STRING:
        raise scan.refuse(f"Bad value in numeric range: {scan.text()}")
    operator = scan.text()
    if operator not in ("<", "<="):
        raise scan.refuse(f"Bad numeric range operator: {operator}")
    if scan.next() != NUMBER:
        raise scan.refuse(f"Value of {operator} must be numeric")
    high = scan.text()
    if scan.next() != ARRAY_END:
        raise scan.refuse("Too many terms in numeric range expression")
    span = Span(_double(low, scan), low_open, _double(high, scan), operator == "<")
    if span.low is not None and span.high is not None and span.low >= span.high:
        raise scan.refuse("Bottom must be less than top")
    return span


def _double(text: str, scan: Scanner | None = None) -> float:
    number = comparable(text)
    if number is None:
        reason = f"Cannot compare number : {text}"
        raise Refused(reason) if scan is None else scan.refuse(reason)
    return number


# anything-but


def _anything_but(test: FieldTest, scan: Scanner) -> None:
    inner = ""
    if scan.next() == OBJECT:
        if scan.next() != FIELD:
            raise scan.refuse("Anything-But expression name not found")
        inner = scan.name
        if inner not in _EXCLUDERS:
            raise scan.refuse(f"Unsupported anything-but pattern: {inner}")
        scan.next()
    if scan.kind not in (ARRAY, STRING, NUMBER):
        raise scan.refuse("Value of anything-but must be an array or single string/number value.")
    if inner:
        _add_inner(test, scan, inner)
        _end(scan, _TOO_MANY)
    else:
        test.excluding.append(_excluded_values(test, scan))
    _end(scan, _TOO_MANY)


def _excluded_values(test: FieldTest, scan: Scanner) -> Test:
    if scan.kind == STRING:
        return _other_string(frozenset({scan.text()}))
    if scan.kind == NUMBER:
        test.compares = True
        return _other_number(frozenset({_double(scan.text())}))
    strings, numbers = set(), set()
    try:
        while scan.next() != ARRAY_END:
            if scan.kind == STRING:
                strings.add(scan.text())
            elif scan.kind == NUMBER:
                numbers.add(_double(scan.text()))
            else:
                raise scan.refuse("Inside anything but list, start|null|boolean is not supported.")
    except Refused as refused:
        raise scan.refuse(refused.reason) from refused
    if bool(strings) == bool(numbers):
        mixed = "either all values are number or string, mixed type is not supported"
        raise scan.refuse(f"Inside anything but list, {mixed}")
    if strings:
        return _other_string(frozenset(strings))
    test.compares = True
    return _other_number(frozenset(numbers))


def _other_string(strings: frozenset[str]) -> Test:
    return lambda value: type(value) is not str or value not in strings


def _other_number(numbers: frozenset[float]) -> Test:
    return lambda value: type(value) is not Number or comparable(value) not in numbers


def _add_inner(test: FieldTest, scan: Scanner, inner: str) -> None:
    texts = []
    if scan.kind != ARRAY:
        texts = [_inner_text(scan, inner)]
        _check_globs(texts, scan, inner)
    else:
        try:
            while scan.next() != ARRAY_END:
                texts.append(_inner_text(scan, inner))
        except Refused as refused:
            raise scan.refuse(refused.reason) from refused
        _check_globs(texts, scan, inner)
    if inner == "wildcard":
        test.globs.append(texts)
    test.excluding.append(_EXCLUDERS[inner](texts))


def _check_globs(texts: list[str], scan: Scanner, inner: str) -> None:
    for text in texts if inner == "wildcard" else ():
        check_glob(text, scan)


def _inner_text(scan: Scanner, inner: str) -> str:
    if scan.kind != STRING:
        raise scan.refuse(_WRONG_TYPE.get(inner, "prefix/suffix match pattern must be a string"))
    text = scan.text()
    if not text and inner in ("prefix", "suffix"):
        raise scan.refuse("Null prefix/suffix not allowed")
    return text


_WRONG_TYPE = {
    "equals-ignore-case": "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.",
    "wildcard": "wildcard match pattern must be a string",
}


def _none_of(tests: list[Callable[[str], bool]]) -> Test:
    def passes(value: Value) -> bool:
        return type(value) is not str or not any(test(value) for test in tests)

    return passes


def _no_prefix(texts: list[str]) -> Test:
    prefixes = tuple(texts)
    return lambda value: type(value) is not str or not value.startswith(prefixes)


def _no_suffix(texts: list[str]) -> Test:
    suffixes = tuple(texts)
    return lambda value: type(value) is not str or not value.endswith(suffixes)


def _no_equal(texts: list[str]) -> Test:
    patterns = [same_letters(text) for text in texts]
    return lambda value: type(value) is not str or not any(pattern.fullmatch(value) for pattern in patterns)


def _no_glob(texts: list[str]) -> Test:
    return _none_of([glob(text) for text in texts])


_EXCLUDERS: dict[str, Callable[[list[str]], Test]] = {
    "equals-ignore-case": _no_equal,
    "prefix": _no_prefix,
    "suffix": _no_suffix,
    "wildcard": _no_glob,
}

_EXPRESSIONS: dict[str, Callable[[FieldTest, Scanner], None]] = {
    "exactly": _exactly,
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _equals_ignore_case,
    "wildcard": _wildcard,
    "anything-but": _anything_but,
    "numeric": _numeric,
    "cidr": _cidr,
    "exists": _exists,
}
