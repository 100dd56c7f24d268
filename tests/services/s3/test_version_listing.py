"""ListObjectVersions, as boto3 sees it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.services.s3.test_multipart import fails
from tests.services.s3.world import BUCKET

Shown = tuple[str, str, bool]


def put(s3: Any, key: str) -> str:
    return str(s3.put_object(Bucket=BUCKET, Key=key, Body=b"x").get("VersionId", "null"))


def set_versioning(s3: Any, status: str) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})


def shown(page: Any) -> list[Shown]:
    """Versions and markers of a page: (key, version id, is latest)."""
    every = page.get("Versions", []) + page.get("DeleteMarkers", [])
    return [(each["Key"], each["VersionId"], each["IsLatest"]) for each in every]


def walk(s3: Any, size: int, **more: Any) -> tuple[list[Shown], list[str]]:
    """Everything there is, page by page, and the common prefixes."""
    found: list[Shown] = []
    prefixes: list[str] = []
    marker: dict[str, str] = {}
    while True:
        page = s3.list_object_versions(Bucket=BUCKET, MaxKeys=size, **marker, **more)
        here = shown(page)
        assert len(here) + len(page.get("CommonPrefixes", [])) <= size
        found += here
        prefixes += [each["Prefix"] for each in page.get("CommonPrefixes", [])]
        if not page["IsTruncated"]:
            return found, prefixes
        marker = {"KeyMarker": page["NextKeyMarker"]}
        if "NextVersionIdMarker" in page:
            marker["VersionIdMarker"] = page["NextVersionIdMarker"]


def test_a_bucket_without_versioning_lists_null_versions(s3: Any):
    for key in ("b", "a", "é"):
        put(s3, key)
    assert shown(s3.list_object_versions(Bucket=BUCKET)) == [(key, "null", True) for key in ("a", "b", "é")]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_pages_show_everything_once(s3: Any, size: int):
    put(s3, "before")
    put(s3, "k")
    set_versioning(s3, "Enabled")
    k1, k2, later = put(s3, "k"), put(s3, "k"), put(s3, "later")
    marker = s3.delete_object(Bucket=BUCKET, Key="later")["VersionId"]
    found, _ = walk(s3, size)
    assert set(found) == {
        ("before", "null", True), ("k", k2, True), ("k", k1, False), ("k", "null", False), ("later", marker, True),
        ("later", later, False),
    }  # fmt: skip
    assert len(found) == 6


def test_order_is_newest_first(versioned: Any):
    ids = [put(versioned, "k") for _ in range(5)]
    assert [version for _, version, _ in shown(versioned.list_object_versions(Bucket=BUCKET))] == ids[::-1]


def test_suspended_versioning_replaces_the_null_version(versioned: Any):
    first = put(versioned, "k")
    set_versioning(versioned, "Suspended")
    put(versioned, "k")
    put(versioned, "k")
    assert shown(versioned.list_object_versions(Bucket=BUCKET)) == [("k", "null", True), ("k", first, False)]
    set_versioning(versioned, "Enabled")
    last = put(versioned, "k")
    assert walk(versioned, 1)[0] == [("k", last, True), ("k", "null", False), ("k", first, False)]


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_common_prefixes_of_both_tables(s3: Any, size: int):
    for key in ("a/1", "b", "c/1"):
        put(s3, key)
    set_versioning(s3, "Enabled")
    for key in ("a/2", "c/2", "d/1", "d/2"):
        put(s3, key)
    found, prefixes = walk(s3, size, Delimiter="/")
    assert prefixes == ["a/", "c/", "d/"]
    assert found == [("b", "null", True)]
    assert [key for key, _, _ in walk(s3, size, Prefix="a/")[0]] == ["a/1", "a/2"]
    assert walk(s3, size, Prefix="c/", Delimiter="/") == (walk(s3, 1000, Prefix="c/")[0], [])


def test_markers_that_are_not_there_any_more(versioned: Any):
    ids = [put(versioned, "k") for _ in range(3)]
    versioned.delete_object(Bucket=BUCKET, Key="k", VersionId=ids[2])
    page = versioned.list_object_versions(Bucket=BUCKET, KeyMarker="k", VersionIdMarker=ids[2])
    assert shown(page) == [("k", ids[1], True), ("k", ids[0], False)]
    assert shown(versioned.list_object_versions(Bucket=BUCKET, KeyMarker="k")) == []
    assert shown(versioned.list_object_versions(Bucket=BUCKET, KeyMarker="k", VersionIdMarker="null")) == []


def test_markers_that_are_none(versioned: Any):
    listing = versioned.list_object_versions
    assert fails(listing, Bucket=BUCKET, VersionIdMarker="null") == ("InvalidArgument", 400)
    assert fails(listing, Bucket=BUCKET, KeyMarker="k", VersionIdMarker="") == ("InvalidArgument", 400)
    assert fails(listing, Bucket=BUCKET, KeyMarker="k", VersionIdMarker="junk") == ("InvalidArgument", 400)
    assert fails(listing, Bucket=BUCKET, MaxKeys=-1) == ("InvalidArgument", 400)
    assert shown(listing(Bucket=BUCKET, MaxKeys=0)) == []


def test_odd_keys_are_spelled_for_xml(versioned: Any):
    keys = ["a b", "a+b", "a\x01b", "a&<b", "é"]
    for key in keys:
        put(versioned, key)
    page = versioned.list_object_versions(Bucket=BUCKET, EncodingType="url")
    assert {key for key, _, _ in shown(page)} == {"a%20b", "a%2Bb", "a%01b", "a%26%3Cb", "%C3%A9"}
    assert sorted(key for key, _, _ in shown(versioned.list_object_versions(Bucket=BUCKET))) == sorted(keys)


def test_an_entry(versioned: Any):
    put(versioned, "k")
    (version,) = versioned.list_object_versions(Bucket=BUCKET)["Versions"]
    assert (version["Size"], version["StorageClass"], version["ChecksumType"]) == (1, "STANDARD", "FULL_OBJECT")
    assert version["ETag"] == '"9dd4e461268c8034f5c8564e155c67a6"'
    assert len(version["Owner"]["ID"]) == 64
