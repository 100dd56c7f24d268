"""Configurations of which a bucket has up to a thousand of a kind, each under an id: kept, found, listed, checked.

The kinds are inventory, analytics, metrics and intelligent-tiering. A bucket's row names a kind as soon as it has one of
it, so that nothing is looked for that does not exist. Source: API reference of the four's Put, Get, Delete and List;
which code a fault gets: S3's answers as others recorded them. Knows no kind by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import CONFIGS, Bucket, ConfigDocument
from opentrail.rows.s3_metering import touch_metered
from opentrail.service import Service
from opentrail.services.s3.documents import malformed, name_kind, unname_kind
from opentrail.services.s3.listing import make_token, read_token
from opentrail.services.s3.objects import bucket_of
from opentrail.state import Unit

CONFIGURATIONS_MAX = 1_000
"""Configurations of one kind that a bucket may have."""
PAGE_MAX = 100
"""Configurations of one answer."""
ID_CHARS_MAX = 64
TAGS_MAX = 10
"""Tags that one filter may ask for."""
PREFIX_BYTES_MAX = 1_024
_ID = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)


class Kind(NamedTuple):
    """One kind of configuration: the name it is kept and described under, its word in the names of operations.

    `metered`: requests are counted for it, so the followers that count must hear of changes."""

    name: str
    word: str
    metered: bool = False

    @property
    def member(self) -> str:
        return f"{self.word}Configuration"


def register_rest(family: Service, kind: Kind, deleting: str) -> None:
    """Build what is the same for every kind: Get, List and Delete. `deleting` says in the docs what the last one means.

    A kind builds its own Put, which checks."""

    @family.operation(f"GetBucket{kind.member}")
    async def get(call: Call, unit: Unit) -> Shape:
        return {kind.member: msgspec.json.decode(_found(call, unit, kind).document)}

    @family.operation(f"ListBucket{kind.member}s")
    async def list_all(call: Call, unit: Unit) -> Shape:
        return _page(call, unit, kind)

    @family.operation(f"DeleteBucket{kind.member}")
    async def delete(call: Call, unit: Unit) -> Shape:
        _delete(call, unit, kind)
        return {}

    get.__doc__ = f"One {kind.name} configuration."
    list_all.__doc__ = f"The {kind.name} configurations of a bucket, a hundred a page."
    delete.__doc__ = deleting


def put_configuration(call: Call, unit: Unit, kind: Kind, document: Shape) -> None:
    """Keep a checked configuration under the id of the request; replaces the one that has it."""
    bucket, name = bucket_of(call, unit), config_id(call)
    if CONFIGS.get(unit, bucket.name, kind.name, name) is None:
        _check_room(unit, bucket, kind)
    text = msgspec.json.encode(document).decode()
    CONFIGS.put(unit, ConfigDocument(text, unit.now), bucket.name, kind.name, name)
    name_kind(unit, bucket, kind.name)
    if kind.metered:
        touch_metered(unit, bucket.name)


def _check_room(unit: Unit, bucket: Bucket, kind: Kind) -> None:
    if len(CONFIGS.page(unit, bucket.name, kind.name, limit=CONFIGURATIONS_MAX)) < CONFIGURATIONS_MAX:
        return
    message = "You are attempting to create a new configuration but have already reached the 1,000-configuration limit."
    raise AwsError("TooManyConfigurations", message, 400)


def _delete(call: Call, unit: Unit, kind: Kind) -> None:
    """Remove one; the last of its kind leaves the bucket's row, too."""
    _found(call, unit, kind)
    bucket = bucket_of(call, unit)
    CONFIGS.delete(unit, bucket.name, kind.name, config_id(call))
    if kind.metered:
        touch_metered(unit, bucket.name)
    if not CONFIGS.page(unit, bucket.name, kind.name, limit=1):
        unname_kind(unit, bucket, kind.name)


def config_id(call: Call) -> str:
    """The id in the request's query."""
    name = call.input.get("Id")
    if not name:
        raise AwsError("InvalidArgument", "Missing required parameter: id", 400, ArgumentName="id", ArgumentValue="")
    return str(name)


def _found(call: Call, unit: Unit, kind: Kind) -> ConfigDocument:
    bucket, name = bucket_of(call, unit), config_id(call)
    found = CONFIGS.get(unit, bucket.name, kind.name, name) if kind.name in bucket.configured else None
    if found is None:
        raise AwsError("NoSuchConfiguration", "The specified configuration does not exist.", 404)
    return found


def _page(call: Call, unit: Unit, kind: Kind) -> Shape:
    """The output of a List, by id."""
    bucket, token = bucket_of(call, unit), call.input.get("ContinuationToken")
    after = CONFIGS.key(bucket.name, kind.name, read_token(token)) if token is not None else b""
    rows = CONFIGS.page(unit, bucket.name, kind.name, after=after, limit=PAGE_MAX + 1)
    shown = rows[:PAGE_MAX]
    output: Shape = {"IsTruncated": len(rows) > PAGE_MAX}
    if shown:
        output[f"{kind.member}List"] = [msgspec.json.decode(row.document) for _, row in shown]
    if token is not None:
        output["ContinuationToken"] = token
    if output["IsTruncated"]:
        output["NextContinuationToken"] = make_token(CONFIGS.parts(shown[-1][0])[-1])
    return output


def all_configurations(unit: Unit, bucket: Bucket, kind: str) -> Iterator[tuple[str, Shape]]:
    """(id, document) of all a bucket has of a kind, by id."""
    if kind in bucket.configured:
        for key, row in CONFIGS.all(unit, bucket.name, kind):
            yield key[-1], msgspec.json.decode(row.document)


def given_document(call: Call, kind: Kind, mismatch: AwsError | None = None) -> Shape:
    """The document of a Put, with an id that is well made and the request's; raises AwsError (`mismatch` if it is not)."""
    given, name = call.input.get(kind.member), config_id(call)
    if not given or not given.get("Id"):
        raise malformed()
    if given["Id"] != name:
        raise mismatch or malformed()
    if len(name) > ID_CHARS_MAX or _ID.fullmatch(name) is None:
        fields = {"ArgumentName": "id", "ArgumentValue": name[:ID_CHARS_MAX]}
        message = "The ID must be at most 64 characters, which can be letters, numbers, periods, dashes or underscores."
        raise AwsError("InvalidArgument", message, 400, headers=None, **fields)
    document: Shape = given
    return document


def check_filter(given: Shape | None, predicates: Sequence[str] = ("Prefix", "Tag")) -> None:
    """A filter has one predicate, or at least two within And. Raises AwsError MalformedXML, InvalidArgument."""
    if given is None:
        return
    if len(given) != 1 or not given.keys() <= {*predicates, "And"}:
        raise malformed()
    inner = given.get("And", given)
    tags = inner.get("Tags", [inner["Tag"]] if "Tag" in inner else [])
    if "And" in given and len(tags) + len(inner.keys() - {"Tags"}) < 2:
        raise malformed()
    if any(not tag.get("Key") or "Value" not in tag for tag in tags) or len({tag["Key"] for tag in tags}) < len(tags):
        raise malformed()
    if len(tags) > TAGS_MAX:
        raise AwsError("InvalidArgument", f"A filter can have at most {TAGS_MAX} tags.", 400)
    check_prefix(inner.get("Prefix", ""))


def check_prefix(prefix: str) -> None:
    if len(prefix.encode("utf-8", "surrogatepass")) > PREFIX_BYTES_MAX or "\0" in prefix:
        raise AwsError("InvalidArgument", f"A prefix can have at most {PREFIX_BYTES_MAX} bytes.", 400)
