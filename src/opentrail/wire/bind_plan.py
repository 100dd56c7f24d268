"""Where each member of an input or an output lies in HTTP: computed once per operation, kept by identity.

Plans are tables and nothing else; `bind`, `request` and `answer` read them on every call.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from opentrail.model.shapes import Member, Operation, ShapeModel

PLANS_REMEMBERED_MAX = 4_096
"""Operations whose plans are kept; the least recently used go first."""
S3_SERVICES = frozenset({"s3", "s3control"})
ANSWER_LOCATIONS = frozenset({"header", "headers", "statusCode"})


class Plan(NamedTuple):
    """The HTTP bindings of one structure. Header names are in lower case."""

    labels: dict[str, Member]
    query: dict[str, Member]
    query_map: Member | None
    headers: dict[str, Member]
    prefixes: tuple[tuple[str, Member], ...]
    status: Member | None
    payload: Member | None
    body: dict[str, Member]
    """Members of the body by their own names; empty when there is a payload member."""
    blob: bool
    """The payload is the body's bytes: a blob or a string."""


@lru_cache(PLANS_REMEMBERED_MAX)
def plan_of(shape: ShapeModel, answer: bool = False) -> Plan:
    """The bindings of an operation's input or, for an `answer`, its output, where only headers and status count."""
    located: dict[str, list[Member]] = {}
    for member in shape.members.values():
        place = "" if answer and member.location not in ANSWER_LOCATIONS else member.location
        located.setdefault(place, []).append(member)
    query = located.get("querystring", [])
    payload = shape.members.get(shape.payload)
    status = located.get("statusCode", [])
    return Plan(
        labels={member.wire_name: member for member in located.get("uri", ())},
        query={member.wire_name: member for member in query if member.shape.type != "map"},
        query_map=next((member for member in query if member.shape.type == "map"), None),
        headers={member.wire_name.lower(): member for member in located.get("header", ())},
        prefixes=tuple((_prefix(member), member) for member in located.get("headers", ())),
        status=status[0] if status else None,
        payload=payload,
        body={} if payload else {member.name: member for member in located.get("", ())},
        blob=payload is not None and payload.shape.type in ("blob", "string"),
    )


def _prefix(member: Member) -> str:
    """A prefix may be empty: then every header counts."""
    return "" if member.wire_name == member.name else member.wire_name.lower()


class Path(NamedTuple):
    """A request URI template taken apart."""

    pieces: tuple[tuple[str, str, bool], ...]
    """(literal text, label after it or empty, whether the label is greedy)."""
    query: str


_LABEL = re.compile(r"\{([^}+]+)(\+?)\}")


@lru_cache(PLANS_REMEMBERED_MAX)
def path_of(operation: Operation) -> Path:
    """`/{Bucket}/{Key+}?tagging` → its literals, labels and fixed query."""
    template, _, query = operation.uri.partition("?")
    pieces = []
    at = 0
    for found in _LABEL.finditer(template):
        pieces.append((template[at : found.start()], found[1], bool(found[2])))
        at = found.end()
    pieces.append((template[at:], "", False))
    return Path(tuple(pieces), query)
