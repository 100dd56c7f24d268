"""The four kinds of configurations under an id: inventory, analytics, metrics and intelligent-tiering."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from opentrail.rows.s3 import CONFIGS
from opentrail.services.s3 import configurations, inventory_check
from tests.fakes.house import new_unit
from tests.services.s3.bucket_world import BUCKET, World, allow, make_world

INVENTORY: dict[str, Any] = {
    "Id": "one",
    "IsEnabled": True,
    "IncludedObjectVersions": "Current",
    "Schedule": {"Frequency": "Daily"},
    "Destination": {"S3BucketDestination": {"Bucket": f"arn:aws:s3:::{BUCKET}", "Format": "CSV", "Prefix": "lists"}},
    "Filter": {"Prefix": "logs/"},
    "OptionalFields": ["Size", "ETag"],
}
EXPORT: dict[str, Any] = {
    "OutputSchemaVersion": "V_1",
    "Destination": {"S3BucketDestination": {"Format": "CSV", "Bucket": f"arn:aws:s3:::{BUCKET}", "Prefix": "age"}},
}
ANALYTICS: dict[str, Any] = {
    "Id": "one",
    "Filter": {"And": {"Prefix": "logs/", "Tags": [{"Key": "a", "Value": "b"}]}},
    "StorageClassAnalysis": {"DataExport": EXPORT},
}
METRICS: dict[str, Any] = {"Id": "one", "Filter": {"Tag": {"Key": "a", "Value": "b"}}}
TIERING: dict[str, Any] = {
    "Id": "one",
    "Status": "Enabled",
    "Filter": {"Prefix": "logs/"},
    "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}, {"Days": 180, "AccessTier": "DEEP_ARCHIVE_ACCESS"}],
}
KINDS = {
    "inventory": ("InventoryConfiguration", INVENTORY),
    "analytics": ("AnalyticsConfiguration", ANALYTICS),
    "metrics": ("MetricsConfiguration", METRICS),
    "intelligent_tiering": ("IntelligentTieringConfiguration", TIERING),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


async def put(world: World, kind: str, document: dict[str, Any] | None = None, name: str = "one") -> Any:
    member, standard = KINDS[kind]
    given = {**(standard if document is None else document)}
    if document is None:
        given["Id"] = name
    return await world.call("s3", f"put_bucket_{kind}_configuration", Bucket=BUCKET, Id=name, **{member: given})


async def ask(world: World, verb: str, kind: str, plural: str = "", **given: Any) -> Any:
    return await world.call("s3", f"{verb}_bucket_{kind}_configuration{plural}", Bucket=BUCKET, **given)


@every_kind
async def test_a_configuration_is_kept_as_it_was_put_until_it_is_deleted(kind: str):
    world = await make_world()
    member, document = KINDS[kind]
    assert (await put(world, kind)).status in (200, 204)
    assert (await ask(world, "get", kind, Id="one")).parsed[member] == document
    assert (await ask(world, "delete", kind, Id="one")).status == 204
    missing = await ask(world, "get", kind, Id="one")
    assert (missing.status, missing.code) == (404, "NoSuchConfiguration")
    assert missing.error["Message"] == "The specified configuration does not exist."
    assert (await ask(world, "delete", kind, Id="one")).code == "NoSuchConfiguration"
    assert world.bucket().configured == (), "the bucket's row no longer names the kind"


@every_kind
async def test_configurations_are_listed_by_id_a_page_at_a_time(kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(configurations, "PAGE_MAX", 2)
    world = await make_world()
    member = KINDS[kind][0] + "List"
    assert member not in (await ask(world, "list", kind, "s")).parsed
    for name in ("c", "a", "b"):
        await put(world, kind, name=name)
    first = (await ask(world, "list", kind, "s")).parsed
    assert [each["Id"] for each in first[member]] == ["a", "b"]
    assert first["IsTruncated"] is True
    token = first["NextContinuationToken"]
    second = (await ask(world, "list", kind, "s", ContinuationToken=token)).parsed
    assert [each["Id"] for each in second[member]] == ["c"]
    assert (second["IsTruncated"], second["ContinuationToken"]) == (False, token)
    assert (await ask(world, "list", kind, "s", ContinuationToken="nonsense")).code == "InvalidArgument"


@every_kind
async def test_there_is_a_most_but_an_existing_one_can_be_replaced(kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(configurations, "CONFIGURATIONS_MAX", 2)
    world = await make_world()
    for name in ("a", "b"):
        await put(world, kind, name=name)
    refused = await put(world, kind, name="c")
    assert (refused.status, refused.code) == (400, "TooManyConfigurations")
    assert (await put(world, kind, name="a")).status in (200, 204)


@every_kind
async def test_ids_must_agree_and_be_well_made(kind: str):
    world = await make_world()
    document = KINDS[kind][1]
    mismatch = await put(world, kind, {**document, "Id": "other"})
    assert mismatch.code == ("IdMismatch" if kind == "inventory" else "MalformedXML")
    for name in ("x" * 65, "a b", "a/b"):
        assert (await put(world, kind, name=name)).code == "InvalidArgument"
    assert (
        await put(world, kind, {key: value for key, value in document.items() if key != "Id"})
    ).code == "MalformedXML"
    nothing = await world.call("s3", f"put_bucket_{kind}_configuration", Bucket=BUCKET, Id="one", raw=b"")
    assert nothing.code == "MalformedXML"
    assert (await ask(world, "get", kind, Id="one")).code == "NoSuchConfiguration"


@every_kind
async def test_whoever_may_not_is_refused_and_it_is_on_record(kind: str):
    world = await make_world()
    nobody = await world.add_user("nobody", allow("s3:ListBucket"))
    member, _document = KINDS[kind]
    for verb in ("get", "delete"):
        assert (await ask(world, verb, kind, Id="one", by=nobody)).code == "AccessDenied"
    assert (await ask(world, "list", kind, "s", by=nobody)).code == "AccessDenied"
    noun = member.removesuffix("Configuration")
    names = [each["eventName"] for each in world.records() if each.get("errorCode") == "AccessDenied"]
    assert names == [f"{verb}Bucket{noun}Configuration" for verb in ("Get", "Delete", "Get")]
    reader = await world.add_user("reader", allow(f"s3:Get{noun}Configuration"))
    assert (await ask(world, "get", kind, Id="one", by=reader)).code == "NoSuchConfiguration"


@every_kind
async def test_a_deleted_bucket_takes_its_configurations_with_it(kind: str):
    world = await make_world()
    await put(world, kind)
    assert (await world.delete_bucket(Bucket=BUCKET)).status == 204
    assert CONFIGS.page(new_unit(world.house), BUCKET) == []


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the member at the dotted path set, or removed for None."""
    copied = copy.deepcopy(document)
    *steps, last = path.split(".")
    inner = copied
    for step in steps:
        inner = inner[step]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return copied


DESTINATION = "Destination.S3BucketDestination"


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("IsEnabled", None, "MalformedXML"),
        ("Schedule", None, "MalformedXML"),
        ("Schedule.Frequency", "Hourly", "MalformedXML"),
        ("IncludedObjectVersions", "Some", "MalformedXML"),
        ("Destination", None, "MalformedXML"),
        (f"{DESTINATION}.Format", "JSON", "MalformedXML"),
        (f"{DESTINATION}.Bucket", "a-bucket", "InvalidS3DestinationBucket"),
        (f"{DESTINATION}.Bucket", "arn:aws:sqs:us-east-1:111111111111:q", "InvalidS3DestinationBucket"),
        (f"{DESTINATION}.AccountId", "me", "InvalidArgument"),
        (f"{DESTINATION}.Encryption", {"SSES3": {}, "SSEKMS": {"KeyId": "k"}}, "MalformedXML"),
        ("OptionalFields", ["Weight"], "MalformedXML"),
        ("OptionalFields", ["Size", "Size"], "MalformedXML"),
        ("OptionalFields", ["ObjectLockEventHoldStatus"], "NotImplemented"),
        ("Filter", {"Prefix": ""}, "MalformedXML"),
        ("Filter", {"Prefix": "x" * 1025}, "InvalidArgument"),
    ],
)
async def test_inventories_that_cannot_be(path: str, value: Any, code: str):
    world = await make_world()
    assert (await put(world, "inventory", changed(INVENTORY, path, value))).code == code
    assert (await ask(world, "get", "inventory", Id="one")).code == "NoSuchConfiguration"


async def test_orc_needs_an_extra(monkeypatch: pytest.MonkeyPatch):
    world = await make_world()
    orc = changed(INVENTORY, f"{DESTINATION}.Format", "ORC")
    monkeypatch.setattr(inventory_check, "HAS_ARROW", False)
    refused = await put(world, "inventory", orc)
    assert (refused.status, refused.code) == (501, "NotImplemented")
    monkeypatch.setattr(inventory_check, "HAS_ARROW", True)
    assert (await put(world, "inventory", orc)).status == 200


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("StorageClassAnalysis", None, "MalformedXML"),
        ("StorageClassAnalysis.DataExport.OutputSchemaVersion", "V_2", "MalformedXML"),
        ("StorageClassAnalysis.DataExport.Destination.S3BucketDestination.Format", "ORC", "MalformedXML"),
        ("StorageClassAnalysis.DataExport.Destination.S3BucketDestination.Bucket", "b", "InvalidS3DestinationBucket"),
        ("Filter", {"And": {"Prefix": "x"}}, "MalformedXML"),
        ("Filter", {"Prefix": "x", "Tag": {"Key": "a", "Value": "b"}}, "MalformedXML"),
        ("Filter", {"And": {"Tags": [{"Key": "a", "Value": "b"}, {"Key": "a", "Value": "c"}]}}, "MalformedXML"),
        ("Filter", {"And": {"Tags": [{"Key": f"k{n}", "Value": ""} for n in range(11)]}}, "InvalidArgument"),
    ],
)
async def test_analyses_that_cannot_be(path: str, value: Any, code: str):
    world = await make_world()
    assert (await put(world, "analytics", changed(ANALYTICS, path, value))).code == code


async def test_metrics_of_an_access_point_that_is_not_there():
    world = await make_world()
    arn = "arn:aws:s3:us-east-1:111111111111:accesspoint/p"
    assert (await put(world, "metrics", {"Id": "one", "Filter": {"AccessPointArn": arn}})).code == "InvalidArgument"
    assert (await put(world, "metrics", {"Id": "one"})).status == 204, "a bucket may be counted as a whole"


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("Status", "On", "MalformedXML"),
        ("Tierings", [], "MalformedXML"),
        ("Tierings", [{"Days": 90, "AccessTier": "COLD"}], "MalformedXML"),
        ("Tierings", [{"AccessTier": "ARCHIVE_ACCESS"}], "MalformedXML"),
        ("Tierings", [{"Days": 89, "AccessTier": "ARCHIVE_ACCESS"}], "InvalidArgument"),
        ("Tierings", [{"Days": 731, "AccessTier": "ARCHIVE_ACCESS"}], "InvalidArgument"),
        ("Tierings", [{"Days": 179, "AccessTier": "DEEP_ARCHIVE_ACCESS"}], "InvalidArgument"),
        ("Tierings", [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}] * 2, "InvalidArgument"),
        (
            "Tierings",
            [{"Days": 200, "AccessTier": "ARCHIVE_ACCESS"}, {"Days": 180, "AccessTier": "DEEP_ARCHIVE_ACCESS"}],
            "InvalidArgument",
        ),
    ],
)
async def test_tierings_that_cannot_be(path: str, value: Any, code: str):
    world = await make_world()
    assert (await put(world, "intelligent_tiering", changed(TIERING, path, value))).code == code


@every_kind
async def test_a_request_without_an_id_means_nothing(kind: str):
    world = await make_world()
    for method in ("PUT", "DELETE"):
        body = f"<{KINDS[kind][0]}/>".encode() if method == "PUT" else b""
        answer = await world.raw(method, f"/{BUCKET}?{kind.replace('_', '-')}", body)
        assert (answer.response.status, b"<Code>InvalidArgument</Code>" in answer.response.body) == (400, True)


@every_kind
async def test_a_document_of_entities_is_refused(kind: str):
    world = await make_world()
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><' + KINDS[kind][0].encode() + b"><Id>&a;</Id></x>"
    answer = await world.call("s3", f"put_bucket_{kind}_configuration", Bucket=BUCKET, Id="one", raw=bomb)
    assert answer.code == "MalformedXML"
