"""Organizations as rows: which accounts belong together, how they came in, and the requests that made them.

Accounts themselves are rows of `rows.iam`; here stands only what an organization adds. Who belonged to it when is kept as
a series of steps, because the version of a row (the Seq of its commit) says from when it holds: an organization trail logs
a member's calls from the one that made it a member to the one that ended it. Knows nothing of operations.
"""

from __future__ import annotations

from opentrail.access.context import OrganizationPlace
from opentrail.ports import Key
from opentrail.rows.organization_tree import UNITS, leave
from opentrail.state import Row, Table, Unit

Pairs = tuple[tuple[str, str], ...]


class Organization(Row, frozen=True):
    """Keyed by its id (`o-…`). `accounts` counts its members, the management account included, `units` all its units."""

    id: str
    management_id: str
    root_id: str
    feature_set: str
    created_at: float
    accounts: int = 1
    units: int = 0
    root_tags: Pairs = ()
    closings: int = 0
    """Accounts that it has closed; written with each, so that two at once are not counted as one."""

    @property
    def arn(self) -> str:
        return f"{self._arns}:organization/{self.id}"

    @property
    def root_arn(self) -> str:
        return f"{self._arns}:root/{self.id}/{self.root_id}"

    def account_arn(self, account_id: str) -> str:
        return f"{self._arns}:account/{self.id}/{account_id}"

    def unit_arn(self, unit_id: str) -> str:
        return f"{self._arns}:ou/{self.id}/{unit_id}"

    def path(self, *below: str) -> str:
        """The way to something below the root, as AWS writes it: `o-…/r-…/ou-…/`."""
        return "/".join((self.id, self.root_id, *below, ""))

    @property
    def _arns(self) -> str:
        return f"arn:aws:organizations::{self.management_id}"


class Member(Row, frozen=True):
    """Keyed by organization and account id. The management account is its own member, and counts as invited."""

    joined_at: float
    joined_method: str
    tags: Pairs = ()
    parent: str = ""
    """The unit that it stands in; empty for the root."""


class Step(Row, frozen=True):
    """An account that came into an organization or left it. Keyed by a number that grows by one with each step of anybody's.
    Accounts that came in before steps were kept have none for that."""

    organization_id: str
    account_id: str
    joined: bool


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


class TrustedService(Row, frozen=True):
    """A service that has trusted access. Keyed by organization and service principal."""

    since: float


class Delegate(Row, frozen=True):
    """An account that administers a service for the organization. Keyed by organization, service principal, account."""

    since: float


class Handshake(Row, frozen=True):
    """An invitation. Keyed by the account invited and its id (`h-…`). Times are epoch seconds."""

    id: str
    organization_id: str
    account_id: str
    target: str
    """As it was addressed: an account id or an e-mail address."""
    target_type: str
    state: str
    requested_at: float
    expires_at: float
    notes: str = ""
    tags: Pairs = ()


class Invitation(Row, frozen=True):
    """Where an organization's handshake lies. Keyed by organization and handshake id."""

    account_id: str


class LastStep(Row, frozen=True):
    """The newest step; readers hold on to theirs until this row differs."""

    number: int


STEP_DIGITS = 10
"""Numbers of steps are zero-padded in keys, so that they sort."""

ORGANIZATIONS = Table("organization", Organization)
MEMBERS = Table("organization-member", Member)
MEMBERSHIPS = Table("organization-of-account", Membership)
CREATIONS = Table("organization-creation", Creation)
STEPS = Table("organization-steps", Step)
TRUSTED = Table("organization-service", TrustedService)
DELEGATES = Table("organization-delegate", Delegate)
HANDSHAKES = Table("organization-handshake", Handshake)
INVITATIONS = Table("organization-invitation", Invitation)
LAST_STEPS = Table("organization-last-step", LastStep)
LAST_STEP_KEY: Key = LAST_STEPS.key("")


def organization_of(unit: Unit, account_id: str) -> Organization | None:
    """The organization that an account belongs to."""
    found = MEMBERSHIPS.get(unit, account_id)
    return None if found is None else ORGANIZATIONS.get(unit, found.organization_id)


def way_of(unit: Unit, organization: Organization, member: Member) -> tuple[str, ...]:
    """The units that a member stands in, the outermost first."""
    row = UNITS.get(unit, organization.id, member.parent) if member.parent else None
    return () if row is None else row.way


def place_of(unit: Unit, account_id: str) -> OrganizationPlace | None:
    """Where an account stands, as conditions ask for it."""
    organization = organization_of(unit, account_id)
    member = None if organization is None else MEMBERS.get(unit, organization.id, account_id)
    if organization is None or member is None:
        return None
    path = organization.path(*way_of(unit, organization, member))
    return OrganizationPlace(organization.id, path, organization.management_id)


def put_member(unit: Unit, organization: Organization, account_id: str, member: Member) -> None:
    """Take an account in: the member with what leads to it. It belongs to the organization from this commit on."""
    MEMBERS.put(unit, member, organization.id, account_id)
    MEMBERSHIPS.put(unit, Membership(organization.id), account_id)
    _put_step(unit, Step(organization.id, account_id, joined=True))


def drop_member(unit: Unit, organization: Organization, account_id: str) -> None:
    """Let an account go; this commit is the last of its membership."""
    member = MEMBERS.get(unit, organization.id, account_id)
    if member is not None:
        leave(unit, organization.id, member.parent, account_id)
    MEMBERS.delete(unit, organization.id, account_id)
    MEMBERSHIPS.delete(unit, account_id)
    _put_step(unit, Step(organization.id, account_id, joined=False))


def _put_step(unit: Unit, step: Step) -> None:
    last = LAST_STEPS.get(unit, "")
    number = 1 if last is None else last.number + 1
    STEPS.put(unit, step, f"{number:0{STEP_DIGITS}d}")
    LAST_STEPS.put(unit, LastStep(number), "")


def is_delegate(unit: Unit, organization: Organization, service: str, account_id: str) -> bool:
    """Does the account administer the service (its principal) for the organization?"""
    return DELEGATES.get(unit, organization.id, service, account_id) is not None
