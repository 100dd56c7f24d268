"""Which S3 operation a request names: a table computed from the model, and the rules of paths and virtual hosts.

S3 tells operations apart by method, by what the URL addresses (service, bucket, object), by sub-resource markers in the
query (`?acl`), and, where those agree, by required query parameters and headers. Knows no handler and no signature.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from opentrail.errors import AwsError
from opentrail.model.shapes import Level, Operation, ServiceModel
from opentrail.wire.presigned import read_presigned

KEY_BYTES_MAX = 1_024
"""UTF-8 bytes of an object key. Source: S3 user guide, object key names."""
HOST_LENGTH_MAX = 253
"""Characters of a DNS name; a longer Host names no bucket."""
HOSTS_REMEMBERED_MAX = 4_096
"""Host headers whose meaning is kept."""
TWINS_PREFERRED = {"ListDirectoryBuckets": "ListBuckets"}
"""Operations the table cannot tell from another that is meant far more often; the first is told by its signing name."""
VALUED_MARKERS = ("list-type", "select-type")
"""Literal query parameters that carry a value instead of naming a sub-resource."""
WEBSITE_MARKER = "website-endpoint"
"""Stands in the URIs of operations that no path and no query names: they are told by the host's label WEBSITE_LABEL."""
WEBSITE_LABEL = "s3-website"

_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}\Z")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AMAZON_HOST = re.compile(
    r"(?:(?P<bucket>.+)\.)?s3(?:[.-](?:dualstack\.|fips\.)*(?P<region>(?!website|control)[a-z0-9-]+))?\.amazonaws\.com(?:\.cn)?\Z"
)
_WEBSITE = re.compile(r"(?P<bucket>[a-z0-9][a-z0-9._-]*)\.s3-website(?:[.-][a-z0-9-]+)?")


@dataclass(slots=True)
class _Candidate:
    """One operation, with what a request must have beyond method, level and marker."""

    operation: Operation
    literals: Mapping[str, str]
    queries: tuple[str, ...]
    headers: tuple[str, ...]

    def matches(self, query: Mapping[str, str], headers: Mapping[str, str], some: bool = False) -> bool:
        """Whether the request has all of it. With `some`, one of several required parameters is enough: UploadPart
        without a part number is a bad UploadPart, not a PutObject."""
        for name, value in self.literals.items():
            if value and query.get(name) != value:
                return False
        if self.queries and not (any if some else all)(name in query for name in self.queries):
            return False
        return all(name in headers for name in self.headers)


@dataclass(slots=True)
class _Level:
    """The operations of one method on one level."""

    plain: list[_Candidate] = field(default_factory=list)
    marked: dict[str, list[_Candidate]] = field(default_factory=dict)
    simple: Operation | None = None
    """The one that needs nothing of query and headers."""
    telling_headers: frozenset[str] = frozenset()
    """Headers that make it another one."""


class S3Table:
    """Built once from the S3 model."""

    def __init__(self, service: ServiceModel) -> None:
        self._levels: dict[tuple[str, Level], _Level] = {}
        self._paths: dict[tuple[str, str], Operation] = {}
        self.markers: frozenset[str] = frozenset()
        self.website: dict[str, Operation] = {}
        """What a website endpoint has, by method."""
        for operation in service.operations.values():
            self._add(operation, service)
        for level in self._levels.values():
            _settle(level)
        self.directory_buckets = service.operations["ListDirectoryBuckets"]

    def _add(self, operation: Operation, service: ServiceModel) -> None:
        path, _, literal = operation.uri.partition("?")
        if literal == WEBSITE_MARKER:
            self.website[operation.method] = operation
            return
        if "{" not in path and path != "/":
            self._paths[operation.method, path] = operation
            return
        if operation.name in TWINS_PREFERRED or _has_newer_twin(operation, service):
            return
        literals = dict(part.partition("=")[::2] for part in literal.split("&") if part)
        members = [one for one in operation.input.members.values() if one.required] if operation.input else []
        candidate = _Candidate(
            operation,
            literals,
            tuple(one.wire_name for one in members if one.location == "querystring"),
            tuple(one.wire_name.lower() for one in members if one.location == "header"),
        )
        level: Level = "object" if "{Key" in path else "bucket" if "{Bucket" in path else "service"
        for where in ("bucket", "object") if operation.method == "OPTIONS" else (level,):
            entry = self._levels.setdefault((operation.method, where), _Level())
            marker = next(iter(literals), "")
            (entry.marked.setdefault(marker, []) if marker else entry.plain).append(candidate)
        self.markers |= {name for name in literals if name not in VALUED_MARKERS}

    def at_path(self, method: str, path: str) -> Operation | None:
        """An operation with a path of its own."""
        return self._paths.get((method, path))

    def find(self, method: str, level: Level, query: str, headers: Mapping[str, str]) -> Operation:
        """The operation; AwsError MethodNotAllowed if there is none."""
        entry = self._levels.get((method, level))
        if entry is None:
            raise AwsError("MethodNotAllowed", status=405, Method=method, ResourceType=level.upper())
        if not query or _says_nothing(query):
            simple = entry.simple
            if simple is not None and entry.telling_headers.isdisjoint(headers):
                return simple
        return self._choose(entry, method, parse_query(query), headers)

    def _choose(self, entry: _Level, method: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Operation:
        found = [name for name in query if name in self.markers]
        if len(found) > 1:
            names = ", ".join(sorted(found))
            raise AwsError(
                "InvalidArgument", f"Conflicting query string parameters: {names}", 400, ResourceType="QUERY"
            )
        if found and found[0] not in entry.marked:
            raise AwsError("MethodNotAllowed", status=405, Method=method, ResourceType=found[0].upper())
        if found:
            candidates = entry.marked[found[0]]
            return next((one for one in candidates if one.matches(query, headers)), candidates[-1]).operation
        for name in VALUED_MARKERS:
            for one in entry.marked.get(name, ()) if name in query else ():
                if one.matches(query, headers):
                    return one.operation
        for one in entry.plain:
            if one.matches(query, headers, some=True):
                return one.operation
        raise AwsError("MethodNotAllowed", status=405, Method=method, ResourceType="OBJECT")


def _settle(level: _Level) -> None:
    """Order candidates from the most demanding to the least."""
    for candidates in (level.plain, *level.marked.values()):
        candidates.sort(key=lambda one: (-len(one.queries), -len(one.headers), one.operation.name))
    if level.plain and not level.plain[-1].queries and not level.plain[-1].headers:
        level.simple = level.plain[-1].operation
    level.telling_headers = frozenset(name for one in level.plain for name in one.headers)


def _has_newer_twin(operation: Operation, service: ServiceModel) -> bool:
    """GetBucketLifecycle and its like: deprecated, with the same method and URI as one that is not."""
    if not operation.deprecated:
        return False
    return any(
        other.uri == operation.uri and other.method == operation.method and not other.deprecated
        for other in service.operations.values()
    )


def _says_nothing(query: str) -> bool:
    """Only parameters that never choose an operation: those of a signature, and the SDKs' `x-id`."""
    return read_presigned(query) is not None or all(part.startswith(("X-Amz-", "x-id=")) for part in query.split("&"))


@lru_cache(maxsize=2)
def s3_table(service: ServiceModel) -> S3Table:
    """The table of the S3 model."""
    return S3Table(service)


def parse_query(query: str) -> dict[str, str]:
    """Names and values, decoded; the first of a repeated name. AwsError InvalidURI for what is no UTF-8."""
    parsed: dict[str, str] = {}
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            parsed.setdefault(decode(name.replace("+", " ")), decode(value.replace("+", " ")))
    return parsed


def decode(text: str) -> str:
    """Percent-decoded UTF-8. AwsError InvalidURI for broken escapes, other encodings and NUL.

    NUL is refused although S3's rules do not name it: no XML answer could list such a key.
    """
    if "%" in text or not text.isascii():
        try:
            if _BROKEN_ESCAPE.search(text):
                raise AwsError("InvalidURI", status=400)
            text = unquote_to_bytes(text.encode("latin-1")).decode()
        except UnicodeError:
            raise AwsError("InvalidURI", status=400) from None
    if "\0" in text:
        raise AwsError("InvalidURI", status=400)
    return text


def split_path(path: str, host_bucket: str) -> tuple[str, str]:
    """(bucket, key) of a raw path: the key keeps its slashes, dots and empty segments as they are.

    AwsError InvalidURI, InvalidBucketName or KeyTooLongError. A bucket's characters are checked here because one with a
    slash in it would be taken for another bucket's object in a policy.
    """
    if not path.startswith("/"):
        raise AwsError("InvalidURI", status=400)
    if host_bucket:
        bucket, key = host_bucket, path[1:]
    else:
        bucket, _, key = path[1:].partition("/")
        if not bucket and not key and path == "/":
            return "", ""
        bucket = decode(bucket)
    if _BUCKET.match(bucket) is None:
        raise AwsError("InvalidBucketName", status=400, BucketName=bucket)
    key = decode(key)
    if len(key) * 4 > KEY_BYTES_MAX and (size := len(key.encode())) > KEY_BYTES_MAX:
        raise AwsError("KeyTooLongError", status=400, Size=str(size), MaxSizeAllowed=str(KEY_BYTES_MAX))
    return bucket, key


@lru_cache(maxsize=HOSTS_REMEMBERED_MAX)
def bucket_of_host(host: str, domain: str) -> tuple[str, str]:
    """(bucket, region) that a Host header names; both empty for path style."""
    name = host.lower()
    if ":" in name:
        name = name.rpartition(":")[0] if name.rpartition(":")[2].isdigit() else name
    if len(name) > HOST_LENGTH_MAX:
        return "", ""
    name = name.removesuffix(".")
    for suffix in _suffixes(domain):
        if name.endswith(suffix):
            bucket = name.removesuffix(suffix)
            return ("" if bucket == "s3" else bucket), ""
    found = _AMAZON_HOST.match(name)
    return (found["bucket"] or "", found["region"] or "") if found else ("", "")


@lru_cache(maxsize=HOSTS_REMEMBERED_MAX)
def website_of_host(host: str, domain: str) -> str:
    """The bucket whose website a Host header names: `BUCKET.s3-website-REGION.amazonaws.com`, or the same (the region may
    be left out) before `localhost` or the server's own domain. Empty for any other host."""
    name = host.lower().partition(":")[0].removesuffix(".")
    if len(name) > HOST_LENGTH_MAX:
        return ""
    for suffix in (".amazonaws.com", ".amazonaws.com.cn", *_suffixes(domain)):
        found = _WEBSITE.fullmatch(name.removesuffix(suffix)) if name.endswith(suffix) else None
        if found is not None:
            return found["bucket"]
    return ""


def _suffixes(domain: str) -> Iterable[str]:
    if domain:
        yield "." + domain.lower()
    yield ".localhost"
