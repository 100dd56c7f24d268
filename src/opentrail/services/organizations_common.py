"""What Organizations' operations share: whose organization, who may ask, pages, tags, errors.

Source of errors and messages: Organizations API reference. Knows no single operation.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, urlsafe_b64encode
from typing import TypeVar

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.organizations import Organization, Pairs, organization_of
from opentrail.state import Row, Table, Unit

PAGE_MAX = 20
"""Entries of a page, and its size when the caller names none (model: MaxResults)."""
TAGS_MAX = 50

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


def invalid(reason: str, message: str) -> AwsError:
    """InvalidInputException with one of AWS's reasons."""
    return AwsError("InvalidInputException", message, 400, Reason=reason)


def read_tags(call: Call) -> dict[str, str]:
    """The tags of the input; InvalidInputException for reserved or repeated keys, or too many."""
    given = call.input.get("Tags") or ()
    tags = {tag["Key"]: tag["Value"] for tag in given}
    if len(tags) != len(given):
        raise invalid("DUPLICATE_TAG_KEY", "The same tag key is given more than once.")
    if any(key.lower().startswith("aws:") for key in tags):
        raise invalid("INVALID_SYSTEM_TAGS_PARAMETER", "Tag keys that begin with aws: are reserved.")
    if len(tags) > TAGS_MAX:
        raise AwsError(
            "ConstraintViolationException",
            f"A resource can have no more than {TAGS_MAX} tags.",
            400,
            Reason="MAX_TAG_LIMIT_EXCEEDED",
        )
    return tags


def tag_shapes(tags: Pairs) -> list[Shape]:
    return [{"Key": key, "Value": value} for key, value in tags]


def read_page(call: Call, unit: Unit, table: Table[R], organization: Organization) -> tuple[list[tuple[str, R]], Shape]:
    """One page of an organization's rows by the last part of their keys, and NextToken if there are more."""
    limit = call.input.get("MaxResults") or PAGE_MAX
    after = _after(table, organization, call.input.get("NextToken") or "")
    rows = [(table.parts(key)[-1], row) for key, row in table.page(unit, organization.id, after=after, limit=limit + 1)]
    if len(rows) <= limit:
        return rows, {}
    return rows[:limit], {"NextToken": urlsafe_b64encode(rows[limit - 1][0].encode()).decode()}


def _after(table: Table[R], organization: Organization, token: str) -> bytes:
    if not token:
        return b""
    try:
        last = b64decode(token.encode("ascii"), b"-_", validate=True).decode("ascii")
    except (UnicodeError, binascii.Error) as error:
        raise invalid("INVALID_NEXT_TOKEN", "The next token is not one that was handed out.") from error
    return table.key(organization.id, last)
