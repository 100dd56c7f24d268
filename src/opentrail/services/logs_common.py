"""What the families of CloudWatch Logs share: finding groups and streams, the permission question, pages, errors.

Source: CloudWatch Logs API reference; Service Authorization Reference. AWS asks for a group as
`…:log-group:NAME:log-stream:` and for a stream as `…:log-stream:NAME`, as its refusals show.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opentrail.call import Access, Call
from opentrail.errors import AwsError
from opentrail.rows.log_groups import GROUPS, POLICIES, STREAMS, LogGroup, LogStream, group_arn
from opentrail.services.page_token import read_token, write_token
from opentrail.services.policy_statements import merged_statements
from opentrail.state import Unit

_ARN = re.compile(r"arn:aws[\w-]*:logs:([a-z0-9-]+):(\d{12}):log-group:([.\-_/#A-Za-z0-9]{1,512})(?::\*)?", re.ASCII)
SERVICE_ACTIONS = frozenset({"PutLogEvents", "CreateLogStream"})
"""What resource policies can open to services. Source: PutResourcePolicy."""


class Place(NamedTuple):
    """Where a group lies: its key."""

    account_id: str
    region: str
    name: str

    @property
    def arn(self) -> str:
        return group_arn(*self)


def invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message, 400)


def no_group() -> AwsError:
    return AwsError("ResourceNotFoundException", "The specified log group does not exist.", 400)


def no_stream() -> AwsError:
    return AwsError("ResourceNotFoundException", "The specified log stream does not exist.", 400)


def place_of_arn(call: Call, arn: str) -> Place:
    """The group of an ARN, with or without `:*`; raises InvalidParameterException unless it is the caller's."""
    found = _ARN.fullmatch(arn)
    if found is None or (found[2], found[1]) != (call.account_id, call.region):
        raise invalid("The specified ARN is not that of a log group of this account and Region.")
    return Place(call.account_id, call.region, found[3])


def place_of_call(call: Call) -> Place:
    """The group that `logGroupName` or `logGroupIdentifier` (a name or an ARN) names."""
    given = call.input
    name, identifier = given.get("logGroupName"), given.get("logGroupIdentifier")
    if (name is None) == (identifier is None):
        raise invalid("Exactly one of the parameters logGroupName and logGroupIdentifier is required.")
    if identifier is None:
        return Place(call.account_id, call.region, str(name))
    if identifier.startswith("arn:"):
        return place_of_arn(call, identifier)
    return Place(call.account_id, call.region, identifier)


def find_group(call: Call, unit: Unit) -> tuple[Place, LogGroup]:
    """The group that the input names; raises ResourceNotFoundException."""
    place = place_of_call(call)
    group = GROUPS.get(unit, *place)
    if group is None:
        raise no_group()
    return place, group


def find_stream(unit: Unit, group: LogGroup, name: str) -> LogStream:
    """Raises ResourceNotFoundException."""
    stream = STREAMS.get(unit, group.id, name)
    if stream is None:
        raise no_stream()
    return stream


def guard_group(call: Call, unit: Unit) -> Sequence[Access]:
    """The operation's own action on the group or stream that the input names."""
    return [question(call, unit, place_of_call(call), call.input.get("logStreamName", ""))]


def question(call: Call, unit: Unit, place: Place, stream: str = "") -> Access:
    action = call.operation.facts.actions[0]
    group = GROUPS.get(unit, *place)
    tags = group.tags if group is not None else {}
    policy = ""
    if call.principal.type == "AWSService" and call.operation.name in SERVICE_ACTIONS:
        policy = _policy(unit, place)
    return Access(action, f"{place.arn}:log-stream:{stream}", place.account_id, policy, context=tag_context(tags))


def tag_context(tags: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {f"aws:resourcetag/{key.lower()}": (value,) for key, value in tags.items()}


def _policy(unit: Unit, place: Place) -> str:
    """All that the account's policies and the group's own say, as one document; empty if there is none."""
    texts = [
        row.document for arn in ("", place.arn) for _, row in POLICIES.all(unit, place.account_id, place.region, arn)
    ]
    return merged_statements(tuple(texts)) if texts else ""


def join_token(*parts: str) -> str:
    return write_token("\0".join(parts))


def split_token(token: str, count: int) -> list[str]:
    """The parts of a nextToken; raises InvalidParameterException."""
    parts = read_token(token, bad_token()).split("\0", count - 1)
    if len(parts) != count:
        raise bad_token()
    return parts


def bad_token() -> AwsError:
    return invalid("The specified nextToken is invalid.")


def page_size(given: Mapping[str, Any], default: int) -> int:
    """How many items a page may have; the model has checked the limit's range."""
    limit = given.get("limit")
    return default if limit is None else int(limit)
