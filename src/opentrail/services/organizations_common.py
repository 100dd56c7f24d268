"""What Organizations' operations share: whose organization, who may ask, pages, tags, errors.

Source of errors and messages: Organizations API reference. Knows no single operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.closed_accounts import is_closed
from opentrail.rows.iam import Account
from opentrail.rows.organizations import DELEGATES, MEMBERS, Member, Organization, Pairs, organization_of, way_of
from opentrail.services.page_token import read_token, write_token
from opentrail.state import Row, Table, Unit

PAGE_MAX = 20
"""Entries of a page, and its size when the caller names none (model: MaxResults)."""
TAGS_MAX = 50
ACCOUNTS_MAX = 10_000
"""Accounts of one organization."""
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"

R = TypeVar("R", bound=Row)


def find_organization(call: Call, unit: Unit) -> Organization:
    """The organization of the caller's account; AWSOrganizationsNotInUseException."""
    found = organization_of(unit, call.account_id)
    if found is None:
        raise AwsError("AWSOrganizationsNotInUseException", "Your account is not a member of an organization.", 400)
    return found


def managed_organization(call: Call, unit: Unit) -> Organization:
    """The organization that the caller's account manages; AccessDeniedException for other members."""
    found = find_organization(call, unit)
    if found.management_id != call.account_id:
        raise AwsError("AccessDeniedException", "You don't have permissions to access this resource.", 400)
    return found


def watched_organization(call: Call, unit: Unit) -> Organization:
    """The organization that the caller's account manages or administers a service of; AccessDeniedException for others."""
    found = find_organization(call, unit)
    delegates = (parts[2] for parts, _ in DELEGATES.all(unit, found.id))
    if call.account_id == found.management_id or call.account_id in delegates:
        return found
    return managed_organization(call, unit)


def find_member(unit: Unit, organization: Organization, account_id: str) -> Member:
    """The member; AccountNotFoundException."""
    member = MEMBERS.get(unit, organization.id, account_id)
    if member is None:
        raise AwsError("AccountNotFoundException", "You specified an account that doesn't exist.", 400)
    return member


def account_shape(unit: Unit, organization: Organization, account: Account, member: Member) -> Shape:
    """An account as the organization shows it. Source of the states: Organizations user guide, "Monitor the state of your
    AWS accounts"; CloseAccount for the older `Status`."""
    closed = is_closed(unit, account.account_id)
    return {
        "Id": account.account_id,
        "Arn": organization.account_arn(account.account_id),
        "Email": account.email or None,
        "Name": account.name,
        "Status": "SUSPENDED" if closed else "ACTIVE",
        "State": "CLOSED" if closed else "ACTIVE",
        "Paths": [organization.path(*way_of(unit, organization, member), account.account_id)],
        "JoinedMethod": member.joined_method,
        "JoinedTimestamp": member.joined_at,
    }


def violation(reason: str, message: str) -> AwsError:
    """ConstraintViolationException with one of AWS's reasons."""
    return AwsError("ConstraintViolationException", message, 400, Reason=reason)


def refuse_consolidated_billing(organization: Organization) -> None:
    """ConstraintViolationException for what takes all features."""
    if organization.feature_set != "ALL":
        raise violation("ORGANIZATION_NOT_IN_ALL_FEATURES_MODE", "The organization must have all features enabled.")


def invalid(reason: str, message: str) -> AwsError:
    """InvalidInputException with one of AWS's reasons."""
    return AwsError("InvalidInputException", message, 400, Reason=reason)


def read_tags(call: Call) -> dict[str, str]:
    """The tags of the input; InvalidInputException for reserved or repeated keys, or too many."""
    given = call.input.get("Tags") or ()
    tags = {tag["Key"]: tag["Value"] for tag in given}
    if len(tags) != len(given):
        raise invalid("DUPLICATE_TAG_KEY", "The same tag key is given more than once.")
    refuse_reserved(tags)
    return bounded_tags(tags)


def refuse_reserved(keys: Iterable[str]) -> None:
    """InvalidInputException for keys that are Amazon's."""
    if any(key.lower().startswith("aws:") for key in keys):
        raise invalid("INVALID_SYSTEM_TAGS_PARAMETER", "Tag keys that begin with aws: are reserved.")


def bounded_tags(tags: dict[str, str]) -> dict[str, str]:
    """The tags that a resource is to have; ConstraintViolationException if there are too many."""
    if len(tags) > TAGS_MAX:
        raise violation("MAX_TAG_LIMIT_EXCEEDED", f"A resource can have no more than {TAGS_MAX} tags.")
    return tags


def tag_shapes(tags: Pairs) -> list[Shape]:
    return [{"Key": key, "Value": value} for key, value in tags]


def read_page(call: Call, unit: Unit, table: Table[R], *below: str) -> tuple[list[tuple[str, R]], Shape]:
    """One page of the rows below an organization's id (and more) by the last part of their keys, and NextToken if there are
    more."""
    limit = call.input.get("MaxResults") or PAGE_MAX
    last = last_shown(call)
    after = table.key(*below, last) if last else b""
    parts = len(below)
    rows = [(rest(table, key, parts), row) for key, row in table.page(unit, *below, after=after, limit=limit + 1)]
    if len(rows) <= limit:
        return rows, {}
    return rows[:limit], {"NextToken": write_token(rows[limit - 1][0])}


def rest(table: Table[R], key: bytes, parts: int) -> str:
    """The last part of a key, behind so many others; it may be any text."""
    return "\0".join(table.parts(key)[parts:])


def read_list(call: Call, member: str, found: Sequence[tuple[str, Shape]]) -> Shape:
    """One page of a short list of (name, shape) under an output member, by name, and NextToken if there are more."""
    limit = call.input.get("MaxResults") or PAGE_MAX
    last = last_shown(call)
    more = sorted((each for each in found if each[0] > last), key=lambda each: each[0])
    shapes = [shape for _, shape in more[:limit]]
    return {member: shapes} if len(more) <= limit else {member: shapes, "NextToken": write_token(more[limit - 1][0])}


def last_shown(call: Call) -> str:
    """Where the page before ended; empty for the first."""
    token = call.input.get("NextToken")
    refusal = invalid("INVALID_NEXT_TOKEN", "The next token is not one that was handed out.")
    return read_token(token, refusal) if token else ""
