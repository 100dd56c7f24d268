"""One chain of digests: a trail in a region. Decides the next digest, and writes it.

As with log files, a plan is durable before the digest is written, and the digest, the chain's new end and the forgetting
of the files that it names are one commit; RSA signatures of PKCS #1 v1.5 are the same each time, so a digest that is
written twice has the same bytes. Knows nothing of when to look.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from opentrail.followers.delivery_write import put_object_input
from opentrail.followers.digest_keys import SigningKeys
from opentrail.record import digest
from opentrail.record.log_file import compress, sha256_hex
from opentrail.rows.cloudtrail import (
    CHAINS,
    DELIVERED,
    DIGEST_STATUS,
    DeliveredFile,
    DigestChain,
    DigestPlan,
    DigestStatus,
    SealedDigest,
    TrailConfig,
    as_cloudtrail,
    read_place,
)
from opentrail.state import House, Unit

FILES_PER_DIGEST_MAX = 5_000
"""Log files named by one digest; the rest of its window go into a backfill digest, and then into the next."""
LATE_DIGESTS_MAX = 168
"""Digests written one after the other to make up for an outage: a week of hours."""


def waiting_files(unit: Unit, trail_id: str, place: str) -> list[tuple[str, DeliveredFile]]:
    """(file number, file) of the delivered files that no digest names yet, in order of delivery."""
    rows = DELIVERED.page(unit, trail_id, place, limit=FILES_PER_DIGEST_MAX)
    return [(DELIVERED.parts(key)[2], row) for key, row in rows]


def regular_end(chain: DigestChain, now: float, interval: int) -> int:
    """When the next regular digest ends, or 0 if it is not due. After an outage each missed window has its digest; of
    more than LATE_DIGESTS_MAX, the first covers what is too much."""
    passed = math.floor((now - chain.end) / interval)
    return chain.end + max(1, passed - LATE_DIGESTS_MAX) * interval if passed >= 1 else 0


def last_end(chain: DigestChain) -> int:
    """The latest end of the chain's digests, the planned one included."""
    return max(chain.end, chain.planned.end if chain.planned else 0)


def free_end(end: int, namesakes: Sequence[DigestChain], interval: int) -> int:
    """This end, or the next second at which no chain of the same name has a digest: a name tells only trail and end, so
    one digest would be written over the other."""
    ends = [last_end(chain) for chain in namesakes]
    while any(end == other or (end < other and (other - end) % interval == 0) for other in ends):
        end += 1
    return end


def has_stragglers(unit: Unit, trail_id: str, place: str, chain: DigestChain) -> bool:
    """Were files delivered in the newest digest's window that it does not name? They belong into a backfill digest.

    Source: CloudTrail user guide, digest file structure: backfill digests name what the original did not, because of
    delays. Files from before that window, or after its backfill digest, go into the next digest like any other.
    """
    waiting = DELIVERED.page(unit, trail_id, place, limit=1)
    return bool(waiting) and chain.backfilled < chain.end and 0 < chain.start < waiting[0][1].at < chain.end


async def plan(
    house: House, keys: SigningKeys, trail_id: str, place: str, config: TrailConfig, chain: DigestChain, end: int,
    *, interval: int, final: bool = False,
) -> DigestChain:  # fmt: skip
    """Decide the digest that ends at `end`; the decision is durable on return. One that ends where the chain does is a
    backfill digest, or the first."""
    account_id, region = read_place(config, place)
    now = house.clock.now()
    starting = not chain.signature
    backfill = end == chain.end and not starting
    name = await keys.at(region, now if backfill else end)
    unit = Unit(house, now)
    CHAINS.get(unit, trail_id, place)
    named = [number for number, file in waiting_files(unit, trail_id, place) if final or file.at <= end]
    planned = DigestPlan(
        start=chain.start if backfill else end - interval if starting and chain.end == end else chain.end,
        end=end,
        bucket=config.bucket,
        prefix=config.prefix,
        fingerprint=name,
        through=named[-1] if named else "",
        final=final and len(named) < FILES_PER_DIGEST_MAX,
        organization_id=config.organization_id or ("" if account_id == config.account_id else chain.organization_id),
        generated=max(int(now), 1) if backfill else 0,
    )
    chain = msgspec.structs.replace(chain, planned=planned)
    CHAINS.put(unit, chain, trail_id, place)
    await house.ledger.commit(unit.writes, ())
    return chain


async def write(
    house: House, keys: SigningKeys, trail_id: str, place: str, config: TrailConfig, chain: DigestChain, planned: DigestPlan
) -> None:  # fmt: skip
    """Write the planned digest; raises the AwsError of PutObject."""
    unit = Unit(house, house.clock.now())
    if CHAINS.get(unit, trail_id, place) != chain:
        return
    named = [(number, file) for number, file in waiting_files(unit, trail_id, place) if number <= planned.through]
    _, region = read_place(config, place)
    lies = digest.DigestPlace(
        chain.account_id,
        region,
        config.name,
        config.home_region,
        planned.bucket,
        planned.prefix,
        planned.organization_id,
    )
    start, end = datetime.fromtimestamp(planned.start, UTC), datetime.fromtimestamp(planned.end, UTC)
    private = keys.private(region, planned.fingerprint)
    files = [_entry(file) for _, file in named]
    previous, late = _previous(chain, planned), planned.generated > 0
    sealed = await asyncio.to_thread(digest.seal_digest, private, lies, start, end, files, previous, late)
    for number, _ in named:
        DELIVERED.delete(unit, trail_id, place, number)
    CHAINS.put(unit, _advanced(chain, planned, sealed), trail_id, place)
    status = DIGEST_STATUS.get(unit, trail_id, place) or DigestStatus()
    done = DigestStatus(delivered_at=unit.now, digests=status.digests + 1, failures=status.failures)
    DIGEST_STATUS.put(unit, done, trail_id, place)
    generated = datetime.fromtimestamp(planned.generated, UTC) if late else None
    target = put_object_input(sealed.s3_bucket, sealed.s3_object, digest.digest_metadata(sealed.signature, generated))
    body = compress(sealed.document)
    await house.road.call(
        as_cloudtrail(config), "s3", "PutObject", target, region=config.home_region, body=body, also=unit.writes
    )


def _previous(chain: DigestChain, planned: DigestPlan) -> digest.PreviousDigest | None:
    """The digest before, of the same kind; none for the first of either."""
    if planned.generated:
        last = chain.backfill
        return digest.PreviousDigest(last.bucket, last.key, last.sha256, last.signature) if last else None
    if not chain.signature:
        return None
    return digest.PreviousDigest(chain.bucket, chain.key, chain.sha256, chain.signature)


def _advanced(chain: DigestChain, planned: DigestPlan, sealed: digest.SealedDigest) -> DigestChain:
    """The chain with one digest more."""
    last = SealedDigest(sealed.s3_bucket, sealed.s3_object, sha256_hex(sealed.document), sealed.signature)
    if planned.generated:
        return msgspec.structs.replace(chain, planned=None, backfilled=planned.end, backfill=last)
    return msgspec.structs.replace(
        chain,
        start=planned.start,
        end=planned.end,
        bucket=last.bucket,
        key=last.key,
        sha256=last.sha256,
        signature=last.signature,
        planned=None,
        closed=planned.final,
        organization_id=planned.organization_id,
    )


def _entry(file: DeliveredFile) -> digest.DeliveredFile:
    return digest.DeliveredFile(file.bucket, file.key, file.sha256, file.newest, file.oldest)
