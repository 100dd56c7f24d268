"""A house with a store of objects behind its road, trails set up through CloudTrail's own operations, and crashes.

Objects live as rows of the ledger and are committed with the call's `also`, as in the embedded mode; a crash is an
exception before or after a chosen commit, after which a new house is built on what was durable.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec

from opentrail.call import Call, Principal, Shape
from opentrail.errors import AwsError
from opentrail.ports import InternalAnswer, Line, Writes
from opentrail.record.history_head import head_of
from opentrail.record.lookup_event import attributes_of
from opentrail.services.cloudtrail import service
from opentrail.settings import Settings
from opentrail.state import House, Unit
from tests.fakes.house import NOW, FakeClock, build_house
from tests.fakes.ledger import FakeLedger
from tests.fakes.mortal import Crash

ACCOUNT = "123456789012"
REGION = "us-east-1"
BUCKET = "trail-logs"
OBJECTS = b"test-object\0"


class CrashingLedger(FakeLedger):
    """Ends the process before or after its nth commit from now on."""

    crash_at = 0
    crash_after = False

    async def commit(self, writes: Writes, lines: Any) -> int:
        self.crash_at -= 1
        if self.crash_at == 0 and not self.crash_after:
            raise Crash
        seq = await super().commit(writes, lines)
        if self.crash_at == 0:
            raise Crash
        return seq


class StoreRoad:
    """A `ports.Road` to a store of objects. `refuse` maps a bucket to the error of every call on it, and `sns`."""

    def __init__(self, ledger: FakeLedger, clock: FakeClock) -> None:
        self.ledger = ledger
        self.clock = clock
        self.refuse: dict[str, AwsError] = {}
        self.calls: list[tuple[Principal, str, str, Shape]] = []

    async def call(
        self,
        principal: Principal,
        service: str,
        operation: str,
        input: Shape,
        *,
        region: str,
        body: bytes = b"",
        source: str = "",
        also: Writes | None = None,
    ) -> InternalAnswer:
        self.calls.append((principal, service, operation, input))
        if (place := input["Bucket"] if service == "s3" else service) in self.refuse:
            raise self.refuse[place]
        writes = Writes()
        if operation == "PutObject":
            stored = {"body": body, "metadata": input.get("Metadata", {}), "type": input.get("ContentType", "")}
            writes.puts[object_key(input["Bucket"], input["Key"])] = msgspec.msgpack.encode(stored)
        if also is not None:
            writes.puts.update(also.puts)
            writes.deletes.update(also.deletes)
            writes.reads.update(also.reads)
        await self.ledger.commit(writes, [Line("record", own_record(operation, input, self.clock.now()))])
        return InternalAnswer({})


def object_key(bucket: str, key: str) -> bytes:
    return OBJECTS + f"{bucket}\0{key}".encode()


def objects(ledger: FakeLedger, part: str = "") -> dict[tuple[str, str], dict[str, Any]]:
    """(bucket, key) → stored object, of keys that contain `part`, in order."""
    found = {}
    for key, row in ledger.scan(OBJECTS, b"", 100_000):
        bucket, _, name = key[len(OBJECTS) :].decode().partition("\0")
        if part in name and not name.endswith("/"):
            found[bucket, name] = msgspec.msgpack.decode(row.value)
    return found


def delivered_records(ledger: FakeLedger) -> list[dict[str, Any]]:
    """The records of all log files, file by file, without those of CloudTrail looking at its bucket."""
    files = objects(ledger, "/CloudTrail/").values()
    records = [record for file in files for record in json.loads(gzip.decompress(file["body"]))["Records"]]
    return [record for record in records if record["eventName"] != "GetBucketAcl"]


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def record(name: str, at: float = NOW, **more: Any) -> bytes:
    """A management record of CloudTrail's, or whatever `more` makes of it."""
    whole = {
        "eventVersion": "1.11",
        "userIdentity": {"type": "IAMUser", "userName": "alice", "accountId": ACCOUNT, "accessKeyId": "AKIAEXAMPLE"},
        "eventTime": iso(at),
        "eventSource": "cloudtrail.amazonaws.com",
        "eventName": name,
        "awsRegion": REGION,
        "requestParameters": None,
        "responseElements": None,
        "eventID": f"{name}-{at}",
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
    }
    return msgspec.json.encode(whole | more)


def data_record(name: str, bucket: str, key: str, at: float = NOW, **more: Any) -> bytes:
    """An S3 data event."""
    resources = [
        {"accountId": ACCOUNT, "type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{bucket}"},
        {"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::{bucket}/{key}"},
    ]
    kind = {"managementEvent": False, "eventCategory": "Data", "eventSource": "s3.amazonaws.com"}
    parameters = {"bucketName": bucket, "key": key}
    return record(name, at, **({"resources": resources, "requestParameters": parameters} | kind | more))


def own_record(operation: str, given: Shape, at: float) -> bytes:
    """What a call of CloudTrail's own leaves behind."""
    identity = {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}
    if operation == "Publish":
        shown = {"message": given["Message"]} if given["Message"].startswith("{") else None
        return record(operation, at, userIdentity=identity, eventSource="sns.amazonaws.com", requestParameters=shown)
    if operation != "PutObject":
        return record(operation, at, userIdentity=identity, eventSource="s3.amazonaws.com", readOnly=True)
    return data_record("PutObject", given["Bucket"], given["Key"], at, userIdentity=identity)


def trail_house(ledger: FakeLedger | None = None, *, now: float = NOW, **settings: Any) -> House:
    """A house on `ledger`, whose road leads to `StoreRoad`."""
    house = build_house(now=now, settings=replace(Settings(lookup_rate=0), **settings))
    if ledger is not None:
        house.ledger = ledger
    house.road = StoreRoad(house.ledger, house.clock)
    return house


async def invoke(
    house: House, name: str, given: Shape | None = None, *, region: str = REGION, account: str = ACCOUNT
) -> Shape:
    """Walk an operation of CloudTrail's as the gate would: handler, then effect and record in one commit."""
    facts = SimpleNamespace(actions=(f"cloudtrail:{name}",))
    call: Any = Call(
        request=SimpleNamespace(),  # type: ignore[arg-type]
        request_id="r",
        host_id="",
        started_at=house.clock.now(),
        operation=SimpleNamespace(name=name, facts=facts),  # type: ignore[arg-type]
        region=region,
        account_id=account,
    )
    call.input = given or {}
    unit = Unit(house, house.clock.now())
    output = await service.handlers[name](call, unit)
    more = {"awsRegion": region, "recipientAccountId": account}
    await house.ledger.commit(unit.writes, [Line("record", record(name, unit.now, **more))])
    return output if call.later is None else call.later()


async def refused(house: House, name: str, given: Shape | None = None, **where: str) -> str:
    """The code of the error that an operation gives."""
    try:
        await invoke(house, name, given, **where)
    except AwsError as error:
        return error.code
    return ""


async def append(house: House, *lines: bytes) -> None:
    await house.ledger.commit(Writes(), [Line("record", line) for line in lines])


async def logging_trail(house: House, name: str = "main", selectors: list[Shape] | None = None, **given: Any) -> None:
    """A trail that logs; what CreateTrail itself leaves behind is not logged yet."""
    await invoke(house, "CreateTrail", {"Name": name, "S3BucketName": BUCKET} | given)
    if selectors is not None:
        await invoke(house, "PutEventSelectors", {"TrailName": name, "EventSelectors": selectors})
    await invoke(house, "StartLogging", {"Name": name})


def names(records: list[dict[str, Any]]) -> list[str]:
    return [attributes_of(head_of(each)).event_name for each in records]


def log_lines(ledger: FakeLedger) -> Iterator[tuple[int, dict[str, Any]]]:
    for seq, line in ledger.read(0, len(ledger.lines)):
        yield seq, json.loads(line.data)
