"""What the model demands of an input beyond its types: lengths, ranges, patterns, enumerations, required members.

The wording is that of the ValidationException which AWS's JSON services send (`N validation error(s) detected: Value …
at '…' failed to satisfy constraint: …`). Knows shapes, not services.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from opentrail.errors import AwsError
from opentrail.model.shapes import ShapeModel

ERRORS_SHOWN_MAX = 10
"""Errors listed in one message."""
VALUE_SHOWN_MAX = 1_000
"""Characters of an offending value that are repeated in the message."""
DEPTH_MAX = 32
"""Nesting of structures looked into; the model's inputs stay far below it."""


def check(shape: ShapeModel, value: object) -> None:
    """Raise ValidationException if `value` breaks a constraint of `shape`; otherwise nothing."""
    found = []
    for error in _structure(shape, value, "", 0):
        found.append(error)
        if len(found) == ERRORS_SHOWN_MAX:
            break
    if found:
        plural = "errors" if len(found) > 1 else "error"
        raise AwsError("ValidationException", f"{len(found)} validation {plural} detected: {'; '.join(found)}", 400)


@lru_cache(maxsize=512)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _show(value: object) -> str:
    """A value the way AWS's messages print it: maps as {k=v}, lists as [a, b], nothing of the quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_show(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_show, value)) + "]"
    return str(value)


def _error(value: object, path: str, constraint: str) -> str:
    shown = _show(value)[:VALUE_SHOWN_MAX]
    return f"Value '{shown}' at '{path}' failed to satisfy constraint: {constraint}"


def _any(shape: ShapeModel, value: object, path: str, depth: int) -> Iterator[str]:
    if depth > DEPTH_MAX:
        yield f"Value at '{path}' failed to satisfy constraint: Member is nested too deeply"
    elif shape.type == "structure":
        yield from _structure(shape, value, path, depth)
    elif shape.type == "list":
        yield from _list(shape, value, path, depth)
    elif shape.type == "map":
        yield from _map(shape, value, path, depth)
    else:
        for constraint in scalar_errors(shape, value):
            yield _error(value, path, constraint)


def _structure(shape: ShapeModel, value: object, path: str, depth: int) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _error(value, path, "Member must be a structure")
        return
    prefix = f"{path}." if path else ""
    for name, member in shape.members.items():
        inner = value.get(name)
        if inner is not None:
            yield from _any(member.shape, inner, prefix + _lower_first(name), depth + 1)
        elif member.required:
            yield f"Value null at '{prefix}{_lower_first(name)}' failed to satisfy constraint: Member must not be null"


def _list(shape: ShapeModel, value: object, path: str, depth: int) -> Iterator[str]:
    if not isinstance(value, list):
        yield _error(value, path, "Member must be a list")
        return
    for constraint in _length(shape, len(value)):
        yield _error(value, path, constraint)
    assert shape.item is not None
    for number, item in enumerate(value, 1):
        yield from _any(shape.item.shape, item, f"{path}.{number}.member", depth + 1)


def _map(shape: ShapeModel, value: object, path: str, depth: int) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _error(value, path, "Member must be a map")
        return
    assert shape.key is not None
    assert shape.value is not None
    for constraint in _length(shape, len(value)):
        yield _error(value, path, constraint)
    for key, item in value.items():
        if wrong := list(scalar_errors(shape.key.shape, key)):
            yield _error(value, path, f"Map keys must satisfy constraint: [{', '.join(wrong)}]")
        if shape.value.shape.type == "structure":
            yield from _structure(shape.value.shape, item, f"{path}.{key}.member", depth + 1)
        elif list(scalar_errors(shape.value.shape, item)):
            bounds = ", ".join(_bounds(shape.value.shape)) or "Member must be of the modelled type"
            yield _error(value, path, f"Map value must satisfy constraint: [{bounds}]")


def scalar_errors(shape: ShapeModel, value: object) -> Iterator[str]:
    """The constraints that a string, number or boolean breaks."""
    if shape.type == "string":
        yield from _string(shape, value)
    elif shape.type in ("integer", "long"):
        if not isinstance(value, int) or isinstance(value, bool):
            yield "Member must be an integer"
        else:
            yield from _range(shape, value)
    elif shape.type == "boolean" and not isinstance(value, bool):
        yield "Member must be a boolean"


def _string(shape: ShapeModel, value: object) -> Iterator[str]:
    if not isinstance(value, str):
        yield "Member must be a string"
        return
    if shape.enum and value not in shape.enum:
        yield f"Member must satisfy enum value set: [{', '.join(sorted(shape.enum))}]"
        return
    yield from _length(shape, len(value))
    if shape.pattern and not _pattern(shape.pattern).fullmatch(value):
        yield f"Member must satisfy regular expression pattern: {shape.pattern}"


def _length(shape: ShapeModel, length: int) -> Iterator[str]:
    if shape.max is not None and length > shape.max:
        yield f"Member must have length less than or equal to {shape.max:.0f}"
    if shape.min is not None and length < shape.min:
        yield f"Member must have length greater than or equal to {shape.min:.0f}"


def _bounds(shape: ShapeModel) -> Iterator[str]:
    if shape.max is not None:
        yield f"Member must have length less than or equal to {shape.max:.0f}"
    if shape.min is not None:
        yield f"Member must have length greater than or equal to {shape.min:.0f}"
    if shape.pattern:
        yield f"Member must satisfy regular expression pattern: {shape.pattern}"


def _range(shape: ShapeModel, value: int) -> Iterator[str]:
    if shape.max is not None and value > shape.max:
        yield f"Member must have value less than or equal to {shape.max:.0f}"
    if shape.min is not None and value < shape.min:
        yield f"Member must have value greater than or equal to {shape.min:.0f}"


def _lower_first(name: str) -> str:
    return name[:1].lower() + name[1:]
