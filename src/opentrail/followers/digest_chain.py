"""One chain of digests: a trail in a region. Decides the next digest, and writes it.

As with log files, a plan is durable before the digest is written, and the digest, the chain's new end and the forgetting
of the files that it names are one commit; RSA signatures of PKCS #1 v1.5 are the same each time, so a digest that is
written twice has the same bytes. Knows nothing of when to look.
"""

from __future__ import annotations

import asyncio
import math
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
    TrailConfig,
    as_cloudtrail,
    read_place,
)
from opentrail.state import House, Unit

FILES_PER_DIGEST_MAX = 5_000
"""Log files named by one digest; the rest go into the next."""


def waiting_files(unit: Unit, trail_id: str, place: str) -> list[tuple[str, DeliveredFile]]:
    """(file number, file) of the delivered files that no digest names yet, in order of delivery."""
    rows = DELIVERED.page(unit, trail_id, place, limit=FILES_PER_DIGEST_MAX)
    return [(DELIVERED.parts(key)[2], row) for key, row in rows]


def regular_end(chain: DigestChain, now: float, interval: int) -> int:
    """When the next regular digest ends, or 0 if it is not due. After an outage one digest covers what was missed."""
    passed = math.floor((now - chain.end) / interval)
    return chain.end + passed * interval if passed >= 1 else 0


async def plan(
    house: House, keys: SigningKeys, trail_id: str, place: str, config: TrailConfig, chain: DigestChain, end: int,
    *, interval: int, final: bool = False,
) -> DigestChain:  # fmt: skip
    """Decide the digest that ends at `end`; the decision is durable on return."""
    account_id, region = read_place(config, place)
    name = await keys.current(region)
    unit = Unit(house, house.clock.now())
    CHAINS.get(unit, trail_id, place)
    named = [number for number, file in waiting_files(unit, trail_id, place) if final or file.at <= end]
    starting = not chain.signature
    planned = DigestPlan(
        start=end - interval if starting and chain.end == end else chain.end,
        end=end,
        bucket=config.bucket,
        prefix=config.prefix,
        fingerprint=name,
        through=named[-1] if named else "",
        final=final and len(named) < FILES_PER_DIGEST_MAX,
        organization_id=config.organization_id or ("" if account_id == config.account_id else chain.organization_id),
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
    previous = (
        digest.PreviousDigest(chain.bucket, chain.key, chain.sha256, chain.signature) if chain.signature else None
    )
    start, end = datetime.fromtimestamp(planned.start, UTC), datetime.fromtimestamp(planned.end, UTC)
    private = keys.private(region, planned.fingerprint)
    files = [_entry(file) for _, file in named]
    sealed = await asyncio.to_thread(digest.seal_digest, private, lies, start, end, files, previous)
    for number, _ in named:
        DELIVERED.delete(unit, trail_id, place, number)
    advanced = DigestChain(
        account_id=chain.account_id,
        end=planned.end,
        bucket=sealed.s3_bucket,
        key=sealed.s3_object,
        sha256=sha256_hex(sealed.document),
        signature=sealed.signature,
        closed=planned.final,
        organization_id=planned.organization_id,
    )
    CHAINS.put(unit, advanced, trail_id, place)
    DIGEST_STATUS.put(unit, DigestStatus(delivered_at=unit.now), trail_id, place)
    target = put_object_input(sealed.s3_bucket, sealed.s3_object, digest.digest_metadata(sealed.signature))
    body = compress(sealed.document)
    await house.road.call(
        as_cloudtrail(config), "s3", "PutObject", target, region=config.home_region, body=body, also=unit.writes
    )


def _entry(file: DeliveredFile) -> digest.DeliveredFile:
    return digest.DeliveredFile(file.bucket, file.key, file.sha256, file.newest, file.oldest)
