"""What a target gets of a matched event: all of it, a part, a constant, or a filled-in template.

Pure. `None` means that AWS drops the delivery because the filled-in template is no JSON. Source: EventBridge user guide,
"Amazon EventBridge input transformation"; 17 cases recorded on AWS.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

PATH_STEPS_MAX: Final = 128
RENDERED_BYTES_MAX: Final = 262_144
"""Larger payloads are dropped, as an event of that size would be."""
_PATHS_CACHED: Final = 4_096

_PATH_STEP = re.compile(r"""\.([A-Za-z0-9_\-]+)|\[(?:(\d{1,6})|'([^']+)'|"([^"]+)")\]""")
_PLACEHOLDER = re.compile(r"<([A-Za-z0-9_\-.]+)>")
RESERVED: Final = frozenset(
    {
        "aws.events.rule-arn",
        "aws.events.rule-name",
        "aws.events.event.ingestion-time",
        "aws.events.event",
        "aws.events.event.json",
    }
)
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Transformer:
    """InputTransformer: names of values → JSON paths, and the template that uses them."""

    template: str
    paths: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """What the reserved placeholders stand for. `ingestion_time` is ISO 8601."""

    rule_arn: str = ""
    rule_name: str = ""
    ingestion_time: str = ""


@lru_cache(_PATHS_CACHED)
def parse_path(text: str) -> tuple[str | int, ...] | None:
    """Steps of a JSON path `$.a.b[0]['c d']`, or None if it is none."""
    if not text.startswith("$"):
        return None
    steps: list[str | int] = []
    at = 1
    while at < len(text) and len(steps) < PATH_STEPS_MAX:
        found = _PATH_STEP.match(text, at)
        if found is None:
            return None
        name, index, single, double = found.groups()
        steps.append(int(index) if index is not None else name or single or double)
        at = found.end()
    return tuple(steps) if at == len(text) else None


def unknown_placeholders(transformer: Transformer) -> list[str]:
    """Names in the template that are neither in the paths nor reserved, in order."""
    names = dict.fromkeys(_PLACEHOLDER.findall(transformer.template))
    return [name for name in names if name not in transformer.paths and name not in RESERVED]


def select(event: Any, path: str) -> bytes:  # noqa: ANN401  (a decoded JSON value)
    """InputPath: the JSON text of a part of the event; `null` where there is none."""
    found = _follow(event, path)
    return _json(None if found is _MISSING else found).encode()


def render(event: Any, transformer: Transformer, context: Context) -> bytes | None:  # noqa: ANN401
    """The filled-in template. One that begins with `{` is JSON; any other is text, delivered as it stands."""
    values = {name: _follow(event, path) for name, path in transformer.paths.items()}
    names = {*_PLACEHOLDER.findall(transformer.template)}
    values.update({name: _reserved(name, event, context) for name in names & RESERVED})
    template = transformer.template
    is_json = template.lstrip().startswith(("{", "["))
    text = _fill_json(template, values) if is_json else _fill_text(template, values)
    data = text.encode("utf-8", "replace")
    if len(data) > RENDERED_BYTES_MAX or (is_json and not is_json_text(text)):
        return None
    return data


def _reserved(name: str, event: Any, context: Context) -> Any:  # noqa: ANN401
    if name == "aws.events.rule-arn":
        return context.rule_arn
    if name == "aws.events.rule-name":
        return context.rule_name
    if name == "aws.events.event.ingestion-time":
        return context.ingestion_time
    if name == "aws.events.event.json":
        return event
    return {"detailType" if key == "detail-type" else key: value for key, value in event.items() if key != "detail"}


def _follow(event: Any, path: str) -> Any:  # noqa: ANN401
    steps = parse_path(path)
    if steps is None:
        return _MISSING
    value = event
    for step in steps:
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(value):
                return _MISSING
            value = value[step]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:
            return _MISSING
    return value


def _fill_json(template: str, values: Mapping[str, Any]) -> str:
    """Placeholders outside quotes become JSON values, inside quotes the text of the value."""
    parts: list[str] = []
    inside, at = False, 0
    for found in _PLACEHOLDER.finditer(template):
        before = template[at : found.start()]
        inside = _inside_after(before, inside)
        value = values.get(found[1], _MISSING)
        parts += (before, _text_in_json(value) if inside else _value_in_json(value))
        at = found.end()
    return "".join((*parts, template[at:]))


def _inside_after(text: str, inside: bool) -> bool:
    """Whether a quoted string is open after `text`."""
    return inside ^ (len(_QUOTE.findall(text)) % 2 == 1)


_QUOTE = re.compile(r'(?<!\\)(?:\\\\)*"')


def _value_in_json(value: Any) -> str:  # noqa: ANN401
    return "" if value is _MISSING else _json(value)


def _text_in_json(value: Any) -> str:  # noqa: ANN401
    """A string without its quotes; anything else as JSON, whose own quotes end the string (and so the delivery)."""
    if value is _MISSING:
        return ""
    return _json(value)[1:-1] if isinstance(value, str) else _json(value)


def _fill_text(template: str, values: Mapping[str, Any]) -> str:
    return _PLACEHOLDER.sub(lambda found: _text_in_text(values.get(found[1], _MISSING)), template)


def _text_in_text(value: Any) -> str:  # noqa: ANN401
    """Objects and lists lose their quotes: `{a:b}`, `[x,y]`."""
    if value is _MISSING:
        return ""
    return _json(value)[1:-1] if isinstance(value, str) else _json(value).replace('"', "")


def _json(value: Any) -> str:  # noqa: ANN401
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def is_json_text(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
