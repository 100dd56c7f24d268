"""ListObjects and ListObjectsV2, as boto3 sees them."""

from __future__ import annotations

import string
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opentrail.errors import AwsError
from opentrail.services.s3.listing import algorithms_of, make_token, read_token
from tests.services.s3.test_multipart import fails
from tests.services.s3.world import BUCKET, World

KEYS = ["a", "a/1", "a/2", "a/b/1", "b", "c-", "c/1", "c/2", "é/1", "\U0001f600"]


@pytest.fixture
def filled(s3: Any) -> Any:
    for key in KEYS:
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    return s3


def pages(s3: Any, operation: str, size: int, **more: Any) -> tuple[list[str], list[str]]:
    """(keys, common prefixes) of all pages, none of them larger than asked for."""
    keys: list[str] = []
    prefixes: list[str] = []
    paginator = s3.get_paginator(operation)
    for page in paginator.paginate(Bucket=BUCKET, PaginationConfig={"PageSize": size}, **more):
        here = [each["Key"] for each in page.get("Contents", [])]
        rolled = [each["Prefix"] for each in page.get("CommonPrefixes", [])]
        assert len(here) + len(rolled) <= size
        keys += here
        prefixes += rolled
    return keys, prefixes


def expected(keys: list[str], prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
    shown: list[str] = []
    rolled: set[str] = set()
    for key in keys:
        rest = key[len(prefix) :]
        if not key.startswith(prefix):
            continue
        if delimiter and delimiter in rest:
            rolled.add(prefix + rest.partition(delimiter)[0] + delimiter)
        else:
            shown.append(key)
    return sorted(shown), sorted(rolled)


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("prefix", "delimiter"), [("", ""), ("", "/"), ("a", "/"), ("a/", "/"), ("c", "-"), ("x", "/")]
)
def test_pages_show_everything_once(filled: Any, operation: str, size: int, prefix: str, delimiter: str):
    found = pages(filled, operation, size, Prefix=prefix, Delimiter=delimiter)
    assert found == expected(KEYS, prefix, delimiter)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    keys=st.sets(st.text("ab/é\U0001f600", min_size=1, max_size=5), max_size=12),
    prefix=st.text("ab/", max_size=2),
    delimiter=st.sampled_from(["", "/", "a", "b/"]),
    size=st.integers(1, 4),
)
def test_any_keys(s3: Any, world: World, keys: set[str], prefix: str, delimiter: str, size: int):
    for row in [row for row in world.ledger.rows if row.startswith(b"s3.object")]:
        s3.delete_object(Bucket=BUCKET, Key=row.split(b"\0")[2].decode())
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"")
    found = pages(s3, "list_objects_v2", size, Prefix=prefix, Delimiter=delimiter)
    assert found == expected(sorted(keys), prefix, delimiter)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    kinds=st.lists(st.sampled_from(["plain", "plain", "plain", "folder"]), min_size=1, max_size=8),
    many=st.integers(1, 30),
    size=st.integers(1, 40),
)
def test_keys_among_prefixes(s3: Any, world: World, kinds: list[str], many: int, size: int):
    """Runs of keys longer than what is fetched at first, with common prefixes between."""
    for row in [row for row in world.ledger.rows if row.startswith(b"s3.object")]:
        s3.delete_object(Bucket=BUCKET, Key=row.split(b"\0")[2].decode())
    mark = {"plain": "-", "folder": "/"}
    keys = [f"in/{place}{mark[kind]}{each:02}" for place, kind in enumerate(kinds) for each in range(many)]
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"")
    assert pages(s3, "list_objects_v2", size, Prefix="in/", Delimiter="/") == expected(keys, "in/", "/")


@pytest.mark.parametrize("others", [["CRC32"], ["SHA256", "CRC32C"], ["SHA1"] * 20])
def test_checksums_of_neighbours(s3: Any, others: list[str]):
    """Each entry tells its own algorithm, whether all have the same or not."""
    for place, algorithm in enumerate(["CRC32", "CRC32", *others]):
        s3.put_object(Bucket=BUCKET, Key=f"k{place:02}", Body=b"x", ChecksumAlgorithm=algorithm)
    listed = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert [each["ChecksumAlgorithm"] for each in listed] == [["CRC32"], ["CRC32"], *([other] for other in others)]
    assert {each["ChecksumType"] for each in listed} == {"FULL_OBJECT"}


def test_algorithms_are_told_as_the_rows_have_them():
    """Of no checksums, of several, of names of any length."""
    for maps in (
        [{}],
        [{}, {"CRC32": "x"}],
        [{"CRC32": "x", "SHA1": "y"}] * 2,
        [{"A" * 40: "x"}] * 3,
        [{"B": "C"}] * 3,
        [],
    ):
        raw = [msgspec.Raw(msgspec.msgpack.encode(each)) for each in maps]
        assert algorithms_of(raw) == [list(each) or None for each in maps]


def test_start_after_and_markers(filled: Any):
    after = filled.list_objects_v2(Bucket=BUCKET, StartAfter="a/2", Prefix="a")
    assert [each["Key"] for each in after["Contents"]] == ["a/b/1"]
    behind = filled.list_objects(Bucket=BUCKET, Marker="c/2")
    assert [each["Key"] for each in behind["Contents"]] == ["é/1", "\U0001f600"]
    assert "Contents" not in filled.list_objects_v2(Bucket=BUCKET, StartAfter="\U0001f600")


def test_no_keys_asked_for(filled: Any):
    page = filled.list_objects_v2(Bucket=BUCKET, MaxKeys=0)
    assert (page["KeyCount"], page["IsTruncated"]) == (0, False)


def test_what_is_refused(filled: Any, stranger: Any):
    assert fails(filled.list_objects_v2, Bucket=BUCKET, MaxKeys=-1) == ("InvalidArgument", 400)
    assert fails(filled.list_objects_v2, Bucket=BUCKET, EncodingType="base64") == ("InvalidArgument", 400)
    assert fails(filled.list_objects_v2, Bucket=BUCKET, ContinuationToken="junk") == ("InvalidArgument", 400)
    assert fails(stranger.list_objects_v2, Bucket=BUCKET) == ("AccessDenied", 403)
    assert fails(filled.list_objects_v2, Bucket="no-such-bucket") == ("NoSuchBucket", 404)


@pytest.mark.parametrize("token", ["", "*", "AA==", make_token("k")[:-1], string.printable, "é"])
def test_tokens_that_are_none(token: str):
    with pytest.raises(AwsError):
        read_token(token)


def test_tokens_hide_any_key():
    for key in (*KEYS, "", "\x01"):
        assert read_token(make_token(key)) == key
