"""What the families of KMS's operations share: guards on a key by name, pages, tags, policies.

Source: KMS API reference. Knows no operation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from opentrail.access.policy import validate_policy
from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.iam import missing_principal
from opentrail.rows.kms import Key
from opentrail.services.key_access import missing, question
from opentrail.services.key_find import find_key, key_at, no_key, place_of
from opentrail.services.page_token import read_token, write_token
from opentrail.state import Row, Table, Unit

POLICY_NAME = "default"
POLICY_BYTES_MAX = 32_768
TAGS_MAX = 50
_TAG = re.compile(r"[\w\s.:/=+@-]*")
T = TypeVar("T", bound=Row)


def own_key_guard(call: Call, unit: Unit) -> Sequence[Access]:
    """The operation's action on the key that KeyId names by id or ARN; nobody of another account may."""
    return key_questions(call, unit, foreign=False)


def shared_key_guard(call: Call, unit: Unit) -> Sequence[Access]:
    """The same for what a key's policy may also allow to other accounts."""
    return key_questions(call, unit, foreign=True)


def key_questions(
    call: Call,
    unit: Unit,
    *,
    foreign: bool,
    more: Mapping[str, tuple[str, ...]] | None = None,
    member: str = "KeyId",
    action: str = "",
    by_alias: bool = False,
) -> Sequence[Access]:
    """The question about the key that `member` names; raises NotFoundException for one of the own account."""
    place = place_of(call, unit, call.input[member], by_alias=by_alias)
    action = action or call.operation.facts.actions[0]
    key = key_at(unit, place)
    if key is None:
        if place.account_id == call.account_id:
            raise no_key(place)
        return [missing(call, place, action)]
    asked = question(call, unit, key, action, more=more)
    if not foreign and place.account_id != call.account_id:
        return [replace(asked, resource_policy="")]
    return [asked]


def named_key(call: Call, unit: Unit) -> Key:
    """The key that KeyId names by id or ARN, whose ARN the record shows as the answer (since December 2022)."""
    key = find_key(call, unit, call.input["KeyId"], by_alias=False)
    call.evidence.answered = {"keyId": key.arn}
    return key


# Pages


def page(
    call: Call,
    unit: Unit,
    table: Table[T],
    prefix: tuple[str, ...],
    default: int,
    show: Callable[[tuple[str, ...], T], Shape],
) -> tuple[list[Shape], Shape]:
    """(a page of the table's rows below `prefix` as shown, the members that say what follows)."""
    limit = call.input.get("Limit", default)
    after = table.key(*prefix, _marker(call)) if "Marker" in call.input else b""
    rows = table.page(unit, *prefix, after=after, limit=limit + 1)
    shown = [show(table.parts(key), row) for key, row in rows[:limit]]
    if len(rows) <= limit:
        return shown, {"Truncated": False}
    return shown, {
        "Truncated": True,
        "NextMarker": write_token("\0".join(table.parts(rows[limit - 1][0])[len(prefix) :])),
    }


def list_page(call: Call, items: Sequence[Shape], default: int) -> tuple[Sequence[Shape], Shape]:
    """The same of a short list at hand; the marker is a number."""
    limit = call.input.get("Limit", default)
    start = 0
    if "Marker" in call.input:
        text = _marker(call)
        if not text.isdecimal() or len(text) > 9:
            raise bad_marker()
        start = int(text)
    if start + limit >= len(items):
        return items[start:], {"Truncated": False}
    return items[start : start + limit], {"Truncated": True, "NextMarker": write_token(str(start + limit))}


def _marker(call: Call) -> str:
    return read_token(call.input["Marker"], bad_marker())


def bad_marker() -> AwsError:
    return AwsError("InvalidMarkerException", "The request was rejected because the marker is not valid.", 400)


# Tags


def checked_tags(given: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Tags by key; raises TagException or LimitExceededException."""
    tags: dict[str, str] = {}
    for tag in given:
        key, value = str(tag.get("TagKey") or ""), str(tag.get("TagValue") or "")
        if key.lower().startswith("aws:"):
            raise AwsError("TagException", "aws: prefixed tag key names are not allowed for external use.", 400)
        if key in tags:
            raise AwsError("TagException", "Duplicate tag keys", 400)
        if not key or not _TAG.fullmatch(key) or not _TAG.fullmatch(value):
            raise AwsError("TagException", "The tag key or value is not valid.", 400)
        tags[key] = value
    check_tag_count(tags)
    return tags


def check_tag_count(tags: Mapping[str, str]) -> None:
    if len(tags) > TAGS_MAX:
        raise AwsError("LimitExceededException", f"A key has no more than {TAGS_MAX} tags.", 400)


def tag_context(tags: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Condition keys of tags that a request brings."""
    context = {f"aws:requesttag/{key.lower()}": (value,) for key, value in tags.items()}
    return context | ({"aws:tagkeys": tuple(tags)} if tags else {})


# Policies


def checked_policy(unit: Unit, text: str) -> str:
    """A policy that may be a key's; raises MalformedPolicyDocumentException or LimitExceededException."""
    if len(text.encode("utf-8", "surrogatepass")) > POLICY_BYTES_MAX:
        raise AwsError("LimitExceededException", f"A key policy has no more than {POLICY_BYTES_MAX} bytes.", 400)
    try:
        policy = validate_policy(text, "resource")
    except AwsError as error:
        raise malformed(error.message) from error
    if not all(statement.resources for statement in policy.statements):
        raise malformed("Policy statement must contain resources.")
    if missing_principal(unit, policy):
        raise malformed("Policy contains a statement with one or more invalid principals.")
    return text


def malformed(message: str) -> AwsError:
    return AwsError("MalformedPolicyDocumentException", message, 400)


def check_lockout(call: Call, key_arn: str, account_id: str, policy: str) -> None:
    """Raises MalformedPolicyDocumentException for a policy that its own author could not change again."""
    if call.input.get("BypassPolicyLockoutSafetyCheck"):
        return
    context = {"kms:calleraccount": (call.principal.account_id,)}
    if not call.may(Access("kms:PutKeyPolicy", key_arn, account_id, policy, context=context, trust=True)):
        raise malformed("The new key policy will not allow you to update the key policy in the future.")


def default_policy(account_id: str) -> str:
    """What a key gets that is made without one: the account's IAM policies decide (KMS guide, "Default key policy")."""
    enabling = {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    return json.dumps({"Version": "2012-10-17", "Id": "key-default-1", "Statement": [enabling]}, indent=2)
