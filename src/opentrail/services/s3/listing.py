"""ListObjects, ListObjectsV2: a walk over keys that seeks past everything it does not show.

Keys sort as UTF-8 bytes. With a delimiter, a common prefix costs one seek however many keys lie below it.
"""

from __future__ import annotations

import base64
import binascii
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from opentrail.access.acl import canonical_id
from opentrail.call import Call, Columns, Shape
from opentrail.errors import AwsError
from opentrail.ports import Key
from opentrail.rows.s3 import OBJECTS, Bucket
from opentrail.service import Service
from opentrail.services.s3.archive import restore_statuses
from opentrail.services.s3.objects import bucket_of
from opentrail.state import Row, Unit

KEYS_MAX = 1_000
"""Entries of one page."""
PAGE_FIRST, PAGE_GROWTH = 8, 16
"""Rows fetched at once: few while common prefixes make the walk jump, more and more when it goes straight on."""
SAFE = "/-_.~*"
"""Characters that `encoding-type=url` leaves alone, beside letters and digits."""
BEHIND_ALL = b"\xff"
"""Sorts behind every continuation of a key, since UTF-8 has no such byte."""

family = Service("s3")


NO_CHECKSUMS = msgspec.Raw(b"\x80")
"""msgpack's empty map."""


class Listed(Row, frozen=True, gc=False):
    """What a listing shows of an object: read out of its row of `rows.s3.ObjectVersion`, the rest passed over."""

    modified: float
    owner: str
    etag: str = ""
    size: int = 0
    storage_class: str = "STANDARD"
    checksums: msgspec.Raw = NO_CHECKSUMS
    """The map as it lies there: only its keys are shown, which are mostly those of the neighbours."""
    checksum_type: str = ""
    restored_until: float = 0.0


_PLAIN = (string.ascii_letters + string.digits + SAFE).encode()
_read_rows = msgspec.msgpack.Decoder(list[Listed]).decode
_read_checksums = msgspec.msgpack.Decoder(dict[str, str]).decode
_MAP_OF_ONE, _SHORT_TEXT, _SHORT_TEXT_LENGTH = 0x81, 0xA0, 0x1F
_QUOTED = '"|"'
_ARRAY = b"\xdd"
"""msgpack's head of a long array; its length follows in four bytes."""


@dataclass(slots=True)
class Page:
    """One page: keys with their rows, common prefixes, and the last of both when there is more behind it."""

    names: list[str] = field(default_factory=list)
    rows: list[Listed] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    next_after: str = ""

    @property
    def count(self) -> int:
        return len(self.names) + len(self.prefixes)


class Chunk(NamedTuple):
    """Neighbours: keys with the bytes of their rows, or common prefixes, which have none."""

    keys: Sequence[Key]
    values: Sequence[bytes]


def take_page(unit: Unit, bucket: Bucket, prefix: str, delimiter: str, after: str, limit: int) -> Page:
    """Up to `limit` entries greater than `after`."""
    page = Page()
    if limit == 0:
        return page
    keys: list[Key] = []
    values: list[bytes] = []
    prefixes: list[Key] = []
    root, last = OBJECTS.key(bucket.name, ""), b""
    for those, rows in _chunks(unit, bucket, prefix, delimiter, after, limit + 1):
        room = limit - len(keys) - len(prefixes)
        shown = those[:room]
        last = shown[-1] if room else last
        if rows:
            keys += shown
            values += rows[:room]
        else:
            prefixes += shown
        if len(those) > room:
            (page.next_after,) = _names([last], root)
            break
    page.names, page.prefixes = _names(keys, root), _names(prefixes, root)
    page.rows = _read_rows(b"".join((_ARRAY, len(values).to_bytes(4, "big"), *values)))
    return page


def _names(keys: Sequence[Key], root: Key) -> list[str]:
    """What stands behind the root in each of the keys. Names are free of the NUL that ends the root."""
    return b"".join(keys).decode("utf-8", "surrogatepass").split(root.decode())[1:]


def _chunks(unit: Unit, bucket: Bucket, prefix: str, delimiter: str, after: str, most: int) -> Iterator[Chunk]:
    """What a page shows and what may follow it, in order; `most` entries at most."""
    root, start = OBJECTS.key(bucket.name, ""), OBJECTS.key(bucket.name, prefix)
    mark = delimiter.encode("utf-8", "surrogatepass")
    position = root + after.encode("utf-8", "surrogatepass") if after else b""
    if position.startswith(start) and (common := _common(position, start, mark)):
        position = common + BEHIND_ALL
    size = PAGE_FIRST if mark else most
    while most > 0:
        size = min(most, size)
        keys, values = unit.scan_columns(start, position, size)
        plain = _count_plain(keys, start, mark)
        if plain:
            yield Chunk(keys[:plain], values[:plain])
            position, most = keys[plain - 1], most - plain
        if plain < len(keys):
            group = _common(keys[plain], start, mark)
            others = unit.group_starts(start, group + BEHIND_ALL, mark, most - 1)
            prefixes = [group, *[_common(key, start, mark) for key in others]]
            yield Chunk(prefixes, ())
            position, most, size = prefixes[-1] + BEHIND_ALL, most - len(prefixes), PAGE_FIRST
        elif len(keys) < size:
            return
        else:
            size *= PAGE_GROWTH


def _count_plain(keys: Sequence[Key], start: Key, mark: bytes) -> int:
    """How many keys there are before the first that is rolled up. Mostly all, and one look at all of them tells: what
    they begin with is cut out, and NUL, which no name has, keeps them apart."""
    if not mark or mark not in b"".join(keys).replace(start, b"\0"):
        return len(keys)
    return next((place for place, key in enumerate(keys) if _common(key, start, mark)), len(keys))


def _common(key: Key, start: Key, mark: bytes) -> Key:
    """The common prefix that a key is rolled up into, as a key; empty when it stands for itself."""
    found = key.find(mark, len(start)) if mark else -1
    return b"" if found < 0 else key[: found + len(mark)]


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
        return quote(name, safe=SAFE, errors="surrogatepass") if self.encoded else name

    def all(self, names: list[str]) -> list[str]:
        """Each of them; most have nothing to encode, and one look at all of them tells."""
        if not self.encoded or not "".join(names).encode("utf-8", "surrogatepass").translate(None, _PLAIN):
            return names
        return [self(name) for name in names]


@family.operation("ListObjectsV2")
async def list_objects_v2(call: Call, unit: Unit) -> Shape:
    """List keys, continuing behind an opaque token."""
    given = call.input
    bucket = bucket_of(call, unit)
    spell, limit = Spelling(call), page_limit(call)
    token = given.get("ContinuationToken")
    after = read_token(token) if token is not None else given.get("StartAfter", "")
    prefix, delimiter = given.get("Prefix", ""), given.get("Delimiter", "")
    page = take_page(unit, bucket, prefix, delimiter, after, limit)
    output = _listing(call, bucket, page, spell, owner=bool(given.get("FetchOwner")))
    output["KeyCount"] = page.count
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
    page = take_page(unit, bucket, prefix, delimiter, marker, limit)
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
        "Contents": _contents(call, page, spell, owner),
        "CommonPrefixes": Columns({"Prefix": spell.all(page.prefixes)}),
    }
    if given.get("Delimiter"):
        output["Delimiter"] = spell(given["Delimiter"])
    if spell.encoded:
        output["EncodingType"] = "url"
    return output


def _contents(call: Call, page: Page, spell: Spelling, owner: bool) -> Columns:
    rows = page.rows
    columns: dict[str, Sequence[Any]] = {
        "Key": spell.all(page.names),
        "LastModified": [row.modified for row in rows],
        "ETag": _quoted([row.etag for row in rows]),
        "Size": [row.size for row in rows],
        "StorageClass": [row.storage_class for row in rows],
    }
    algorithms = algorithms_of([row.checksums for row in rows])
    if any(algorithms):
        columns["ChecksumAlgorithm"] = algorithms
        columns["ChecksumType"] = [
            row.checksum_type or "FULL_OBJECT" if names else None for row, names in zip(rows, algorithms, strict=True)
        ]
    if owner:
        people = {account: {"ID": canonical_id(account)} for account in {row.owner for row in rows}}
        columns["Owner"] = [people[row.owner] for row in rows]
    if statuses := restore_statuses(call, rows):
        columns["RestoreStatus"] = statuses
    return Columns(columns)


def _quoted(texts: list[str]) -> list[str]:
    """Each of the texts, hexadecimal digits and a hyphen at most, in quotes; together, which costs half as much."""
    return f'"{_QUOTED.join(texts)}"'.split(_QUOTED[1]) if texts else []


def algorithms_of(maps: list[msgspec.Raw]) -> list[list[str] | None]:
    """The keys of each map, None for an empty one. Mostly all are of the same one key, and one search through all of
    them tells: how such a map begins is found in no other, since its first byte is in no short ASCII text or its head."""
    first = bytes(maps[0]) if maps else b""
    if first[:1] == bytes((_MAP_OF_ONE,)) and first[1] & ~_SHORT_TEXT_LENGTH == _SHORT_TEXT:
        head = first[: 2 + (first[1] & _SHORT_TEXT_LENGTH)]
        if b"".join(maps).count(head) == len(maps):
            return [[head[2:].decode()]] * len(maps)
    return [[*_read_checksums(each)] or None for each in maps]


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
