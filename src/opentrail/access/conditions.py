"""The condition operators of policies, compiled once per policy and tested against the keys of one request.

Source: IAM user guide, "IAM JSON policy elements: Condition operators" and "Conditions with multiple context keys or
values". Knows nothing of where the keys' values come from.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from opentrail.access.glob import Glob, Lookup, Token, Wild, has_variables, parse, resolve

Quantifier = Literal["", "ForAllValues", "ForAnyValue"]
Test: TypeAlias = Callable[[str, Lookup], bool]
"""Whether one value of the request matches any of the policy's values."""
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

ARN_PARTS = 6
NUMBER_CHARS_MAX = 64
DATE_CHARS_MAX = 40
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d{1,3})?")


class BadCondition(ValueError):
    """A condition that no policy may hold. `args`: what is wrong (`operator` or `value`) and the offending text."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One key under one operator."""

    key: str
    """Lower case."""
    operator: str
    """Without quantifier and `IfExists`."""
    quantifier: Quantifier
    if_exists: bool
    negated: bool
    values: tuple[str, ...]
    test: Test

    def holds(self, lookup: Lookup) -> bool:
        """Whether the request satisfies it; a missing key satisfies only the negated, `IfExists` and `ForAllValues`."""
        found = lookup(self.key)
        if self.operator == "Null":
            return self.test("false" if found else "true", lookup)
        if not found:
            return self.if_exists or self.quantifier == "ForAllValues" or (self.negated and not self.quantifier)
        if self.quantifier == "ForAllValues":
            return all(self.test(value, lookup) is not self.negated for value in found)
        if self.quantifier == "ForAnyValue":
            return any(self.test(value, lookup) is not self.negated for value in found)
        return any(self.test(value, lookup) for value in found) is not self.negated


def compile_condition(name: str, key: str, values: tuple[str, ...], variables: bool) -> Condition:
    """Compile `{name: {key: values}}`; raises BadCondition."""
    quantifier, base, if_exists = _split(name)
    family = FAMILIES.get(base)
    if family is None or (if_exists and base == "Null"):
        raise BadCondition("operator", name)
    build, negated = family
    return Condition(key.lower(), base, quantifier, if_exists, negated, values, build(values, variables))


def _split(name: str) -> tuple[Quantifier, str, bool]:
    """`ForAnyValue:StringLikeIfExists` -> (`ForAnyValue`, `StringLike`, True)."""
    quantifier: Quantifier = ""
    if name.startswith("ForAllValues:"):
        quantifier = "ForAllValues"
    elif name.startswith("ForAnyValue:"):
        quantifier = "ForAnyValue"
    base = name.partition(":")[2] if quantifier else name
    return quantifier, base.removesuffix("IfExists"), base.endswith("IfExists")


def _strings(fold: Callable[[str], str]) -> Callable[[tuple[str, ...], bool], Test]:
    """Equality of texts, each folded first. Wildcards are plain characters here, variables are not."""

    def build(values: tuple[str, ...], variables: bool) -> Test:
        plain, templates = set(), []
        for value in values:
            tokens = parse(value, variables) if variables and "${" in value else (value,)
            if has_variables(tokens):
                templates.append(tokens)
            else:
                plain.add(fold("".join(map(_literal, tokens))))

        def test(value: str, lookup: Lookup) -> bool:
            folded = fold(value)
            if folded in plain:
                return True
            for tokens in templates:
                resolved = resolve(tokens, lookup)
                if resolved is not None and fold("".join(map(_literal, resolved))) == folded:
                    return True
            return False

        return test

    return build


def _literal(token: Token) -> str:
    return token.value if isinstance(token, Wild) else str(token)


def _globs(values: tuple[str, ...], variables: bool) -> Test:
    return _patterns([parse(value, variables) for value in values], lambda tokens: Glob(tokens).matches)


def _patterns(
    all_tokens: Sequence[tuple[Token, ...]], build: Callable[[Sequence[Token]], Callable[[str], bool]]
) -> Test:
    """Patterns without variables are built now, the others when their variables have values."""
    ready = [build(tokens) for tokens in all_tokens if not has_variables(tokens)]
    templates = [tokens for tokens in all_tokens if has_variables(tokens)]

    def test(value: str, lookup: Lookup) -> bool:
        if any(matches(value) for matches in ready):
            return True
        for tokens in templates:
            resolved = resolve(tokens, lookup)
            if resolved is not None and build(resolved)(value):
                return True
        return False

    return test


def _arns(values: tuple[str, ...], variables: bool) -> Test:
    return _patterns([parse(value, variables) for value in values], arn_matcher)


def arn_matcher(tokens: Sequence[Token]) -> Callable[[str], bool]:
    """Each of an ARN's six parts is matched by itself, so that a star does not run over a colon into the next."""
    parts: list[list[Token]] = [[]]
    for token in tokens:
        if not isinstance(token, str):
            parts[-1].append(token)
            continue
        first, *rest = token.split(":", ARN_PARTS - len(parts))
        parts[-1].append(first)
        parts.extend([piece] for piece in rest)
    if len(parts) < ARN_PARTS:
        return Glob(tokens).matches if tokens and tokens[-1] is Wild.ANY else lambda _value: False
    globs = [Glob([token for token in part if token != ""]) for part in parts]

    def matches(value: str) -> bool:
        pieces = value.split(":", ARN_PARTS - 1)
        return len(pieces) == ARN_PARTS and all(glob.matches(piece) for glob, piece in zip(globs, pieces, strict=True))

    return matches


def _compared(read: Callable[[str], float | None], compare: Callable[[float, float], bool]) -> Any:  # noqa: ANN401
    """Numbers and dates, both read as floats; what cannot be read matches nothing."""

    def build(values: tuple[str, ...], _variables: bool) -> Test:
        wanted = []
        for value in values:
            number = read(value)
            if number is None:
                raise BadCondition("value", value)
            wanted.append(number)

        def test(value: str, _lookup: Lookup) -> bool:
            number = read(value)
            return number is not None and any(compare(number, other) for other in wanted)

        return test

    return build


def read_number(text: str) -> float | None:
    if len(text) > NUMBER_CHARS_MAX or not _NUMBER.fullmatch(text) or not text.isascii():
        return None
    number = float(text)
    return number if math.isfinite(number) else None


@lru_cache(maxsize=1024)
def read_date(text: str) -> float | None:
    """Epoch seconds of an ISO 8601 date (UTC when it names no zone) or of epoch seconds."""
    number = read_number(text)
    if number is not None and not (text.isdigit() and len(text) == 8):
        return number
    if len(text) > DATE_CHARS_MAX or not text.isascii():
        return None
    try:
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _booleans(values: tuple[str, ...], _variables: bool) -> Test:
    wanted = {value.lower() for value in values}
    if not wanted <= {"true", "false"}:
        raise BadCondition("value", values[0])
    return lambda value, _lookup: value.lower() in wanted


def _binaries(values: tuple[str, ...], _variables: bool) -> Test:
    wanted = set()
    for value in values:
        decoded = _base64(value)
        if decoded is None:
            raise BadCondition("value", value)
        wanted.add(decoded)
    return lambda value, _lookup: _base64(value) in wanted


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _addresses(values: tuple[str, ...], _variables: bool) -> Test:
    networks = []
    for value in values:
        network = read_network(value)
        if network is None:
            raise BadCondition("value", value)
        networks.append(network)

    def test(value: str, _lookup: Lookup) -> bool:
        address = read_address(value)
        return address is not None and any(address in network for network in networks)

    return test


def read_network(text: str) -> Network | None:
    """A CIDR range, or the one address."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def read_address(text: str) -> Address | None:
    """An address; IPv4 written as IPv6 is IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _same(text: str) -> str:
    return text


Builder: TypeAlias = Callable[[tuple[str, ...], bool], Test]
FAMILIES: dict[str, tuple[Builder, bool]] = {
    "StringEquals": (_strings(_same), False),
    "StringNotEquals": (_strings(_same), True),
    "StringEqualsIgnoreCase": (_strings(str.casefold), False),
    "StringNotEqualsIgnoreCase": (_strings(str.casefold), True),
    "StringLike": (_globs, False),
    "StringNotLike": (_globs, True),
    "NumericEquals": (_compared(read_number, operator.eq), False),
    "NumericNotEquals": (_compared(read_number, operator.eq), True),
    "NumericLessThan": (_compared(read_number, operator.lt), False),
    "NumericLessThanEquals": (_compared(read_number, operator.le), False),
    "NumericGreaterThan": (_compared(read_number, operator.gt), False),
    "NumericGreaterThanEquals": (_compared(read_number, operator.ge), False),
    "DateEquals": (_compared(read_date, operator.eq), False),
    "DateNotEquals": (_compared(read_date, operator.eq), True),
    "DateLessThan": (_compared(read_date, operator.lt), False),
    "DateLessThanEquals": (_compared(read_date, operator.le), False),
    "DateGreaterThan": (_compared(read_date, operator.gt), False),
    "DateGreaterThanEquals": (_compared(read_date, operator.ge), False),
    "Bool": (_booleans, False),
    "BinaryEquals": (_binaries, False),
    "IpAddress": (_addresses, False),
    "NotIpAddress": (_addresses, True),
    "ArnEquals": (_arns, False),
    "ArnLike": (_arns, False),
    "ArnNotEquals": (_arns, True),
    "ArnNotLike": (_arns, True),
    "Null": (_booleans, False),
}
"""Operator -> (how its test is built, whether it is negated)."""
