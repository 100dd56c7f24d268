"""Clears away what no reader of lines can still need: replaced configurations, and all that is left of deleted trails."""

from __future__ import annotations

from opentrail.ports import Seq
from opentrail.rows.cloudtrail import (
    CHAINS,
    CHANGES,
    CONFIGS,
    CURSORS,
    DELIVERED,
    DELIVERY_STATUS,
    DIGEST_STATUS,
    NOTICES,
    PLANNED,
    Change,
)
from opentrail.rows.timelines import Timeline, Timelines
from opentrail.state import House, Table, Unit

KEPT_SECONDS = 86_400.0
"""How long a replaced configuration is kept for readers that lag: EventBridge retries for a day."""
UNDELIVERABLE_SECONDS = 30 * 86_400.0
"""How long files of a deleted trail are tried. Source: CloudTrail user guide, "How CloudTrail works"."""


async def sweep(house: House, timelines: Timelines) -> None:
    """One commit for each trail that has something to clear away."""
    for timeline in timelines:
        unit = Unit(house, house.clock.now())
        cursor = CURSORS.get(unit, timeline.id)
        through = 0 if cursor is None else cursor.through
        if _is_over(unit, timeline, through):
            _forget(unit, timeline.id)
        else:
            _drop_replaced(unit, timeline, through)
        if unit.writes.deletes:
            CHANGES.put(unit, Change(trail_id=timeline.id, revision=0), "")
            await house.ledger.commit(unit.writes, ())


def _is_over(unit: Unit, timeline: Timeline, through: Seq) -> bool:
    """Deleted, delivered and sealed; or deleted so long ago that its bucket will not come back."""
    last = timeline.periods[-1]
    age = unit.now - last.config.since
    if not last.config.deleted or age < KEPT_SECONDS or through < last.since:
        return False
    chains = [chain for _, chain in CHAINS.all(unit, timeline.id)]
    open_work = PLANNED.page(unit, timeline.id, limit=1) or not all(chain.closed for chain in chains)
    return not open_work or age > UNDELIVERABLE_SECONDS


def _forget(unit: Unit, trail_id: str) -> None:
    tables: tuple[Table, ...] = (CONFIGS, DELIVERY_STATUS, DIGEST_STATUS, PLANNED, DELIVERED, NOTICES, CHAINS)  # type: ignore[type-arg]
    for table in tables:
        for parts, _ in list(table.all(unit, trail_id)):
            table.delete(unit, *parts)
    CURSORS.delete(unit, trail_id)


def _drop_replaced(unit: Unit, timeline: Timeline, through: Seq) -> None:
    """Configurations whose successor was in force a day ago and has been passed by the delivery."""
    rows = [parts for parts, _ in CONFIGS.all(unit, timeline.id)]
    for parts, successor in zip(rows, timeline.periods[1:], strict=False):
        if successor.since > through or unit.now - successor.config.since < KEPT_SECONDS:
            return
        CONFIGS.delete(unit, *parts)
