"""How versions follow each other: which is the newest, and what is let go."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentrail.rows.s3 import ORDER_MAX, order_part
from opentrail.services.s3.versions import new_version_id, order_of
from tests.fakes.house import build_house, new_unit
from tests.services.s3.test_multipart import fails
from tests.services.s3.test_version_listing import set_versioning
from tests.services.s3.world import BUCKET, World


def put(s3: Any, data: bytes) -> str:
    return str(s3.put_object(Bucket=BUCKET, Key="k", Body=data).get("VersionId", "null"))


def got(s3: Any, **more: Any) -> bytes:
    return bytes(s3.get_object(Bucket=BUCKET, Key="k", **more)["Body"].read())


@given(st.integers(0, ORDER_MAX))
def test_an_id_tells_its_order(order: int):
    version_id = new_version_id(new_unit(build_house()), order)
    assert len(version_id) == 32
    assert order_of(version_id) == order


@given(st.text(max_size=40))
def test_any_text_is_an_id_or_none(text: str):
    order = order_of(text)
    assert order is None or 0 <= order <= ORDER_MAX


def test_newer_orders_sort_first():
    assert order_part(2) < order_part(1) < order_part(0)
    assert len({len(order_part(order)) for order in (0, 1, ORDER_MAX)}) == 1


def test_the_newest_goes_and_the_one_before_comes_back(versioned: Any):
    ids = [put(versioned, b"%d" % number) for number in range(3)]
    versioned.delete_object(Bucket=BUCKET, Key="k", VersionId=ids[2])
    assert got(versioned) == b"1"
    versioned.delete_object(Bucket=BUCKET, Key="k", VersionId=ids[0])
    assert got(versioned) == b"1"
    marker = versioned.delete_object(Bucket=BUCKET, Key="k")
    assert marker["DeleteMarker"] is True
    assert fails(versioned.get_object, Bucket=BUCKET, Key="k") == ("NoSuchKey", 404)
    assert fails(versioned.head_object, Bucket=BUCKET, Key="k", VersionId=marker["VersionId"])[1] == 405
    gone = versioned.delete_object(Bucket=BUCKET, Key="k", VersionId=marker["VersionId"])
    assert gone["DeleteMarker"] is True
    assert got(versioned) == b"1"


def test_below_two_markers_nothing_comes_back(versioned: Any):
    put(versioned, b"1")
    first = versioned.delete_object(Bucket=BUCKET, Key="k")["VersionId"]
    second = versioned.delete_object(Bucket=BUCKET, Key="k")["VersionId"]
    versioned.delete_object(Bucket=BUCKET, Key="k", VersionId=second)
    assert fails(versioned.get_object, Bucket=BUCKET, Key="k") == ("NoSuchKey", 404)
    versioned.delete_object(Bucket=BUCKET, Key="k", VersionId=first)
    assert got(versioned) == b"1"


def test_the_null_version_is_kept_below_newer_ones(s3: Any):
    put(s3, b"before")
    set_versioning(s3, "Enabled")
    assert got(s3, VersionId="null") == b"before"
    newer = put(s3, b"after")
    assert got(s3, VersionId="null") == b"before"
    s3.delete_object(Bucket=BUCKET, Key="k", VersionId=newer)
    assert got(s3) == b"before"
    s3.delete_object(Bucket=BUCKET, Key="k", VersionId="null")
    assert "Versions" not in s3.list_object_versions(Bucket=BUCKET)


@pytest.mark.parametrize("size", [1, 100_000])
def test_suspended_there_is_one_null_version(versioned: Any, world: World, size: int):
    kept = put(versioned, b"1" * size)
    set_versioning(versioned, "Suspended")
    put(versioned, b"2" * size)
    put(versioned, b"3" * size)
    assert got(versioned) == b"3" * size
    assert len(world.blob_sizes()) == (2 if size > 64 * 1024 else 0)
    assert versioned.delete_object(Bucket=BUCKET, Key="k")["VersionId"] == "null"
    assert len(world.blob_sizes()) == (1 if size > 64 * 1024 else 0)
    assert got(versioned, VersionId=kept) == b"1" * size
    versioned.delete_object(Bucket=BUCKET, Key="k", VersionId="null")
    assert got(versioned) == b"1" * size


def test_a_clock_that_stands_still_still_orders(versioned: Any, world: World, monkeypatch: pytest.MonkeyPatch):
    now = world.house.clock.now()
    monkeypatch.setattr(type(world.house.clock), "now", lambda _clock: now)
    ids = [put(versioned, b"%d" % number) for number in range(3)]
    assert got(versioned) == b"2"
    assert [order_of(each) for each in ids] == sorted({order_of(each) for each in ids})


def test_ids_that_are_none(versioned: Any):
    put(versioned, b"1")
    for version_id in ("x", "é" * 16, "!" * 32):
        assert fails(versioned.get_object, Bucket=BUCKET, Key="k", VersionId=version_id) == ("InvalidArgument", 400)
    assert fails(versioned.get_object, Bucket=BUCKET, Key="k", VersionId="0" * 32) == ("NoSuchVersion", 404)
    assert versioned.delete_object(Bucket=BUCKET, Key="k", VersionId="0" * 32)["VersionId"] == "0" * 32
