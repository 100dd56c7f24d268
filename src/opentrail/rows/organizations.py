"""Organizations as rows: which accounts belong together, how they came in, and the requests that made them.

Accounts themselves are rows of `rows.iam`; here stands only what an organization adds. Knows nothing of operations.
"""

from __future__ import annotations

from opentrail.state import Row, Table, Unit

Pairs = tuple[tuple[str, str], ...]


class Organization(Row, frozen=True):
    """Keyed by its id (`o-…`). `accounts` counts its members, the management account included."""

    id: str
    management_id: str
    root_id: str
    feature_set: str
    created_at: float
    accounts: int = 1

    @property
    def arn(self) -> str:
        return f"{self._arns}:organization/{self.id}"

    @property
    def root_arn(self) -> str:
        return f"{self._arns}:root/{self.id}/{self.root_id}"

    def account_arn(self, account_id: str) -> str:
        return f"{self._arns}:account/{self.id}/{account_id}"

    @property
    def _arns(self) -> str:
        return f"arn:aws:organizations::{self.management_id}"


class Member(Row, frozen=True):
    """Keyed by organization and account id. The management account is its own member, and counts as invited."""

    joined_at: float
    joined_method: str
    tags: Pairs = ()


class Membership(Row, frozen=True):
    """The organization that an account belongs to. Keyed by the account's id."""

    organization_id: str


class Creation(Row, frozen=True):
    """A request for an account. Keyed by organization and request id (`car-…`)."""

    id: str
    account_name: str
    requested_at: float
    account_id: str = ""
    """Empty when it failed."""
    failure_reason: str = ""


ORGANIZATIONS = Table("organization", Organization)
MEMBERS = Table("organization-member", Member)
MEMBERSHIPS = Table("organization-of-account", Membership)
CREATIONS = Table("organization-creation", Creation)


def organization_of(unit: Unit, account_id: str) -> Organization | None:
    """The organization that an account belongs to."""
    found = MEMBERSHIPS.get(unit, account_id)
    return None if found is None else ORGANIZATIONS.get(unit, found.organization_id)


def put_member(unit: Unit, organization: Organization, account_id: str, member: Member) -> None:
    """Write a member with what leads to it."""
    MEMBERS.put(unit, member, organization.id, account_id)
    MEMBERSHIPS.put(unit, Membership(organization.id), account_id)
