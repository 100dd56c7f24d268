"""Organizations' closing of a member account: done at once, and for good.

What a closed account can still do is nothing: its keys and sessions are unknown from the next call on, and no role of it
is entered, by nobody. What it owns stays, and so do its trails, those of its organization included: "AWS account closure
and trails" of CloudTrail's user guide has them deliver on. Source besides: Organizations API reference, CloseAccount.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.ports import Line
from opentrail.record.service_event import service_event
from opentrail.rows.closed_accounts import CLOSED, close, closings_since
from opentrail.rows.organizations import ORGANIZATIONS, Organization
from opentrail.service import Service
from opentrail.services.organizations_common import (
    find_member,
    managed_organization,
    refuse_consolidated_billing,
    violation,
)
from opentrail.services.organizations_find import asked
from opentrail.state import Unit

CLOSINGS_MAX = 1_000
"""Accounts that the largest organization can close within CLOSINGS_SECONDS."""
CLOSINGS_LEAST, CLOSINGS_PART = 250, 5
"""Any organization can close so many, or one in so many of its members if that is more."""
CLOSINGS_SECONDS = 30 * 86_400.0
SOURCE = "organizations.amazonaws.com"

service = Service("organizations")


@service.guard("CloseAccount")
def guard_close(call: Call, unit: Unit) -> Sequence[Access]:
    """Asked for the account."""
    return [asked(call, unit, call.input["AccountId"])]


@service.operation("CloseAccount")
async def close_account(call: Call, unit: Unit) -> Shape:
    """Close a member account, for good: its keys, sessions and roles are of no use any more."""
    organization, account_id = managed_organization(call, unit), call.input["AccountId"]
    refuse_consolidated_billing(organization)
    find_member(unit, organization, account_id)
    if account_id == organization.management_id:
        raise violation("CANNOT_CLOSE_MANAGEMENT_ACCOUNT", "You attempted to close the management account.")
    if CLOSED.get(unit, account_id) is not None:
        message = "You attempted to close an account that is already closed."
        raise AwsError("AccountAlreadyClosedException", message, 400)
    allowed = min(max(CLOSINGS_LEAST, organization.accounts // CLOSINGS_PART), CLOSINGS_MAX)
    if closings_since(unit, organization.id, unit.now - CLOSINGS_SECONDS, allowed) >= allowed:
        raise violation("CLOSE_ACCOUNT_QUOTA_EXCEEDED", "You have exceeded close account quota for the past 30 days.")
    close(unit, organization.id, account_id)
    ORGANIZATIONS.put(unit, replace(organization, closings=organization.closings + 1), organization.id)
    _tell(unit, organization, account_id)
    return {}


def _tell(unit: Unit, organization: Organization, account_id: str) -> None:
    """The record that the account is closed now, of the management account."""
    moment = datetime.fromtimestamp(int(unit.now), UTC).strftime("%b %-d, %Y %-I:%M:%S %p")
    status = {"accountId": account_id, "state": "SUCCEEDED", "requestedTimestamp": moment, "completedTimestamp": moment}
    line = service_event(
        unit.house.clock.uuid,
        account_id=organization.management_id,
        region="us-east-1",
        source=SOURCE,
        name="CloseAccountResult",
        at=unit.now,
        resources=(),
        details={"closeAccountStatus": status},
        invoked_by=SOURCE,
    )
    unit.events.append(Line("record", line))
