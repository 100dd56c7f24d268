"""Which operation of a rest-json or rest-xml service a method and path name: computed from the URI templates.

Knows nothing of hosts, signatures and S3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from opentrail.model.shapes import Operation, ServiceModel
from opentrail.wire.route_s3 import decode, parse_query

TABLES_REMEMBERED_MAX = 32
"""Services whose tables are kept."""
SEGMENTS_MAX = 64
"""Segments of a path that are looked at; a longer one matches nothing."""
END = 3
"""Sorts the end of a template behind any further segment."""


@dataclass(slots=True)
class _Template:
    """`/a/{B}/{C+}?d=e`, taken apart. A label is (name, greedy); a literal segment is text."""

    operation: Operation
    segments: list[str | tuple[str, bool]] = field(default_factory=list)
    literals: dict[str, str] = field(default_factory=dict)
    required: tuple[str, ...] = ()

    def match(self, parts: list[str], query: Mapping[str, str]) -> dict[str, str] | None:
        """The labels, still encoded; None if the path or the query is another's."""
        for name, value in self.literals.items():
            if name not in query or (value and query[name] != value):
                return None
        labels: dict[str, str] = {}
        at = 0
        for index, segment in enumerate(self.segments):
            if at >= len(parts):
                return None
            if isinstance(segment, str):
                if parts[at] != segment:
                    return None
                at += 1
                continue
            name, greedy = segment
            end = len(parts) - (len(self.segments) - index - 1) if greedy else at + 1
            if end <= at or not (value := "/".join(parts[at:end])):
                return None
            labels[name] = value
            at = end
        return labels if at == len(parts) else None


class RestTable:
    """The templates of one service by method, the most specific first."""

    def __init__(self, service: ServiceModel) -> None:
        self._by_method: dict[str, list[_Template]] = {}
        for operation in service.operations.values():
            self._by_method.setdefault(operation.method, []).append(_take_apart(operation))
        for templates in self._by_method.values():
            templates.sort(key=_order)

    def find(self, method: str, path: str, query: str) -> tuple[Operation, dict[str, str]] | None:
        """The operation and its decoded labels; None if the service has no such path."""
        parts = path.strip("/").split("/", SEGMENTS_MAX) if path != "/" else []
        if len(parts) > SEGMENTS_MAX:
            return None
        parsed = parse_query(query)
        fallback = None
        for template in self._by_method.get(method, ()):
            labels = template.match(parts, parsed)
            if labels is None:
                continue
            found = template.operation, {name: decode(value) for name, value in labels.items()}
            if all(name in parsed for name in template.required):
                return found
            fallback = fallback or found
        return fallback


def _take_apart(operation: Operation) -> _Template:
    path, _, literal = operation.uri.partition("?")
    template = _Template(operation)
    for segment in path.strip("/").split("/") if path.strip("/") else ():
        if segment.startswith("{"):
            name = segment[1:].partition("}")[0]
            template.segments.append((name.removesuffix("+"), name.endswith("+")))
        else:
            template.segments.append(segment)
    template.literals = dict(part.partition("=")[::2] for part in literal.split("&") if part)
    if operation.input is not None:
        members = operation.input.members.values()
        template.required = tuple(one.wire_name for one in members if one.required and one.location == "querystring")
    return template


def _order(template: _Template) -> tuple[int, list[int], int, str]:
    """Queries that must be there, then literal before label before greedy label before the end, from the left."""
    kinds = [0 if isinstance(segment, str) else 2 if segment[1] else 1 for segment in template.segments]
    kinds.append(END)
    return -len(template.literals), kinds, -len(template.required), template.operation.name


@lru_cache(maxsize=TABLES_REMEMBERED_MAX)
def rest_table(service: ServiceModel) -> RestTable:
    """The table of a service's model."""
    return RestTable(service)
