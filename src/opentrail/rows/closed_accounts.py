"""Accounts that were closed: their keys and sessions are nobody's, and nobody comes in through their roles.

Looked into for every signed request, so a server on which no account was ever closed pays one look at one row. What an
account owned stays as it was. Knows no operation.
"""

from __future__ import annotations

from opentrail.ports import Key
from opentrail.state import Row, Table, Unit

TIME_DIGITS = 12
"""Epoch seconds are zero-padded in keys, so that they sort."""


class ClosedAccount(Row, frozen=True):
    """Keyed by account id. There is one more, keyed by nothing, as soon as there is any."""

    at: float


class Closing(Row, frozen=True):
    """That an organization closed an account. Keyed by organization, time and account."""


CLOSED = Table("account-closed", ClosedAccount)
CLOSINGS = Table("organization-closing", Closing)
_ANY: Key = CLOSED.key("")


def is_closed(unit: Unit, account_id: str) -> bool:
    """Was the account closed?"""
    return unit.house.ledger.get(_ANY) is not None and CLOSED.get(unit, account_id) is not None


def close(unit: Unit, organization_id: str, account_id: str) -> None:
    """Close an account, for good."""
    row = ClosedAccount(unit.now)
    CLOSED.put(unit, row, account_id)
    CLOSINGS.put(unit, Closing(), organization_id, _padded(unit.now), account_id)
    if unit.house.ledger.get(_ANY) is None:
        CLOSED.put(unit, row, "")


def closings_since(unit: Unit, organization_id: str, since: float, limit: int) -> int:
    """How many accounts an organization closed from a time (epoch seconds) on, counted up to `limit`."""
    after = CLOSINGS.key(organization_id, _padded(since))
    return len(CLOSINGS.page(unit, organization_id, after=after, limit=limit))


def _padded(at: float) -> str:
    return f"{int(at):0{TIME_DIGITS}d}"
