"""The CORS rules of a bucket: the document, and what the rules say to a request from another origin.

`cross_origin` is called for every answer to a request that names an Origin, refusals included; other requests never come
here. Source: S3 user guide, "Using cross-origin resource sharing (CORS)"; API reference, PutBucketCors; S3's answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS
from opentrail.service import Service
from opentrail.services.s3.documents import document_text, drop_document, malformed, put_document, read_document
from opentrail.services.s3.objects import bucket_of
from opentrail.services.s3.required_digest import require_digest
from opentrail.state import Unit

KIND = "cors"
"""The kind of the bucket's document."""
RULES_MAX = 100
ID_CHARS_MAX = 255
METHODS = frozenset({"GET", "PUT", "POST", "DELETE", "HEAD"})
DOCUMENTS_CACHED = 256
HEADERS_ASKED_MAX = 100
"""Names in Access-Control-Request-Headers that are looked at; with more, no rule fits."""
VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"

family = Service("s3")


class Rule(NamedTuple):
    """One rule, ready to be matched."""

    origins: tuple[tuple[str, re.Pattern[str]], ...]
    """As written, and as a pattern."""
    methods: tuple[str, ...]
    headers: tuple[re.Pattern[str], ...]
    exposed: tuple[str, ...]
    max_age: int | None


class Match(NamedTuple):
    """The rule that lets a request in. `anybody`: it was let in by the origin `*`."""

    rule: Rule
    anybody: bool


@family.operation("PutBucketCors")
async def put_bucket_cors(call: Call, unit: Unit) -> Shape:
    """Replace the CORS rules of a bucket."""
    require_digest(call)
    bucket = bucket_of(call, unit)
    rules = (call.input.get("CORSConfiguration") or {}).get("CORSRules")
    if not rules:
        raise malformed()
    if len(rules) > RULES_MAX:
        raise _refused(f"The number of CORS rules should not exceed allowed limit of {RULES_MAX} rules.")
    for rule in rules:
        _check(rule)
    put_document(unit, bucket, KIND, {"CORSRules": rules})
    return {}


@family.operation("GetBucketCors")
async def get_bucket_cors(call: Call, unit: Unit) -> Shape:
    """The CORS rules of a bucket."""
    bucket = bucket_of(call, unit)
    document = read_document(unit, bucket, KIND)
    if not document:
        message = "The CORS configuration does not exist"
        raise AwsError("NoSuchCORSConfiguration", message, 404, BucketName=bucket.name)
    return document


@family.operation("DeleteBucketCors")
async def delete_bucket_cors(call: Call, unit: Unit) -> Shape:
    """Remove the CORS rules of a bucket; it is no error if there are none."""
    drop_document(unit, bucket_of(call, unit), KIND)
    return {}


def _refused(message: str) -> AwsError:
    return AwsError("InvalidRequest", message, 400)


def _check(rule: Mapping[str, Any]) -> None:
    """Raise AwsError for a rule that S3 does not take."""
    methods, origins = rule.get("AllowedMethods"), rule.get("AllowedOrigins")
    if not methods or not origins or len(rule.get("ID") or "") > ID_CHARS_MAX or (rule.get("MaxAgeSeconds") or 0) < 0:
        raise malformed()
    for method in methods:
        if method not in METHODS:
            raise _refused(f"Found unsupported HTTP method in CORS config. Unsupported method is {method}")
    for name, values in (("AllowedOrigin", origins), ("AllowedHeader", rule.get("AllowedHeaders") or ())):
        for value in values:
            if value.count("*") > 1:
                raise _refused(f'{name} "{value}" can not have more than one wildcard.')
    for value in rule.get("ExposeHeaders") or ():
        if "*" in value:
            ending = "contains wildcard. We currently do not support wildcard for ExposeHeader."
            raise _refused(f'ExposeHeader "{value}" {ending}')


@lru_cache(maxsize=DOCUMENTS_CACHED)
def read_rules(text: str) -> tuple[Rule, ...]:
    """The rules of a stored document, in order."""
    return tuple(
        Rule(
            tuple((origin, _pattern(origin)) for origin in rule["AllowedOrigins"]),
            tuple(rule["AllowedMethods"]),
            tuple(_pattern(header, re.IGNORECASE) for header in rule.get("AllowedHeaders") or ()),
            tuple(rule.get("ExposeHeaders") or ()),
            rule.get("MaxAgeSeconds"),
        )
        for rule in msgspec.json.decode(text)["CORSRules"]
    )


def _pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """One `*` stands for any text."""
    return re.compile(".*".join(re.escape(part) for part in text.split("*")), flags | re.DOTALL)


def find_match(rules: Sequence[Rule], origin: str, method: str, headers: Sequence[str] = ()) -> Match | None:
    """The first rule that lets in a request of this origin and method with these headers."""
    for rule in rules:
        if method not in rule.methods:
            continue
        if not all(any(pattern.fullmatch(name) for pattern in rule.headers) for name in headers):
            continue
        for written, pattern in rule.origins:
            if pattern.fullmatch(origin):
                return Match(rule, written == "*")
    return None


def asked_headers(call: Call) -> tuple[str, ...] | None:
    """The names in Access-Control-Request-Headers; None if there are too many."""
    given = call.request.headers.get("access-control-request-headers", "")
    names = tuple(name.strip().lower() for name in given.split(",", HEADERS_ASKED_MAX) if name.strip())
    return None if len(names) > HEADERS_ASKED_MAX else names


def rules_of(unit: Unit, name: str) -> tuple[Rule, ...]:
    """The rules of the bucket of that name; none if there is no such bucket or it has none."""
    bucket = BUCKETS.get(unit, name) if name else None
    text = "" if bucket is None else document_text(unit, bucket, KIND)
    return read_rules(text) if text else ()


def cross_origin(call: Call, unit: Unit, bucket: str, headers: dict[str, str]) -> None:
    """Add to an answer what its bucket's rules say to the request's origin."""
    rules = rules_of(unit, bucket)
    if not rules:
        return
    headers["Vary"] = VARY
    request = call.request
    preflight = call.operation.name == "PreflightRequest"
    if preflight and call.error is not None:
        return
    method = request.headers.get("access-control-request-method") or request.method
    asked = asked_headers(call) if preflight else ()
    match = None if asked is None else find_match(rules, request.headers["origin"], method, asked)
    if match is None:
        return
    _tell(match, request.headers["origin"], headers)
    if asked:
        headers["Access-Control-Allow-Headers"] = ", ".join(asked)


def _tell(match: Match, origin: str, headers: dict[str, str]) -> None:
    rule = match.rule
    headers["Access-Control-Allow-Origin"] = "*" if match.anybody else origin
    headers["Access-Control-Allow-Methods"] = ", ".join(rule.methods)
    if not match.anybody:
        headers["Access-Control-Allow-Credentials"] = "true"
    if rule.exposed:
        headers["Access-Control-Expose-Headers"] = ", ".join(rule.exposed)
    if rule.max_age is not None:
        headers["Access-Control-Max-Age"] = str(rule.max_age)
