"""Whether an input keeps what the model demands: required members, types, lengths, ranges, enums, patterns, sizes.

The checks of an operation are compiled once. Faults are worded and counted as AWS words and counts them; S3, which has
rules of its own, is not checked here. Pure; knows no handler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from opentrail.call import Shape
from opentrail.errors import AwsError
from opentrail.model.overlay import table
from opentrail.model.shapes import Member, Operation, Protocol, ShapeModel
from opentrail.wire.patterns import compile_pattern, matches
from opentrail.wire.scalars import Value

FAULTS_MAX = 100
"""Faults told in one answer."""
VALUE_SHOWN_MAX = 2_048
"""Characters of a refused value that are repeated in the message."""
OPERATIONS_REMEMBERED_MAX = 1_024
"""Operations whose checks are kept."""
NESTING_MAX = 100
"""Levels that are checked; codecs refuse deeper input before."""

TYPES: Mapping[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list, tuple),
    "string": (str,),
    "blob": (bytes, bytearray),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (datetime, int, float),
}

Faults = list[str]
Check = Callable[[Value, str, Faults, int], None]
Rule = tuple[Callable[[Value], bool], str]


class _Missing(str):
    """A fault of a required member that is not there; the text is the member's name."""

    __slots__ = ()


def validate(operation: Operation, protocol: Protocol, given: Shape) -> None:
    """Raise what the service raises if `given` breaks the model: ValidationException (JSON), ValidationError (query) or
    the service's own code, 400, with all faults in one message."""
    check = _compiled(operation)
    if check is None:
        return
    faults: Faults = []
    check(given, "", faults, 0)
    if faults:
        raise _refusal(operation.service.name, protocol, faults)


def _refusal(service: str, protocol: Protocol, faults: Faults) -> AwsError:
    own = table("validation")
    missing = [fault for fault in faults if isinstance(fault, _Missing)]
    code = own["missing"].get(service) or ("MissingParameter" if protocol == "ec2" else "")
    if missing and code:
        return AwsError(code, f"The request must contain the parameter {missing[0]}.", 400)
    code = own["codes"].get(service) or ("ValidationError" if protocol in ("query", "ec2") else "ValidationException")
    told = [_missing_text(fault) if isinstance(fault, _Missing) else fault for fault in faults[:FAULTS_MAX]]
    noun = "error" if len(told) == 1 else "errors"
    return AwsError(code, f"{len(told)} validation {noun} detected: " + "; ".join(told), 400)


def _missing_text(name: str) -> str:
    steps = ".".join(_lower(step) for step in name.split("."))
    return f"Value null at '{steps}' failed to satisfy constraint: Member must not be null"


@lru_cache(maxsize=OPERATIONS_REMEMBERED_MAX)
def _compiled(operation: Operation) -> Check | None:
    service, shape = operation.service.name, operation.input
    own = table("validation")
    if shape is None or service in own["unchecked"]:
        return None
    return _Compiler(service in own["required_only"]).structure(shape)


class _Compiler:
    """Builds the checks of one operation's shapes, each shape once; recursive shapes find themselves."""

    def __init__(self, required_only: bool) -> None:
        self._built: dict[ShapeModel, Check] = {}
        self._required_only = required_only

    def structure(self, shape: ShapeModel) -> Check:
        known = self._built.get(shape)
        if known is not None:
            return known
        required = tuple(m.name for m in shape.members.values() if m.required and not m.streaming)
        checks: dict[str, Check] = {}

        def check(value: Value, path: str, faults: Faults, depth: int) -> None:
            if not isinstance(value, dict) or depth > NESTING_MAX:
                raise _malformed(path)
            for name in required:
                if value.get(name) is None:
                    faults.append(_Missing(path + name))
            for name, each in value.items():
                inner = checks.get(name)
                if inner is not None and each is not None:
                    inner(each, path + name, faults, depth + 1)

        self._built[shape] = check
        checks.update((m.name, self.member(m)) for m in shape.members.values() if not m.streaming)
        return check

    def member(self, member: Member) -> Check:
        """The check of a value of a member's shape, at the member's own path."""
        shape = member.shape
        if shape.type == "structure":
            return _any_document if shape.document or shape.eventstream else self._below(shape)
        rules = [] if self._required_only else _rules(shape)
        own = _scalar(shape, rules)
        if shape.type == "list" and shape.item is not None:
            return self._list(own, shape.item)
        if shape.type == "map" and shape.key is not None and shape.value is not None:
            return self._map(own, shape.key, shape.value)
        return own

    def _below(self, shape: ShapeModel) -> Check:
        inner = self.structure(shape)
        return lambda value, path, faults, depth: inner(value, path + ".", faults, depth)

    def _list(self, own: Check, item: Member) -> Check:
        inner = self._elements(item, "Member must satisfy constraint: ")

        def check(value: Value, path: str, faults: Faults, depth: int) -> None:
            own(value, path, faults, depth)
            if any(each is None for each in value):
                faults.append(_fault(value, path, "Member must not be null", item.shape.sensitive))
                return
            inner(value, value, [f"{path}.{number}.member" for number in range(1, len(value) + 1)], path, faults, depth)

        return check

    def _map(self, own: Check, key: Member, item: Member) -> Check:
        keys = self._elements(key, "Map keys must satisfy constraint: ")
        items = self._elements(item, "Map value must satisfy constraint: ")

        def check(value: Value, path: str, faults: Faults, depth: int) -> None:
            own(value, path, faults, depth)
            if any(each is None for each in value.values()):
                faults.append(_fault(value, path, "Member must not be null", item.shape.sensitive))
                return
            names = [f"{path}.{name}.member" for name in value]
            keys(value, list(value), names, path, faults, depth)
            items(value, list(value.values()), names, path, faults, depth)

        return check

    def _elements(
        self, item: Member, opening: str
    ) -> Callable[[Value, Sequence[Value], list[str], str, Faults, int], None]:
        """The check of what a list or map holds. AWS tells of all scalars together, by naming every constraint."""
        shape = item.shape
        rules = [] if self._required_only else _rules(shape)
        typed = _scalar(shape, [])
        inner = self.member(item) if shape.type in ("structure", "list", "map") else None
        text = opening + "[" + ", ".join(message for _, message in rules) + "]"

        def check(
            whole: Value, values: Sequence[Value], paths: list[str], path: str, faults: Faults, depth: int
        ) -> None:
            if inner is not None:
                for each, where in zip(values, paths, strict=True):
                    inner(each, where, faults, depth + 1)
                return
            for each in values:
                typed(each, path, faults, depth)
                if any(not keeps(each) for keeps, _ in rules):
                    faults.append(_fault(whole, path, text, shape.sensitive))
                    return

        return check


def _scalar(shape: ShapeModel, rules: list[Rule]) -> Check:
    types = TYPES[shape.type]
    no_truth = bool not in types

    def check(value: Value, path: str, faults: Faults, _depth: int) -> None:
        if not isinstance(value, types) or (no_truth and isinstance(value, bool)):
            raise _malformed(path)
        for keeps, message in rules:
            if not keeps(value):
                faults.append(_fault(value, path, message, shape.sensitive))

    return check


def _any_document(_value: Value, _path: str, _faults: Faults, _depth: int) -> None:
    """A document holds what it likes."""


def _malformed(path: str) -> AwsError:
    return AwsError(
        "SerializationException", f"The value of {path or 'the input'} has a type that the model does not.", 400
    )


def _rules(shape: ShapeModel) -> list[Rule]:
    """(test, wording) of a shape's constraints, in AWS's order: upper bound, lower bound, enum, pattern."""
    rules: list[Rule] = []
    high, low = shape.max, shape.min
    if shape.type in ("string", "blob", "list", "map"):
        if high is not None:
            rules.append(
                (lambda value: len(value) <= high, f"Member must have length less than or equal to {high:.0f}")
            )
        if low:
            rules.append(
                (lambda value: len(value) >= low, f"Member must have length greater than or equal to {low:.0f}")
            )
    elif shape.type in ("integer", "long", "float", "double"):
        if high is not None:
            rules.append((lambda value: value <= high, f"Member must have value less than or equal to {high:g}"))
        if low is not None:
            rules.append((lambda value: value >= low, f"Member must have value greater than or equal to {low:g}"))
    if shape.enum and shape.type == "string":
        names = ", ".join(sorted(shape.enum))
        rules.append((lambda value: value in shape.enum, f"Member must satisfy enum value set: [{names}]"))
    pattern = compile_pattern(shape.pattern) if shape.pattern and shape.type == "string" else None
    if pattern is not None:
        wording = f"Member must satisfy regular expression pattern: {shape.pattern}"
        rules.append((lambda value: matches(pattern, value), wording))
    return rules


def _fault(value: Value, path: str, message: str, sensitive: bool) -> str:
    where = ".".join(_lower(step) for step in path.split("."))
    shown = "" if sensitive else f" '{_show(value)}'"
    return f"Value{shown} at '{where}' failed to satisfy constraint: {message}"


def _lower(step: str) -> str:
    return step[:1].lower() + step[1:]


def _show(value: Value) -> str:
    """As Java would print it, shortened."""
    if isinstance(value, dict):
        text = "{" + ", ".join(f"{key}={_show(each)}" for key, each in list(value.items())[:FAULTS_MAX]) + "}"
    elif isinstance(value, (list, tuple)):
        text = "[" + ", ".join(_show(each) for each in value[:FAULTS_MAX]) + "]"
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif value is None:
        text = "null"
    elif isinstance(value, (bytes, bytearray)):
        text = "java.nio.HeapByteBuffer"
    else:
        text = str(value)
    return text[:VALUE_SHOWN_MAX]
