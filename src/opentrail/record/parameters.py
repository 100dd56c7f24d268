"""The modelled dialect: requestParameters and responseElements of every service but S3.

Rules, as real records of 2023 to 2025 show them: the first letter of each member name becomes lower case and nothing else
(`S3BucketName` → `s3BucketName`, `DBInstanceClass` → `dBInstanceClass`, `ARN` → `aRN`, `TrailARN` → `trailARN`); keys of
maps are untouched; bytes are left out; timestamps read `Jul 10, 2023 11:57:21 AM` (STS and Secrets Manager put a comma
behind the year, Lambda and some others write ISO 8601); no members → null. A read has no responseElements, with the
exception of STS; neither has a failed call, nor one without output. A refused call (`AccessDenied`) has null
requestParameters, except where a service is known to keep them. Secrets: see `redact`. This module knows the model and
nothing of HTTP.
"""

from __future__ import annotations

import datetime
import time
from functools import lru_cache
from typing import Any, Final

import msgspec

from opentrail.call import Call, Shape
from opentrail.model.shapes import Member, Operation, ShapeModel
from opentrail.record.limits import DEPTH_MAX, omitted
from opentrail.record.redact import is_secret_name, mark_of

NAMES_MAX: Final = 8_192
"""Lower-cased member names kept in memory."""
ABSENT: Final = object()
"""What a member becomes that does not appear."""

COMMA_SERVICES: Final = frozenset({"sts", "secretsmanager", "ssm"})
ISO_SERVICES: Final = frozenset({"lambda", "codebuild", "rolesanywhere"})
ANSWERING_READS: Final = frozenset(
    {
        "AssumeRole",
        "AssumeRoleWithSAML",
        "AssumeRoleWithWebIdentity",
        "AssumeRoot",
        "GetSessionToken",
        "GetFederationToken",
    }
)
"""Operations of STS whose answer is recorded although they count as reads."""
KEEPING_REFUSED: Final = frozenset({"ec2", "rds", "kms", "ce", "glue", "secretsmanager", "lambda"})
"""Services whose refused calls keep their requestParameters (real records of each)."""
REFUSALS: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"})


@lru_cache(maxsize=NAMES_MAX)
def lower_first(name: str) -> str:
    """The member name as records spell it."""
    return name[:1].lower() + name[1:]


def record_time(value: Any, service: str) -> str:  # noqa: ANN401  (datetime, epoch seconds or text)
    """A timestamp as the records of `service` (botocore's name) write it, in UTC. Text stays as it is."""
    if isinstance(value, datetime.datetime):
        value = value.timestamp() if value.tzinfo else value.replace(tzinfo=datetime.UTC).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    try:
        moment = time.gmtime(value)
    except (OverflowError, OSError, ValueError):
        return str(value)
    if service in ISO_SERVICES:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)
    comma = "," if service in COMMA_SERVICES else ""
    return time.strftime(f"%b {moment.tm_mday}, %Y{comma} {moment.tm_hour % 12 or 12}:%M:%S %p", moment)


class Projection:
    """Walks one value along its shape. Bound to a service and to the operation's secret paths."""

    __slots__ = ("secrets", "service")

    def __init__(self, service: str, secrets: frozenset[str]) -> None:
        self.service = service
        self.secrets = secrets

    def structure(self, value: Shape, shape: ShapeModel | None, path: str, depth: int) -> dict[str, Any]:
        """The members that appear, in the order given."""
        members = shape.members if shape is not None else {}
        projected: dict[str, Any] = {}
        for name, item in value.items():
            if item is None:
                continue
            name = str(name)
            shown = self._member(name, item, members.get(name), f"{path}{name}", depth)
            if shown is not ABSENT:
                projected[lower_first(name)] = shown
        return projected

    def _member(self, name: str, item: Any, member: Member | None, path: str, depth: int) -> Any:  # noqa: ANN401
        shape = member.shape if member is not None else None
        secret = path in self.secrets or is_secret_name(name) or (shape is not None and shape.sensitive)
        if secret:
            return mark_of(self.service, name, in_map=False) or ABSENT
        if member is not None and member.jsonvalue and not isinstance(item, str):
            return _json_text(item)
        return self.value(item, shape, path + ".", depth + 1)

    def value(self, item: Any, shape: ShapeModel | None, path: str, depth: int) -> Any:  # noqa: ANN401
        """One value of any type; `path` is that of its members, ending in a dot."""
        kind = shape.type if shape is not None else ""
        if kind == "timestamp" or isinstance(item, datetime.datetime):
            return record_time(item, self.service)
        if kind == "blob" or isinstance(item, bytes | bytearray | memoryview):
            return ABSENT
        if isinstance(item, str | int | float) or item is None:
            return item
        if depth >= DEPTH_MAX:
            return omitted()
        if isinstance(item, dict):
            if kind == "map" or (shape is not None and shape.document):
                return self._map(item, shape.value if shape is not None else None, path, depth)
            return self.structure(item, shape, path, depth)
        if isinstance(item, list | tuple):
            return self._list(item, shape, path, depth)
        return ABSENT

    def _map(self, items: Shape, member: Member | None, path: str, depth: int) -> dict[str, Any]:
        shape = member.shape if member is not None else None
        projected: dict[str, Any] = {}
        for key, item in items.items():
            key = str(key)
            if f"{path}{key}" in self.secrets or is_secret_name(key) or (shape is not None and shape.sensitive):
                projected[key] = mark_of(self.service, key, in_map=True) or "***"
                continue
            shown = self.value(item, shape, f"{path}{key}.", depth + 1)
            if shown is not ABSENT:
                projected[key] = shown
        return projected

    def _list(self, items: Any, shape: ShapeModel | None, path: str, depth: int) -> Any:  # noqa: ANN401
        member = shape.item if shape is not None else None
        item_shape = member.shape if member is not None else None
        if item_shape is not None and item_shape.sensitive:
            return mark_of(self.service, "", in_map=False) or ABSENT
        shown = [self.value(item, item_shape, path, depth + 1) for item in items]
        return [item for item in shown if item is not ABSENT]


def _json_text(item: Any) -> str:  # noqa: ANN401  (a value that the wire carries as JSON text)
    try:
        return msgspec.json.encode(item).decode()
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError, TypeError):
        return "{}"


def _refused_without_parameters(call: Call) -> bool:
    error = call.error
    return error is not None and error.code in REFUSALS and call.operation.service.name not in KEEPING_REFUSED


def request_parameters(call: Call) -> dict[str, Any] | None:
    """`requestParameters` of a call to any service but S3."""
    if not call.input or _refused_without_parameters(call):
        return None
    operation = call.operation
    projection = Projection(operation.service.name, operation.facts.secrets)
    return projection.structure(call.input, operation.input, "", 0) or None


def answers_in_record(operation: Operation) -> bool:
    """Whether a successful answer appears as responseElements."""
    if operation.output is None:
        return False
    return not operation.facts.read_only or (operation.service.name == "sts" and operation.name in ANSWERING_READS)


def response_elements(call: Call) -> dict[str, Any] | None:
    """`responseElements` of a call to any service but S3."""
    if call.error is None and call.evidence.answered is not None:
        return _answered(call) | call.evidence.answered
    return _answered(call) or None


def _answered(call: Call) -> dict[str, Any]:
    operation = call.operation
    if call.error is not None or not call.output or not answers_in_record(operation):
        return {}
    projection = Projection(operation.service.name, operation.facts.secrets)
    return projection.structure(call.output, operation.output, "", 0)
