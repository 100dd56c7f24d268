"""The website configuration of a bucket: the document, and what it says to a request. Serving is `website_serving`'s.

Source: S3 user guide, "Hosting a static website", "Syntax for specifying redirection rules"; API reference,
PutBucketWebsite; S3's answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.service import Service
from opentrail.services.s3.documents import drop_document, malformed, put_document, read_document
from opentrail.services.s3.objects import bucket_of
from opentrail.state import Unit

KIND = "website"
"""The kind of the bucket's document."""
RULES_MAX = 50
DOCUMENTS_CACHED = 256
PROTOCOLS = ("http", "https")
DEFAULT_STATUS = 301

family = Service("s3")


class Redirect(NamedTuple):
    """Where a routing rule sends a request. Empty members keep what the request has."""

    host: str
    protocol: str
    status: int
    key: str | None
    key_prefix: str | None


class RoutingRule(NamedTuple):
    """A rule and its condition. `error` empty: it is applied before the object is looked for."""

    prefix: str
    error: str
    redirect: Redirect


class Site(NamedTuple):
    """A website, ready to be served."""

    suffix: str
    error_key: str
    all_to: Redirect | None
    rules: tuple[RoutingRule, ...]

    def rule_for(self, key: str, error: str = "") -> RoutingRule | None:
        """The first rule for this key and this HTTP error code (empty: no error yet)."""
        return next((rule for rule in self.rules if rule.error == error and key.startswith(rule.prefix)), None)


@family.operation("PutBucketWebsite")
async def put_bucket_website(call: Call, unit: Unit) -> Shape:
    """Make a bucket a website, or change what it serves."""
    bucket = bucket_of(call, unit)
    given = call.input.get("WebsiteConfiguration")
    if not given:
        raise malformed()
    if given.get("RedirectAllRequestsTo") is not None:
        _check_redirect_all(given)
    else:
        _check_documents(given)
    rules = given.get("RoutingRules") or []
    if len(rules) > RULES_MAX:
        counted = f"{len(rules)} routing rules provided, the number of routing rules in a website configuration"
        raise _refused(f"{counted} is limited to {RULES_MAX}.")
    for rule in rules:
        _check_rule(rule)
    put_document(unit, bucket, KIND, given)
    return {}


@family.operation("GetBucketWebsite")
async def get_bucket_website(call: Call, unit: Unit) -> Shape:
    """The website configuration of a bucket."""
    bucket = bucket_of(call, unit)
    document = read_document(unit, bucket, KIND)
    if not document:
        raise no_website(bucket.name)
    return document


@family.operation("DeleteBucketWebsite")
async def delete_bucket_website(call: Call, unit: Unit) -> Shape:
    """Stop serving a bucket as a website; it is no error if it is none."""
    drop_document(unit, bucket_of(call, unit), KIND)
    return {}


def no_website(bucket: str) -> AwsError:
    message = "The specified bucket does not have a website configuration"
    return AwsError("NoSuchWebsiteConfiguration", message, 404, BucketName=bucket)


def _refused(message: str) -> AwsError:
    return AwsError("InvalidRequest", message, 400)


def _wrong(message: str, name: str, value: str = "") -> AwsError:
    return AwsError("InvalidArgument", message, 400, ArgumentName=name, ArgumentValue=value)


def _check_redirect_all(given: Mapping[str, Any]) -> None:
    if len(given) > 1:
        raise _refused("RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.")
    target = given["RedirectAllRequestsTo"]
    if not target.get("HostName"):
        raise malformed()
    _check_protocol(target)


def _check_protocol(target: Mapping[str, Any]) -> None:
    if target.get("Protocol") not in (None, *PROTOCOLS):
        either = "protocol can be http or https. If not defined the protocol will be selected automatically."
        raise _refused(f"Invalid protocol, {either}")


def _check_documents(given: Mapping[str, Any]) -> None:
    index, error = given.get("IndexDocument"), given.get("ErrorDocument")
    if index is None:
        message = "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty"
        raise _wrong(message, "IndexDocument", "null")
    suffix = index.get("Suffix") or ""
    if not suffix or "/" in suffix:
        raise _wrong("The IndexDocument Suffix is not well formed", "IndexDocument", suffix)
    if error is not None and not error.get("Key"):
        raise _wrong("The ErrorDocument Key is not well formed", "ErrorDocument")


def _check_rule(rule: Mapping[str, Any]) -> None:
    condition, redirect = rule.get("Condition"), rule.get("Redirect")
    if redirect is None:
        raise malformed()
    if condition is not None:
        if not condition:
            without = "To redirect all requests without a condition, the condition element shouldn't be present."
            raise _refused(f"Condition cannot be empty. {without}")
        code = condition.get("HttpErrorCodeReturnedEquals")
        if code is not None and not _is_code(code, "45"):
            raise _refused(f"The provided HTTP error code ({code}) is not valid. Valid codes are 4XX or 5XX.")
    if "ReplaceKeyWith" in redirect and "ReplaceKeyPrefixWith" in redirect:
        raise _refused("You can only define ReplaceKeyPrefix or ReplaceKey but not both.")
    code = redirect.get("HttpRedirectCode")
    if code is not None and (not _is_code(code, "3") or code == "300"):
        raise _refused(f"The provided HTTP redirect code ({code}) is not valid. Valid codes are 3XX except 300.")
    _check_protocol(redirect)


def _is_code(text: str, first: str) -> bool:
    return len(text) == 3 and text.isascii() and text.isdigit() and text[0] in first


@lru_cache(maxsize=DOCUMENTS_CACHED)
def read_site(text: str) -> Site:
    """The website that a stored document describes."""
    given = msgspec.json.decode(text)
    target = given.get("RedirectAllRequestsTo")
    return Site(
        (given.get("IndexDocument") or {}).get("Suffix", ""),
        (given.get("ErrorDocument") or {}).get("Key", ""),
        None if target is None else _read_redirect(target),
        tuple(_read_rule(rule) for rule in given.get("RoutingRules") or ()),
    )


def _read_rule(rule: Mapping[str, Any]) -> RoutingRule:
    condition = rule.get("Condition") or {}
    prefix, error = condition.get("KeyPrefixEquals", ""), condition.get("HttpErrorCodeReturnedEquals", "")
    return RoutingRule(prefix, error, _read_redirect(rule["Redirect"]))


def _read_redirect(target: Mapping[str, Any]) -> Redirect:
    return Redirect(
        target.get("HostName") or "",
        target.get("Protocol") or "",
        int(target.get("HttpRedirectCode") or DEFAULT_STATUS),
        target.get("ReplaceKeyWith"),
        target.get("ReplaceKeyPrefixWith"),
    )
