"""DisplayName in owners and grants, for clients that still look for it; a setting (`display_names`) brings it back.

S3 left it out of its answers on 21 November 2025 (S3 API reference, "Owner": DisplayName). Wraps the handlers that show
an account, so that no family knows of names. The name is the account's own, as Organizations has it.
"""

from __future__ import annotations

from functools import wraps
from typing import Any, Final

from opentrail.access.acl import ANONYMOUS_ID
from opentrail.call import Call, Shape
from opentrail.rows.iam import account_of_canonical_id
from opentrail.service import Handler, Service
from opentrail.state import Unit

SHOWING: Final = (
    "ListBuckets",
    "ListObjects",
    "ListObjectsV2",
    "ListObjectVersions",
    "ListMultipartUploads",
    "ListParts",
    "GetBucketAcl",
    "GetObjectAcl",
)
"""Operations whose answers name accounts."""
PEOPLE: Final = frozenset({"Owner", "Initiator", "Grantee"})
"""Members that may be an account."""
LISTS: Final = ("Contents", "Versions", "DeleteMarkers", "Uploads", "Grants")


def name_accounts(service: Service) -> None:
    """Let the handlers of a whole service show names where the setting asks for them."""
    for name in SHOWING:
        service.handlers[name] = _named(service.handlers[name])


def _named(handler: Handler) -> Handler:
    @wraps(handler)
    async def named(call: Call, unit: Unit) -> Shape:
        output = await handler(call, unit)
        if unit.house.settings.display_names:
            _add_names(unit, output)
        return output

    return named


def _add_names(unit: Unit, output: Shape) -> None:
    known: dict[str, str] = {}
    for entry in [output, *(each for name in LISTS for each in output.get(name) or ())]:
        for member in PEOPLE & entry.keys():
            _name(unit, entry[member], known)


def _name(unit: Unit, person: dict[str, Any], known: dict[str, str]) -> None:
    """Groups have a URI and no name, and an IAM identity that began an upload has its own already."""
    account = person.get("ID", "")
    if not account or account == ANONYMOUS_ID or "DisplayName" in person:
        return
    if account not in known:
        found = account_of_canonical_id(unit, account)
        known[account] = "" if found is None else found.name
    if known[account]:
        person["DisplayName"] = known[account]
