"""ListObjects, ListObjectsV2: a walk over keys that seeks past everything it does not show.

Keys sort as UTF-8 bytes. With a delimiter, a common prefix costs one seek however many keys lie below it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from opentrail.access.acl import canonical_id
from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import OBJECTS, Bucket
from opentrail.service import Service
from opentrail.services.s3.archive import add_restore_status
from opentrail.services.s3.objects import bucket_of
from opentrail.state import Row, Unit

KEYS_MAX = 1_000
"""Entries of one page."""
PAGE_FIRST, PAGE_MAX, PAGE_GROWTH = 4, 1_001, 8
"""Rows fetched at once: few while common prefixes make the walk jump, more and more when it goes straight on."""
BEHIND_ALL = b"\xff"
"""Sorts behind every continuation of a key, since UTF-8 has no such byte."""

family = Service("s3")


class Listed(Row, frozen=True):
    """What a listing shows of an object: read out of its row of `rows.s3.ObjectVersion`, the rest passed over."""

    modified: float
    owner: str
    etag: str = ""
    size: int = 0
    storage_class: str = "STANDARD"
    checksums: dict[str, str] = msgspec.field(default_factory=dict)
    checksum_type: str = ""
    restored_until: float = 0.0


class Entry(NamedTuple):
    """One line of a listing: a key with its row, or a common prefix without one."""

    name: str
    row: Listed | None = None


_read_row = msgspec.msgpack.Decoder(Listed).decode


def entries(
    unit: Unit, bucket: Bucket, prefix: str, delimiter: str, after: str, most: int = KEYS_MAX
) -> Iterator[Entry]:
    """Entries greater than `after`, in order. Endless as the bucket is; the caller stops, likely behind `most`."""
    root = OBJECTS.key(bucket.name, "")
    prefix_key = OBJECTS.key(bucket.name, prefix)
    position = OBJECTS.key(bucket.name, after) if after else b""
    rolled = _common(after, prefix, delimiter)
    if rolled:
        position = root + rolled.encode("utf-8", "surrogatepass") + BEHIND_ALL
    straight = min(most + 1, PAGE_MAX)
    size = min(straight, PAGE_FIRST) if delimiter else straight
    while True:
        rows = unit.scan(prefix_key, position, size)
        jumped = False
        for key, found in rows:
            position = key
            name = key[len(root) :].decode("utf-8", "surrogatepass")
            common = _common(name, prefix, delimiter)
            if common:
                yield Entry(common)
                position = root + common.encode("utf-8", "surrogatepass") + BEHIND_ALL
                jumped = True
                break
            yield Entry(name, _read_row(found.value))
        if not jumped and len(rows) < size:
            return
        size = min(straight, PAGE_FIRST if jumped else size * PAGE_GROWTH)


def _common(name: str, prefix: str, delimiter: str) -> str:
    """The common prefix a key is rolled up into; empty when it stands for itself."""
    if not delimiter or not name.startswith(prefix):
        return ""
    found = name.find(delimiter, len(prefix))
    return "" if found < 0 else name[: found + len(delimiter)]


@dataclass(slots=True)
class Page:
    """One page: what it shows, and the last entry when there is more behind it."""

    contents: list[Entry]
    prefixes: list[str]
    next_after: str


def take_page(walk: Iterator[Entry], limit: int) -> Page:
    contents: list[Entry] = []
    prefixes: list[str] = []
    last = ""
    if limit == 0:
        return Page([], [], "")
    for count, entry in enumerate(walk):
        if count == limit:
            return Page(contents, prefixes, last)
        last = entry.name
        if entry.row is None:
            prefixes.append(entry.name)
        else:
            contents.append(entry)
    return Page(contents, prefixes, "")


def page_limit(call: Call, member: str = "MaxKeys") -> int:
    """How many entries are asked for, at most KEYS_MAX."""
    asked = call.input.get(member, KEYS_MAX)
    if asked < 0:
        message = f"Argument {_query_name(member)} must be an integer between 0 and 2147483647"
        raise AwsError("InvalidArgument", message, 400, ArgumentName=_query_name(member), ArgumentValue=str(asked))
    return int(min(asked, KEYS_MAX))


def _query_name(member: str) -> str:
    return {"MaxKeys": "maxKeys", "MaxUploads": "max-uploads", "MaxParts": "max-parts"}.get(member, member)


class Spelling:
    """How keys are written: as they are, or percent-encoded for clients that ask (`encoding-type=url`)."""

    def __init__(self, call: Call) -> None:
        kind = call.input.get("EncodingType")
        if kind not in (None, "url"):
            message = "Invalid Encoding Method specified in Request"
            raise AwsError("InvalidArgument", message, 400, ArgumentName="encoding-type", ArgumentValue=str(kind))
        self.encoded = kind == "url"

    def __call__(self, name: str) -> str:
        return quote(name, safe="/-_.~*", errors="surrogatepass") if self.encoded else name


@family.operation("ListObjectsV2")
async def list_objects_v2(call: Call, unit: Unit) -> Shape:
    """List keys, continuing behind an opaque token."""
    given = call.input
    bucket = bucket_of(call, unit)
    spell, limit = Spelling(call), page_limit(call)
    token = given.get("ContinuationToken")
    after = read_token(token) if token is not None else given.get("StartAfter", "")
    prefix, delimiter = given.get("Prefix", ""), given.get("Delimiter", "")
    page = take_page(entries(unit, bucket, prefix, delimiter, after, limit), limit)
    output = _listing(call, bucket, page, spell, owner=bool(given.get("FetchOwner")))
    output["KeyCount"] = len(page.contents) + len(page.prefixes)
    output["MaxKeys"] = limit
    if token is not None:
        output["ContinuationToken"] = token
    if "StartAfter" in given:
        output["StartAfter"] = spell(given["StartAfter"])
    if page.next_after:
        output["NextContinuationToken"] = make_token(page.next_after)
    return output


@family.operation("ListObjects")
async def list_objects(call: Call, unit: Unit) -> Shape:
    """List keys, continuing behind a marker."""
    given = call.input
    bucket = bucket_of(call, unit)
    spell, limit = Spelling(call), page_limit(call)
    marker = given.get("Marker", "")
    prefix, delimiter = given.get("Prefix", ""), given.get("Delimiter", "")
    page = take_page(entries(unit, bucket, prefix, delimiter, marker, limit), limit)
    output = _listing(call, bucket, page, spell, owner=True)
    output["Marker"] = spell(marker)
    output["MaxKeys"] = limit
    if page.next_after and delimiter:
        output["NextMarker"] = spell(page.next_after)
    return output


def _listing(call: Call, bucket: Bucket, page: Page, spell: Spelling, *, owner: bool) -> Shape:
    """What both versions of the operation answer."""
    given = call.input
    output: Shape = {
        "IsTruncated": bool(page.next_after),
        "Name": bucket.name,
        "Prefix": spell(given.get("Prefix", "")),
        "Contents": [_content(entry, spell, owner) for entry in page.contents],
        "CommonPrefixes": [{"Prefix": spell(prefix)} for prefix in page.prefixes],
    }
    add_restore_status(call, zip((entry.row for entry in page.contents), output["Contents"], strict=True))
    if given.get("Delimiter"):
        output["Delimiter"] = spell(given["Delimiter"])
    if spell.encoded:
        output["EncodingType"] = "url"
    return output


def _content(entry: Entry, spell: Spelling, owner: bool) -> dict[str, Any]:
    row = entry.row
    assert row is not None
    content: dict[str, Any] = {
        "Key": spell(entry.name),
        "LastModified": row.modified,
        "ETag": f'"{row.etag}"',
        "Size": row.size,
        "StorageClass": row.storage_class,
    }
    if row.checksums:
        content["ChecksumAlgorithm"] = list(row.checksums)
        content["ChecksumType"] = row.checksum_type or "FULL_OBJECT"
    if owner:
        content["Owner"] = {"ID": canonical_id(row.owner)}
    return content


def make_token(after: str) -> str:
    """An opaque token that says where the next page starts."""
    return base64.urlsafe_b64encode(b"1" + after.encode("utf-8", "surrogatepass")).decode("ascii")


def read_token(token: str) -> str:
    """What `make_token` hid; raises AwsError("InvalidArgument") for anything else."""
    after = _hidden(token)
    if after is None:
        message = "The continuation token provided is incorrect"
        raise AwsError("InvalidArgument", message, 400, ArgumentName="continuation-token")
    return after


def _hidden(token: str) -> str | None:
    try:
        data = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        return data[1:].decode("utf-8") if data[:1] == b"1" else None
    except (binascii.Error, UnicodeError):
        return None
