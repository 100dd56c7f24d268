"""Archives as attackers make them."""

from __future__ import annotations

import io
import stat
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opentrail.actions import unzip
from opentrail.actions.unzip import BadArchive, MemberStream, open_archive
from opentrail.errors import AwsError


def packed(*members: tuple[zipfile.ZipInfo | str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def opened(data: bytes) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
    return open_archive(io.BytesIO(data), len(data))


async def content(data: bytes, index: int = 0) -> bytes:
    archive, members = opened(data)
    return b"".join([chunk async for chunk in MemberStream(archive, members[index]).chunks()])


async def test_members_come_out_as_they_went_in():
    big = bytes(range(256)) * 1000
    data = packed(("a/b.txt", b"hello"), ("a/", b""), ("big", big), ("empty", b""))
    assert [member.filename for member in opened(data)[1]] == ["a/b.txt", "big", "empty"]
    assert await content(data) == b"hello"
    assert await content(data, 1) == big
    assert await content(data, 2) == b""


@pytest.mark.filterwarnings("ignore:Duplicate name")
async def test_of_two_members_of_one_name_the_last_counts():
    data = packed(("a", b"one"), ("a", b"two"))
    assert len(opened(data)[1]) == 1
    assert await content(data) == b"two"


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "..",
        "a/..",
        "C:/x",
        "C:x",
        "..\\x",
        "a\\b",
        "\\\\host\\x",
        "x" * 1025,
        "é" * 513,
    ],
)
def test_names_that_leave_their_place_are_refused(name):
    with pytest.raises(BadArchive):
        opened(packed((name, b"x")))


def test_a_name_with_nul_is_refused():
    data = packed(("abcXevil", b"x")).replace(b"abcXevil", b"abc\0evil")
    with pytest.raises(BadArchive):
        opened(data)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_are_refused(kind):
    info = zipfile.ZipInfo("link")
    info.external_attr = (kind | 0o777) << 16
    with pytest.raises(BadArchive, match="link or a device"):
        opened(packed((info, b"/etc/passwd")))


def test_encrypted_members_are_refused():
    data = bytearray(packed(("a", b"x")))
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 8] |= 1
    with pytest.raises(BadArchive, match="encrypted"):
        opened(bytes(data))


def test_too_many_members(monkeypatch):
    monkeypatch.setattr(unzip, "MEMBERS_MAX", 2)
    with pytest.raises(BadArchive, match="members"):
        opened(packed(("a", b""), ("b", b""), ("c", b"")))


def test_too_much_in_all(monkeypatch):
    monkeypatch.setattr(unzip, "UNPACKED_BYTES_MAX", 9)
    with pytest.raises(BadArchive, match="unpacks to 10 bytes"):
        opened(packed(("a", b"12345"), ("b", b"12345")))


def test_a_bomb_is_known_by_its_ratio(monkeypatch):
    monkeypatch.setattr(unzip, "RATIO_FREE_BYTES", 1000)
    with pytest.raises(BadArchive, match="200 times"):
        opened(packed(("zeros", bytes(1_000_000))))


def test_a_directory_that_claims_to_be_huge_is_not_read():
    data = bytearray(packed(("a", b"x")))
    struct.pack_into("<L", data, len(data) - 22 + 12, 0xFFFFFFF0)
    with pytest.raises(BadArchive, match="directory"):
        opened(bytes(data))


@pytest.mark.parametrize(
    ("count", "directory", "said"), [(10**9, 46, "members"), (1, 2**40, "directory"), (2**64 - 1, 2**64 - 1, "members")]
)
def test_the_large_form_is_bounded_too(count, directory, said):
    end64 = b"PK\x06\x06" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, count, count, directory, 0)
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, 0, 1)
    end = b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    with pytest.raises(BadArchive, match=said):
        opened(end64 + locator + end)


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"not a zip" * 100, b"PK\x05\x06", b"PK\x06\x07" + bytes(16) + b"PK\x05\x06" + bytes(18)]
)
def test_what_is_no_archive(data):
    with pytest.raises(BadArchive):
        opened(data)


async def test_damage_found_while_unpacking_is_an_aws_error():
    data = bytearray(packed(("a", b"some text that is long enough" * 20)))
    data[40] ^= 0xFF
    with pytest.raises(AwsError) as caught:
        await content(bytes(data))
    assert caught.value.code == "IncompleteBody"


async def test_a_member_never_yields_more_than_it_declares():
    data = bytearray(packed(("a", b"x" * 5000)))
    entry = data.rindex(b"PK\x01\x02")
    struct.pack_into("<L", data, entry + 24, 10)
    with pytest.raises(AwsError):
        await content(bytes(data))


WHOLE = packed(("a.txt", b"hello world" * 30), ("b/c", b"x" * 300))


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
async def test_bytes_changed_at_random_never_raise_anything_else(changes):
    data = bytearray(WHOLE)
    for place, value in changes:
        data[place] = value
    try:
        archive, members = opened(bytes(data))
    except BadArchive:
        return
    for member in members:
        stream = MemberStream(archive, member)
        total = 0
        try:
            async for chunk in stream.chunks():
                total += len(chunk)
        except AwsError:
            continue
        assert total == stream.length
