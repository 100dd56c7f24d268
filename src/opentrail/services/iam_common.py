"""What the families of IAM's operations share: finding an entity, listing in pages, tags, errors.

Source of limits and messages: IAM user guide, "IAM and AWS STS quotas"; IAM API reference. Knows no single operation.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

from opentrail.access.policy import validate_policy
from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.iam import (
    GROUPS,
    INSTANCE_PROFILES,
    POLICIES,
    ROLES,
    USERS,
    Group,
    InstanceProfile,
    ManagedPolicy,
    Pairs,
    Role,
    User,
    missing_principal,
)
from opentrail.services.iam_aws_policies import AWS_POLICIES
from opentrail.services.identity import policy_key
from opentrail.state import SCAN_PAGE, Row, Table, Unit

MAX_ITEMS_DEFAULT = 100
"""Entries of one page when the caller names no MaxItems (at most 1,000, as the model says)."""
TAGS_MAX = 50
TRUST_CHARS_MAX = 2_048
MANAGED_CHARS_MAX = 6_144
"""Characters of a document, blanks not counted."""

Holder: TypeAlias = User | Group | Role
T = TypeVar("T")
R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of identity that holds policies. `inline_max`: characters of its inline policies together."""

    word: str
    table: Table[Any]
    inline_max: int

    @property
    def member(self) -> str:
        return f"{self.word}Name"


USER = Kind("User", USERS, 2_048)
GROUP = Kind("Group", GROUPS, 5_120)
ROLE = Kind("Role", ROLES, 10_240)
KINDS = (USER, GROUP, ROLE)


def when(seconds: float) -> datetime:
    """A time as the answers give it: whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC)


def account_of(call: Call) -> str:
    """The account an operation works in: the caller's."""
    return call.principal.account_id


def missing(what: str) -> AwsError:
    """`The user with name bob cannot be found.`"""
    return AwsError("NoSuchEntity", f"{what} cannot be found.", 404)


def taken(message: str) -> AwsError:
    return AwsError("EntityAlreadyExists", message, 409)


def in_the_way(message: str) -> AwsError:
    return AwsError("DeleteConflict", f"Cannot delete entity, must {message} first.", 409)


def over_quota(what: str, limit: int) -> AwsError:
    return AwsError("LimitExceeded", f"Cannot exceed quota for {what}: {limit}", 409)


def find(call: Call, unit: Unit, kind: Kind) -> Any:  # noqa: ANN401  (a User, Group or Role)
    """The user, group or role that the input names; NoSuchEntity."""
    name = call.input[kind.member]
    row = kind.table.get(unit, account_of(call), name.lower())
    if row is None or row.name != name:
        raise missing(f"The {kind.word.lower()} with name {name}")
    return row


def find_user(call: Call, unit: Unit) -> User:
    found: User = find(call, unit, USER)
    return found


def find_group(call: Call, unit: Unit) -> Group:
    found: Group = find(call, unit, GROUP)
    return found


def find_role(call: Call, unit: Unit) -> Role:
    found: Role = find(call, unit, ROLE)
    return found


def find_profile(call: Call, unit: Unit) -> InstanceProfile:
    name = call.input["InstanceProfileName"]
    row = INSTANCE_PROFILES.get(unit, account_of(call), name.lower())
    if row is None or row.name != name:
        raise missing(f"Instance Profile {name}")
    return row


def find_policy(call: Call, unit: Unit) -> ManagedPolicy:
    """The customer's managed policy that the input names by ARN; NoSuchEntity, AccessDenied for AWS's own."""
    arn = call.input["PolicyArn"]
    if arn in AWS_POLICIES:
        raise AwsError("AccessDenied", f"Policy {arn} is managed by AWS and cannot be changed.", 403)
    row = own_policy(unit, account_of(call), arn)
    if row is None:
        raise AwsError("NoSuchEntity", f"Policy {arn} was not found.", 404)
    return row


def own_policy(unit: Unit, account_id: str, arn: str) -> ManagedPolicy | None:
    """A managed policy of the account by its ARN."""
    parts = policy_key(arn)
    if parts is None or parts[0] != account_id:
        return None
    row = POLICIES.get(unit, *parts)
    return row if row is not None and row.arn == arn else None


def save(unit: Unit, row: Any) -> None:  # noqa: ANN401  (any row of IAM's that has a name)
    """Write an entity under its account and name."""
    _TABLES[type(row)].put(unit, row, row.account_id, row.name.lower())


def erase(unit: Unit, row: Any) -> None:  # noqa: ANN401
    """Remove an entity."""
    _TABLES[type(row)].delete(unit, row.account_id, row.name.lower())


_TABLES: dict[type, Table[Any]] = {
    User: USERS,
    Group: GROUPS,
    Role: ROLES,
    ManagedPolicy: POLICIES,
    InstanceProfile: INSTANCE_PROFILES,
}


def read_path(call: Call, member: str = "Path", default: str = "/") -> str:
    """A path that begins and ends with a slash, of visible ASCII; ValidationError."""
    path: str = call.input.get(member, default)
    visible = all("!" <= letter <= "~" for letter in path)
    if not visible or not path.startswith("/") or not path.endswith("/"):
        raise AwsError("ValidationError", f"The specified value for {member[:1].lower()}{member[1:]} is invalid.", 400)
    return path


def encoded(document: str) -> str:
    """A policy document as IAM answers it: percent-encoded (RFC 3986)."""
    return quote(document, safe="")


def size_of(document: str) -> int:
    """Characters of a document, blanks not counted."""
    return len("".join(document.split()))


def read_trust(unit: Unit, document: str) -> str:
    """A trust policy that may be stored; MalformedPolicyDocument, LimitExceeded."""
    policy = validate_policy(document, "trust")
    unknown = missing_principal(unit, policy)
    if unknown:
        raise AwsError("MalformedPolicyDocument", f'Invalid principal in policy: "AWS":"{unknown}"', 400)
    if size_of(document) > TRUST_CHARS_MAX:
        raise over_quota("ACLSizePerRole", TRUST_CHARS_MAX)
    return document


def read_tags(call: Call) -> Pairs:
    """The tags of the input, sorted; InvalidInput."""
    tags = [(tag["Key"], tag["Value"]) for tag in call.input.get("Tags", ())]
    if any(key.lower().startswith("aws:") for key, _value in tags):
        raise AwsError("InvalidInput", "The tag keys that begin with aws: are reserved.", 400)
    if len({key.lower() for key, _value in tags}) != len(tags):
        message = "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        raise AwsError("InvalidInput", message, 400)
    return tuple(sorted(tags))


def tagged(old: Pairs, new: Pairs, word: str) -> Pairs:
    """Tags after adding some; keys differ without regard to case. LimitExceeded beyond 50."""
    kept = {key.lower(): (key, value) for key, value in (*old, *new)}
    if len(kept) > TAGS_MAX:
        raise over_quota(f"TagsPer{word}", TAGS_MAX)
    return tuple(sorted(kept.values()))


def untagged(old: Pairs, call: Call) -> Pairs:
    """Tags without those whose keys the input lists."""
    gone = {key.lower() for key in call.input["TagKeys"]}
    return tuple((key, value) for key, value in old if key.lower() not in gone)


def tag_shapes(tags: Pairs) -> list[Shape]:
    return [{"Key": key, "Value": value} for key, value in tags]


def list_rows(
    call: Call, unit: Unit, table: Table[R], parts: Sequence[str], keep: Callable[[R], bool]
) -> tuple[list[R], Shape]:
    """One page of the rows below `parts` that `keep` accepts, and the members that tell whether there are more."""
    limit = call.input.get("MaxItems") or MAX_ITEMS_DEFAULT
    prefix = table.key(*parts) + b"\0"
    after = prefix + marker(call) if marker(call) else b""
    rows: list[R] = []
    last = after
    while True:
        page = table.page(unit, *parts, after=after)
        for key, row in page:
            if not keep(row):
                continue
            if len(rows) == limit:
                return rows, _more(last[len(prefix) :])
            rows.append(row)
            last = key
        if len(page) < SCAN_PAGE:
            return rows, {"IsTruncated": False}
        after = page[-1][0]


def list_items(call: Call, items: Sequence[T], key: Callable[[T], str]) -> tuple[list[T], Shape]:
    """One page of items that are sorted by `key`."""
    limit = call.input.get("MaxItems") or MAX_ITEMS_DEFAULT
    after = marker(call).decode("utf-8", "replace")
    rest = [item for item in items if key(item) > after]
    if len(rest) <= limit:
        return rest, {"IsTruncated": False}
    return rest[:limit], _more(key(rest[limit - 1]).encode())


def _more(place: bytes) -> Shape:
    return {"IsTruncated": True, "Marker": urlsafe_b64encode(place).decode()}


def marker(call: Call) -> bytes:
    """The place that a Marker means; empty without one. ValidationError for what was never handed out."""
    text = call.input.get("Marker")
    if not text:
        return b""
    try:
        return b64decode(text, b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise AwsError("ValidationError", "Invalid Marker.", 400) from error


def under(call: Call) -> Callable[[Any], bool]:
    """Accepts entities whose path begins with the input's PathPrefix."""
    prefix = call.input.get("PathPrefix", "/")
    return lambda row: row.path.startswith(prefix)
