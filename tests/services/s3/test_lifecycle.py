"""Lifecycle configurations, as boto3 sees them: kept, shown, refused in S3's words; and the headers they put on answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest

from tests.services.s3.test_multipart import fails
from tests.services.s3.test_object_lock import refusal
from tests.services.s3.world import BUCKET, World, without_digest

EXPIRE = {"Expiration": {"Days": 7}}
IA, ARCHIVE = "STANDARD_IA", "GLACIER"


def rule(**more: Any) -> dict[str, Any]:
    given = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, **more}
    return {name: value for name, value in given.items() if value is not None}


def put_rules(s3: Any, *rules: Any, **more: Any) -> Any:
    return s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": list(rules)}, **more)


def get_rules(s3: Any) -> Any:
    return s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]


def test_rules_come_back_as_they_were_put(s3: Any, world: World):
    rules = [
        rule(ID="all", Filter={}, **EXPIRE),
        rule(ID="date", Status="Disabled", Expiration={"Date": datetime(2030, 1, 1, tzinfo=UTC)}),
        rule(ID="tag", Filter={"Tag": {"Key": "a", "Value": ""}}, **EXPIRE),
        rule(
            ID="and",
            Filter={
                "And": {
                    "Prefix": "p/",
                    "Tags": [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d"}],
                    "ObjectSizeGreaterThan": 1,
                    "ObjectSizeLessThan": 9,
                }
            },
            Transitions=[{"Days": 30, "StorageClass": IA}, {"Days": 60, "StorageClass": ARCHIVE}],
            NoncurrentVersionTransitions=[
                {"NoncurrentDays": 0, "StorageClass": ARCHIVE, "NewerNoncurrentVersions": 500}
            ],
            NoncurrentVersionExpiration={"NoncurrentDays": 2, "NewerNoncurrentVersions": 5},
        ),
        rule(
            ID="clean",
            Expiration={"ExpiredObjectDeleteMarker": True},
            AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1},
        ),
    ]
    assert put_rules(s3, *rules)["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"
    assert get_rules(s3) == rules
    recorded = world.records("PutBucketLifecycle")[-1]["requestParameters"]
    assert [each["ID"] for each in recorded["LifecycleConfiguration"]["Rule"]] == ["all", "date", "tag", "and", "clean"]


def test_rules_of_the_first_version(s3: Any):
    rules = [
        {"ID": "a", "Prefix": "a/", "Status": "Enabled", **EXPIRE},
        {"ID": "b", "Prefix": "b/", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 1}},
        {"ID": "c", "Prefix": "", "Status": "Disabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
    ]
    put_rules(s3, *rules)
    assert get_rules(s3) == rules
    old = {"Rules": [{"ID": "a", "Prefix": "a/", "Status": "Enabled", "Expiration": {"Days": 3}}]}
    s3.put_bucket_lifecycle(Bucket=BUCKET, LifecycleConfiguration=old)
    assert get_rules(s3) == old["Rules"]


def test_rules_without_an_id_get_one(s3: Any):
    put_rules(s3, rule(ID=None, **EXPIRE), rule(ID="", **EXPIRE))
    ids = [each["ID"] for each in get_rules(s3)]
    assert len(set(ids)) == 2
    assert all(ids)


def test_rules_go(s3: Any):
    missing = ("NoSuchLifecycleConfiguration", 404)
    assert fails(get_rules, s3) == missing
    s3.delete_bucket_lifecycle(Bucket=BUCKET)
    put_rules(s3, rule(**EXPIRE))
    s3.delete_bucket_lifecycle(Bucket=BUCKET)
    assert fails(get_rules, s3) == missing
    put_rules(s3, rule(**EXPIRE))
    s3.delete_bucket(Bucket=BUCKET)
    s3.create_bucket(Bucket=BUCKET)
    assert fails(get_rules, s3) == missing


def test_the_minimum_size_of_transitions(s3: Any):
    for given, kept in (("varies_by_storage_class", "varies_by_storage_class"), (None, "all_storage_classes_128K")):
        more = {} if given is None else {"TransitionDefaultMinimumObjectSize": given}
        assert put_rules(s3, rule(**EXPIRE), **more)["TransitionDefaultMinimumObjectSize"] == kept
        got = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)
        assert got["TransitionDefaultMinimumObjectSize"] == kept
    answer = refusal(put_rules, s3, rule(**EXPIRE), TransitionDefaultMinimumObjectSize="value")
    assert (answer["Code"], answer["Message"]) == (
        "InvalidRequest",
        "Invalid TransitionDefaultMinimumObjectSize found: value",
    )


MALFORMED = [
    {"Status": "enabled", **EXPIRE},
    {"Status": "", **EXPIRE},
    {"Filter": None, **EXPIRE},
    {"Filter": {"And": {"Prefix": "a"}, "Prefix": ""}, **EXPIRE},
    {"Filter": {"ObjectSizeGreaterThan": 500, "Prefix": ""}, **EXPIRE},
    {"Filter": {"And": {}}, **EXPIRE},
    {"Expiration": {}},
    {"Expiration": {"Days": 1, "ExpiredObjectDeleteMarker": True}},
    {"Expiration": {"Days": 1, "Date": datetime(2030, 1, 1, tzinfo=UTC)}},
    {"NoncurrentVersionExpiration": {}},
    {"NoncurrentVersionExpiration": {"NewerNoncurrentVersions": 1}},
    {"AbortIncompleteMultipartUpload": {}},
    {"Transitions": [{"Days": 1, "StorageClass": "STANDARD"}]},
    {"Transitions": [{"Days": 1, "StorageClass": "glacier"}]},
    {"Transitions": [{"Days": 1}]},
    {"Transitions": [{"StorageClass": ARCHIVE}]},
    {"NoncurrentVersionTransitions": [{"StorageClass": ARCHIVE}]},
]
INVALID_ARGUMENT = [
    ({"ID": "a" * 256, **EXPIRE}, "255"),
    ({"Expiration": {"Days": 0}}, "positive"),
    ({"Expiration": {"Days": -1}}, "positive"),
    ({"Expiration": {"Date": datetime(2023, 1, 1, 2, 2, tzinfo=UTC)}}, "midnight"),
    ({"Transitions": [{"Date": datetime(2023, 1, 1, 2, tzinfo=UTC), "StorageClass": ARCHIVE}]}, "midnight"),
    ({"NoncurrentVersionExpiration": {"NoncurrentDays": 0}}, "positive"),
    ({"NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 0}}, "positive"),
    ({"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 0}}, "positive"),
    ({"Transitions": [{"Days": 29, "StorageClass": IA}]}, "30"),
    ({"Transitions": [{"Days": -1, "StorageClass": ARCHIVE}]}, "nonnegative"),
    ({"NoncurrentVersionTransitions": [{"NoncurrentDays": 1, "StorageClass": IA}]}, "30"),
    (
        {"Transitions": [{"Days": 7, "StorageClass": ARCHIVE}], **EXPIRE},
        "'Days' in the Expiration action for filter '(prefix=)' must be greater than 'Days' in the Transition action",
    ),
    (
        {"Transitions": [{"Days": 60, "StorageClass": IA}, {"Days": 60, "StorageClass": ARCHIVE}]},
        "must be greater than",
    ),
    (
        {
            "NoncurrentVersionTransitions": [{"NoncurrentDays": 5, "StorageClass": ARCHIVE}],
            "NoncurrentVersionExpiration": {"NoncurrentDays": 5},
        },
        "must be greater than",
    ),
]
INVALID_REQUEST = [
    ({}, "At least one action"),
    ({"Prefix": "a", **EXPIRE}, "Lifecycle V2"),
    (
        {"Filter": {"And": {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}}, **EXPIRE},
        "Duplicate Tag Keys are not allowed.",
    ),
    ({"Filter": {"ObjectSizeGreaterThan": -1}, **EXPIRE}, "ObjectSizeGreaterThan"),
    ({"Filter": {"ObjectSizeLessThan": 0}, **EXPIRE}, "ObjectSizeLessThan"),
    ({"Filter": {"And": {"ObjectSizeGreaterThan": 5, "ObjectSizeLessThan": 5}}, **EXPIRE}, "greater"),
    (
        {"Filter": {"Tag": {"Key": "a", "Value": "b"}}, "Expiration": {"ExpiredObjectDeleteMarker": True}},
        "ExpiredObjectDeleteMarker cannot be specified with Tags.",
    ),
    (
        {"Filter": {"ObjectSizeLessThan": 5}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
        "AbortIncompleteMultipartUpload cannot be specified with Object Size.",
    ),
    ({"Transitions": [{"Date": datetime(2030, 1, 1, tzinfo=UTC), "StorageClass": ARCHIVE}], **EXPIRE}, "mixed"),
    (
        {"Transitions": [{"Days": 1, "StorageClass": ARCHIVE}, {"Days": 2, "StorageClass": ARCHIVE}]},
        "'StorageClass' must be different",
    ),
    ({"Filter": {"Prefix": "a" * 1025}, **EXPIRE}, "1024"),
]


@pytest.mark.parametrize("given", MALFORMED)
def test_what_no_schema_allows(s3: Any, given: Any):
    assert fails(put_rules, s3, rule(**given)) == ("MalformedXML", 400)


@pytest.mark.parametrize(("given", "words"), INVALID_ARGUMENT)
def test_wrong_arguments(s3: Any, given: Any, words: str):
    answer = refusal(put_rules, s3, rule(**given))
    assert (answer["Code"], answer["Status"]) == ("InvalidArgument", 400)
    assert words in answer["Message"]


@pytest.mark.parametrize(("given", "words"), INVALID_REQUEST)
def test_wrong_requests(s3: Any, given: Any, words: str):
    answer = refusal(put_rules, s3, rule(**given))
    assert (answer["Code"], answer["Status"]) == ("InvalidRequest", 400)
    assert words in answer["Message"]


def test_rules_that_do_not_go_together(s3: Any):
    assert fails(put_rules, s3) == ("InvalidRequest", 400)
    assert fails(put_rules, s3, *(rule(ID=f"{n}", **EXPIRE) for n in range(1001))) == ("InvalidRequest", 400)
    assert refusal(put_rules, s3, rule(**EXPIRE), rule(**EXPIRE))["Code"] == "InvalidArgument"
    old = [{"Prefix": prefix, "Status": "Enabled", **EXPIRE} for prefix in ("b", "", "a")]
    overlap = refusal(put_rules, s3, *old)["Message"]
    assert overlap == "Found overlapping prefixes '' and 'a' for same action type 'Expiration'"
    mixed = refusal(put_rules, s3, old[0], rule(**EXPIRE))["Message"]
    assert mixed == "Filter element can only be used in Lifecycle V2."
    newer = {"NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 1}}
    assert "V2" in refusal(put_rules, s3, {"Prefix": "", "Status": "Enabled", **newer})["Message"]


def test_rules_must_come_with_a_digest(s3: Any):
    with without_digest(s3):
        assert fails(put_rules, s3, rule(**EXPIRE)) == ("InvalidRequest", 400)


# The headers


def expected(days: int, now: float) -> str:
    """The midnight UTC behind the day that is `days` from `now`."""
    day = (datetime.fromtimestamp(now, UTC) + timedelta(days=days + 1)).replace(hour=0, minute=0, second=0)
    return f"{day:%a, %d %b %Y %H:%M:%S} GMT"


@pytest.fixture
def now(world: World, monkeypatch: pytest.MonkeyPatch) -> float:
    """The clock stands still, so that no midnight comes in between."""
    stands = world.house.clock.now()
    monkeypatch.setattr(type(world.house.clock), "now", lambda _clock: stands)
    return stands


def test_answers_tell_when_an_object_expires(s3: Any, now: float):
    put_rules(
        s3,
        rule(ID="later one", Filter={"Prefix": "a"}, Expiration={"Days": 9}),
        rule(ID="sooner/one", Filter={"Prefix": "ab"}, Expiration={"Days": 2}),
        rule(ID="off", Status="Disabled", Expiration={"Days": 1}),
    )
    for key, days, rule_id in (("a", 9, "later%20one"), ("ab", 2, "sooner%2Fone")):
        header = f'expiry-date="{expected(days, now)}", rule-id="{rule_id}"'
        assert s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")["Expiration"] == header
        assert s3.head_object(Bucket=BUCKET, Key=key)["Expiration"] == header
        assert s3.get_object(Bucket=BUCKET, Key=key)["Expiration"] == header
    assert "Expiration" in s3.copy_object(Bucket=BUCKET, Key="ac", CopySource=f"{BUCKET}/a")
    assert "Expiration" not in s3.put_object(Bucket=BUCKET, Key="b", Body=b"x")


def test_answers_about_versions_tell_nothing(versioned: Any):
    put_rules(versioned, rule(**EXPIRE))
    written = versioned.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    assert "Expiration" in written
    assert "Expiration" in versioned.head_object(Bucket=BUCKET, Key="k")
    assert "Expiration" not in versioned.head_object(Bucket=BUCKET, Key="k", VersionId=written["VersionId"])


def test_filters_look_at_tags_and_sizes(s3: Any):
    put_rules(
        s3,
        rule(ID="tags", Filter={"And": {"Tags": [{"Key": k, "Value": "1"} for k in "ab"]}}, **EXPIRE),
        rule(ID="large", Filter={"ObjectSizeGreaterThan": 20}, **EXPIRE),
        rule(ID="small", Filter={"ObjectSizeLessThan": 2}, **EXPIRE),
    )
    seen = [
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"x" * size, Tagging=tags).get("Expiration", '"-"').split('"')[-2]
        for size, tags in ((20, "a=1&b=1"), (20, "a=1"), (20, "a=1&b=2"), (21, ""), (2, ""), (1, ""))
    ]
    assert seen == ["tags", "-", "-", "large", "-", "small"]


def test_an_upload_is_told_when_it_is_given_up(s3: Any, now: float):
    put_rules(s3, rule(Filter={"Prefix": "a"}, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 3}))
    told = s3.create_multipart_upload(Bucket=BUCKET, Key="a")
    assert told["AbortRuleId"] == "r"
    assert f"{told['AbortDate']:%a, %d %b %Y %H:%M:%S} GMT" == expected(3, now)
    parts = s3.list_parts(Bucket=BUCKET, Key="a", UploadId=told["UploadId"])
    assert (parts["AbortRuleId"], parts["AbortDate"]) == ("r", told["AbortDate"])
    assert "AbortDate" not in s3.create_multipart_upload(Bucket=BUCKET, Key="b")


def test_no_id_breaks_a_header(s3: Any):
    wild = 'ü\n€ "x", a%0A/b'
    abort = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3}}
    put_rules(s3, rule(ID=wild, **EXPIRE, **abort))
    assert get_rules(s3)[0]["ID"] == wild
    for told in (
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")["Expiration"],
        s3.create_multipart_upload(Bucket=BUCKET, Key="k")["AbortRuleId"],
    ):
        assert told.isascii()
        assert told.isprintable()
        assert unquote(told).endswith((wild, wild + '"'))
