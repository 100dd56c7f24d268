"""What the models do not say about an operation: its name in the record, who may call it, what it touches.

Rules here, exceptions in `overlays/facts.json` and `overlays/s3_facts.json`, both with their sources. Knows no protocol,
no handler and no policy.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from opentrail.model.overlay import table
from opentrail.model.shapes import Category, Facts, Level, ServiceModel, ShapeModel

READ_VERBS = re.compile(
    r"(Get|List|Describe|Head|Lookup|Search|BatchGet|BatchDescribe|Query|Scan|Select|Test|Simulate|Validate|Filter"
    r"|Preview|Estimate|Check|Verify)(?![a-z])"
)
"""First words of operations that change nothing. Source: readOnly of some 400 event names in public data sets."""
SENSITIVE_DEPTH_MAX = 6
"""Members below this depth are not searched for the model's `sensitive` mark."""
SENSITIVE_MAX = 64
"""Sensitive members listed for one operation."""
TEMPLATES_MAX = 2_048
"""Resource templates kept compiled."""
ANY = "*"
S3_ARN = "arn:{partition}:s3:"

_PART = re.compile(r"\[([^\]{]*)\{([^}|]+)\}([^\]]*)\]|\{([^}|]+)(?:\|([^}]*))?\}")


def facts_of(service: ServiceModel, name: str, uri: str, given: ShapeModel | None, got: ShapeModel | None) -> Facts:
    """The facts of the operation `name` of `service`, whose request URI, input and output are given."""
    if service.name == "s3":
        return _s3_facts(name, uri)
    about = table("facts").get(service.name, {})
    row: Mapping[str, Any] = about.get("operations", {}).get(name, {})
    prefix = service.signing_name
    event_name = row.get("event", name)
    return Facts(
        event_source=about.get("source", f"{prefix.lower()}.amazonaws.com"),
        event_name=event_name,
        documented_name=row.get("documented", event_name),
        category="Data" if row.get("data") else "Management",
        read_only=row.get("read_only", bool(READ_VERBS.match(name))),
        actions=tuple(row.get("actions", (f"{about.get('iam_prefix', prefix)}:{name}",))),
        resource=row.get("resource") or _by_member(about.get("members", {}), given.members if given else ()),
        global_service=about.get("global", False),
        secrets=frozenset(row["secrets"]) if "secrets" in row else _unlisted_secrets(about, given, got),
    )


def _by_member(templates: Mapping[str, str], members: Collection[str]) -> str:
    return next((template for member, template in templates.items() if member in members), ANY)


def _s3_facts(name: str, uri: str) -> Facts:
    row: Mapping[str, Any] = table("s3_facts").get(name, {})
    level: Level = row.get("level") or ("object" if "{Key" in uri else "bucket" if "{Bucket}" in uri else "service")
    category: Category = "Data" if level == "object" or row.get("data") else "Management"
    event_name = row.get("event", name)
    resource = {
        "service": "arn:{partition}:s3:::*",
        "bucket": "arn:{partition}:s3:::{Bucket}",
        "object": "arn:{partition}:s3:::{Bucket}/{Key}",
    }[level]
    return Facts(
        event_source=row.get("source", "s3.amazonaws.com"),
        event_name=event_name,
        documented_name=row.get("documented", event_name),
        category=category,
        read_only=row.get("read_only", bool(READ_VERBS.match(name))),
        actions=tuple(row.get("actions", (f"s3:{name}",))),
        resource=row.get("resource", resource),
        level=level,
    )


def _unlisted_secrets(about: Mapping[str, Any], given: ShapeModel | None, got: ShapeModel | None) -> frozenset[str]:
    """Of a service nobody has looked at, whatever its model marks as sensitive stays out of the record."""
    if about:
        return frozenset()
    found: set[str] = set()
    for shape in (given, got):
        if shape is not None:
            _sensitive(shape, "", 0, found)
    return frozenset(found)


def _sensitive(shape: ShapeModel, path: str, depth: int, found: set[str]) -> None:
    """Add the dotted paths of sensitive members; lists are passed through without a step of their own."""
    for member in shape.members.values():
        if len(found) >= SENSITIVE_MAX:
            return
        inner = member.shape
        while inner.type == "list" and inner.item is not None and not inner.sensitive:
            inner = inner.item.shape
        here = f"{path}.{member.name}" if path else member.name
        if inner.sensitive:
            found.add(here)
        elif inner.type == "structure" and depth < SENSITIVE_DEPTH_MAX:
            _sensitive(inner, here, depth + 1, found)


@lru_cache(maxsize=TEMPLATES_MAX)
def _template(template: str) -> tuple[tuple[str, str, str, str, str], ...]:
    """(text before, opening of an optional part, dotted name, its closing, default) of each placeholder, and the rest."""
    parts = []
    end = 0
    for found in _PART.finditer(template):
        before = template[end : found.start()]
        opening, optional, closing, plain, default = found.groups()
        parts.append((before, opening or "", optional or plain, closing or "", "" if optional else default or ANY))
        end = found.end()
    parts.append((template[end:], "", "", "", ""))
    return tuple(parts)


@lru_cache(maxsize=64)
def partition(region: str) -> str:
    """The partition of a region: `aws`, `aws-cn`, `aws-us-gov`."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def resource_arn(template: str, given: Mapping[str, Any], region: str, account: str) -> str:
    """The ARN that `Facts.resource` means for the input `given`.

    `{a.b}` is the member b of the member a, or `*` when it is missing (`{a|x}`: or `x`); `[{a}/]` is left out when `a` is
    missing or `default`. Where the input may hold an ARN instead of a name, one that would end the template is taken
    whole if it is of the template's service, and counts for what follows its last slash elsewhere; so does a QueueUrl.
    S3's names and keys are never read that way.
    """
    fixed = {"partition": partition(region), "region": region, "account": account}
    parts = _template(template)
    names_only = template.startswith(S3_ARN)
    out = []
    for index, (before, opening, name, closing, default) in enumerate(parts[:-1]):
        value = fixed[name] if name in fixed else _dig(given, name)
        if not names_only and value.startswith("arn:"):
            if index == len(parts) - 2 and not parts[-1][0] and _same_service(template, value):
                return value
            value = value.rpartition("/")[2]
        elif name == "QueueUrl":
            value = value.rpartition("/")[2]
        out.append(before)
        if default:
            out.append(value or default)
        elif value and value != "default":
            out.append(opening + value + closing)
    out.append(parts[-1][0])
    return "".join(out)


def _same_service(template: str, arn: str) -> bool:
    """A template that is one member only says nothing of a service."""
    return template.startswith("{") or template.split(":", 3)[2:3] == arn.split(":", 3)[2:3]


def _dig(given: Mapping[str, Any], path: str) -> str:
    value: Any = given
    for step in path.split("."):
        if not isinstance(value, Mapping):
            return ""
        value = value.get(step, "")
    return str(value) if isinstance(value, (str, int)) else ""
