"""Lines of server access logs on their way: written in the commit of the call, deleted in that of their delivery.

    s3.access-line   bucket time id number     some lines of one call, and where they are to be delivered

So a line is neither lost nor delivered twice. Only buckets with a logging configuration have any. `time` is the
microsecond of the commit with 16 hexadecimal digits. Source: S3 user guide, "Logging requests with server access logging".
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import msgspec

from opentrail.access.acl import LOG_DELIVERY_SERVICE
from opentrail.call import Principal
from opentrail.errors import AwsError
from opentrail.ports import Key
from opentrail.rows.s3 import BUCKETS, CONFIGS, Bucket
from opentrail.state import Row, Table, Unit

KIND = "logging"
"""The kind of the bucket's document: its LoggingEnabled."""
LOCK_KIND = "object-lock"
ROW_BYTES_MAX = 64 * 1024
"""Characters of the lines in one row; the line that reaches it is the last."""
DOCUMENTS_CACHED = 256
MISSING_GRANTS = "You must give the log-delivery group WRITE and READ_ACP permissions to the target bucket"


class Target(msgspec.Struct, frozen=True):
    """Where log objects go. `grants` are (grantee, permission), `partition` is empty, `EventTime` or `DeliveryTime`."""

    bucket: str
    prefix: str
    grants: tuple[tuple[str, str], ...]
    partition: str


class AccessLines(Row, frozen=True):
    """Lines without their ends. `target` is the document that was in force, `at` when the request came, epoch seconds."""

    lines: tuple[str, ...]
    target: str
    at: float
    delivery: bool = False
    """They tell of the delivery of a log object."""


ACCESS_LINES: Table[AccessLines] = Table("s3.access-line", AccessLines)


@lru_cache(maxsize=DOCUMENTS_CACHED)
def read_target(text: str) -> Target:
    """The target of a stored document."""
    given = msgspec.json.decode(text)
    grants = [
        (each["Grantee"].get("URI") or each["Grantee"]["ID"], each["Permission"])
        for each in given.get("TargetGrants") or ()
    ]
    form = given.get("TargetObjectKeyFormat") or {}
    partition = (form.get("PartitionedPrefix") or {}).get("PartitionDateSource", "")
    return Target(given["TargetBucket"], given["TargetPrefix"], tuple(grants), partition)


def put_lines(unit: Unit, bucket: Bucket, lines: Iterable[str], id_: str, at: float, *, delivery: bool = False) -> None:
    """Let the lines be delivered as the bucket's configuration says; nothing if it has none by now."""
    found = CONFIGS.get(unit, bucket.name, KIND)
    if found is None:
        return
    now = f"{int(unit.now * 1_000_000):016x}"
    for number, some in enumerate(_packed(lines)):
        row = AccessLines(some, found.document, at, delivery)
        ACCESS_LINES.put(unit, row, bucket.name, now, id_, f"{number:04x}")


def _packed(lines: Iterable[str]) -> Iterable[tuple[str, ...]]:
    some: list[str] = []
    size = 0
    for line in lines:
        some.append(line)
        size += len(line)
        if size >= ROW_BYTES_MAX:
            yield tuple(some)
            some, size = [], 0
    if some:
        yield tuple(some)


def put_at(key: Key) -> float:
    """When the row was written."""
    return int(ACCESS_LINES.parts(key)[1], 16) / 1_000_000


def as_logging(source: str, owner: str) -> Principal:
    """S3's log delivery, on behalf of a logged bucket of an account."""
    return Principal(
        type="AWSService",
        account_id=owner,
        invoked_by=LOG_DELIVERY_SERVICE,
        source_arn=f"arn:aws:s3:::{source}",
        source_account=owner,
    )


def is_delivery(principal: Principal) -> bool:
    return principal.type == "AWSService" and principal.invoked_by == LOG_DELIVERY_SERVICE


def find_target(unit: Unit, name: str) -> Bucket:
    """The bucket that is to get log objects. Raises AwsError if there is none, or it is of a kind that gets none."""
    target = BUCKETS.get(unit, name)
    if target is None:
        raise refused("The target bucket for logging does not exist", name)
    if target.requester_pays:
        raise refused("The target bucket for logging must not have Requester Pays enabled", name)
    if target.encryption not in ("", "AES256"):
        raise refused("The target bucket for logging must not have default encryption other than SSE-S3", name)
    if LOCK_KIND in target.configured:
        raise refused("The target bucket for logging must not have a default retention period of Object Lock", name)
    return target


def refused(message: str, name: str) -> AwsError:
    return AwsError("InvalidTargetBucketForLogging", message, 400, TargetBucket=name)
