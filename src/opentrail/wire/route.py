"""From a request to the operation it names, whatever the service and the protocol; the first step of the road.

In this order: `X-Amz-Target` (JSON), `smithy-protocol` (CBOR), then the service named by the credential scope or the host,
with `Action` (query) or by path (REST); anything else is S3. Pure; it does not check the signature it takes the scope
from, and a wrong scope can only name the wrong operation, whose signature then does not fit. Paths below `/_opentrail/`
never get here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from opentrail.call import HttpRequest
from opentrail.errors import AwsError
from opentrail.model.load import Models
from opentrail.model.shapes import Level, Operation, Protocol, ServiceModel
from opentrail.wire.presigned import read_presigned
from opentrail.wire.route_rest import rest_table
from opentrail.wire.route_s3 import (
    HOST_LENGTH_MAX,
    HOSTS_REMEMBERED_MAX,
    WEBSITE_LABEL,
    S3Table,
    bucket_of_host,
    parse_query,
    s3_table,
    split_path,
    website_of_host,
)

FORM_TYPE: Final = "application/x-www-form-urlencoded"
FORM_FIELDS_MAX = 8_192
"""Fields of a form that are searched for Action and Version."""
NAME_MAX = 256
"""Characters of an operation's or target's name that are looked at and repeated in a message."""
S3_SIGNING_NAMES = frozenset(("", "s3", "s3express", "s3-object-lambda"))
S3_CONTROL_PATH = "/v20180820/"
"""All of S3 Control's URIs begin with its API version."""

_AMAZON_HOST = re.compile(
    r"(?:\d{12}\.)?(?P<prefix>[a-z0-9.-]+?)(?:\.(?P<region>[a-z]{2}(?:-[a-z]+)+-\d))?\.amazonaws\.com(?:\.cn)?\Z"
)


class Route(msgspec.Struct):
    """What a request asks for. `labels` are the URI's, decoded; `region` is empty when neither the credential scope nor
    the host names one; `virtual_host` means that the bucket stands in the Host header."""

    operation: Operation
    protocol: Protocol
    labels: dict[str, str]
    bucket: str = ""
    key: str = ""
    virtual_host: bool = False
    region: str = ""
    soap: str = ""
    """The SOAP operation, when the answer is to be an envelope."""


class Unrouted(AwsError):
    """A request for no operation there is, and the dialect in which the answer is expected."""

    def __init__(self, code: str, message: str, status: int, protocol: Protocol, service: str) -> None:
        super().__init__(code, message, status)
        self.protocol = protocol
        self.service = service
        """botocore's name of the service; empty when unknown."""


def needs_form(request: HttpRequest) -> bool:
    """Whether `route` must be given the request's body, because the operation's name is in it."""
    headers = request.headers
    if request.method != "POST" or not headers.get("content-type", "").lower().startswith(FORM_TYPE):
        return False
    if "x-amz-target" in headers or "smithy-protocol" in headers:
        return False
    return request.path == "/" or credential_scope(request)[1] not in S3_SIGNING_NAMES


def route(models: Models, request: HttpRequest, domain: str, form: bytes = b"") -> Route:
    """The operation that `request` names. `domain` is that of virtual-host addressing; `form` the body, if `needs_form`.

    Raises Unrouted (UnknownOperationException 404, InvalidAction 400) or an S3 AwsError (MethodNotAllowed, InvalidURI,
    InvalidBucketName, KeyTooLongError).
    """
    headers = request.headers
    if "x-amz-target" in headers:
        return _by_target(models, request, headers["x-amz-target"])
    if "smithy-protocol" in headers:
        return _by_rpc_path(models, request)
    region, service = credential_scope(request)
    host = headers.get("host", "")
    if not service:
        region, service = _service_of_host(models, host)
    if service not in S3_SIGNING_NAMES and models.by_signing_name(service):
        return _by_service(models, request, service, region, form)
    if form or (not service and request.path == "/" and "Action=" in request.query):
        found = _by_version(models, request, region, form)
        if found is not None:
            return found
    if request.path.startswith(S3_CONTROL_PATH) and (
        "x-amz-account-id" in headers or "x-amz-outpost-id" in headers or "s3-control" in host or "s3-outposts" in host
    ):
        return _by_rest(models, request, ("s3control",), region)
    return _s3(models, request, domain, host, service, region)


def credential_scope(request: HttpRequest) -> tuple[str, str]:
    """(region, signing name) of a SigV4 credential in header or query; empty when there is none."""
    authorization = request.headers.get("authorization")
    if authorization is None and (presigned := read_presigned(request.query)) is not None:
        return presigned.region, "s3"
    if authorization is not None:
        start = authorization.find("Credential=")
        if start < 0:
            return "", ""
        credential = authorization[start + 11 :].partition(",")[0]
    elif "X-Amz-Credential=" in request.query:
        credential = request.query.partition("X-Amz-Credential=")[2].partition("&")[0]
        credential = credential.replace("%2F", "/").replace("%2f", "/")
    else:
        return "", ""
    parts = credential.rstrip().rsplit("/", 4)
    return (parts[2], parts[3]) if len(parts) == 5 else ("", "")


def _s3(models: Models, request: HttpRequest, domain: str, host: str, service: str, region: str) -> Route:
    model = models.service("s3")
    table = s3_table(model)
    if WEBSITE_LABEL in host and (site := website_of_host(host, domain)):
        return _website(table, request, site)
    host_bucket, host_region = bucket_of_host(host, domain)
    path = request.path
    if not host_bucket and (own := table.at_path(request.method, path)) is not None:
        return Route(own, "rest-xml", {}, region=region or host_region)
    bucket, key = split_path(path, host_bucket)
    level: Level = "object" if key else "bucket" if bucket else "service"
    operation = table.find(request.method, level, request.query, request.headers)
    if level == "service" and service == "s3express":
        operation = table.directory_buckets
    labels = {"Bucket": bucket, "Key": key} if key else {"Bucket": bucket} if bucket else {}
    return Route(operation, "rest-xml", labels, bucket, key, bool(host_bucket), region or host_region)


def _website(table: S3Table, request: HttpRequest, site: str) -> Route:
    """A request to a bucket's website, which has GET and HEAD of objects and nothing else."""
    operation = table.website.get(request.method)
    if operation is None:
        fields = {"Method": request.method, "ResourceType": "OBJECT"}
        message = "The specified method is not allowed against this resource."
        error = AwsError("MethodNotAllowed", message, 405, headers=None, **fields)
        error.page = b""
        raise error
    bucket, key = split_path(request.path, site)
    return Route(operation, "rest-xml", {"Bucket": bucket, "Key": key}, bucket, key, virtual_host=True)


def _by_target(models: Models, request: HttpRequest, target: str) -> Route:
    """AWS JSON: `X-Amz-Target: <prefix>.<Operation>`."""
    prefix, _, name = target[:NAME_MAX].rpartition(".")
    region = credential_scope(request)[0] or _service_of_host(models, request.headers.get("host", ""))[0]
    return _named(models, models.by_target(prefix), name, "json", region)


def _by_rpc_path(models: Models, request: HttpRequest) -> Route:
    """Smithy RPC v2 CBOR: `/service/<target prefix>/operation/<Operation>`."""
    parts = request.path.rsplit("/", 4)
    if request.headers["smithy-protocol"] != "rpc-v2-cbor" or parts[1:2] != ["service"] or parts[3:4] != ["operation"]:
        raise Unrouted("UnknownOperationException", "", 404, "smithy-rpc-v2-cbor", "")
    names = tuple(name for name in models.by_target(parts[2]) if _speaks(models, name, "smithy-rpc-v2-cbor"))
    region = credential_scope(request)[0] or _service_of_host(models, request.headers.get("host", ""))[0]
    return _named(models, names, parts[4], "smithy-rpc-v2-cbor", region)


def _named(models: Models, services: tuple[str, ...], name: str, protocol: Protocol, region: str) -> Route:
    for service in services:
        operation = models.service(service).operations.get(name)
        if operation is not None:
            return Route(operation, protocol, {}, region=region)
    raise Unrouted("UnknownOperationException", "", 404, protocol, services[0] if services else "")


def _by_service(models: Models, request: HttpRequest, signing_name: str, region: str, form: bytes) -> Route:
    """A request signed for (or sent to the host of) a service that is not S3."""
    names = models.by_signing_name(signing_name)
    queries = tuple(name for name in names if _speaks(models, name, "query") or _speaks(models, name, "ec2"))
    if queries and (form or "Action=" in request.query):
        action, version = _action(request, form)
        return _by_action(models, queries, action, version, region)
    rests = tuple(name for name in names if _speaks(models, name, "rest-json") or _speaks(models, name, "rest-xml"))
    if rests:
        return _by_rest(models, request, rests, region)
    if queries:
        raise Unrouted("MissingAction", "", 400, "query", queries[0])
    raise Unrouted("UnknownOperationException", "", 404, "json", names[0])


def _speaks(models: Models, name: str, protocol: Protocol) -> bool:
    return protocol in models.summary(name)["protocols"]


def _by_rest(models: Models, request: HttpRequest, names: tuple[str, ...], region: str) -> Route:
    for name in names:
        model = models.service(name)
        found = rest_table(model).find(request.method, request.path, request.query)
        if found is not None:
            return Route(found[0], _rest_protocol(model), found[1], region=region)
    protocol = _rest_protocol(models.service(names[0]))
    raise Unrouted("UnknownOperationException", "", 404, protocol, names[0])


def _rest_protocol(model: ServiceModel) -> Protocol:
    return "rest-xml" if "rest-xml" in model.protocols else "rest-json"


def _action(request: HttpRequest, form: bytes) -> tuple[str, str]:
    """(Action, Version) of a query-protocol request, from its body or its query string."""
    fields: Mapping[str, str] = parse_query(request.query) if request.query else {}
    found = {name: fields.get(name, "") for name in ("Action", "Version")}
    for part in form.split(b"&", FORM_FIELDS_MAX)[:FORM_FIELDS_MAX]:
        name, _, value = part.partition(b"=")
        if name in (b"Action", b"Version"):
            found[name.decode()] = value[:NAME_MAX].decode("latin-1")
    return found["Action"][:NAME_MAX], found["Version"][:NAME_MAX]


def _by_action(models: Models, names: tuple[str, ...], action: str, version: str, region: str) -> Route:
    """Of services that share a signing name, the one of that API version which has the operation."""
    if not action:
        raise Unrouted("MissingAction", "", 400, "query", names[0])
    for name in sorted(names, key=lambda one: models.summary(one)["api_version"] != version):
        model = models.query_service(name)
        operation = model.operations.get(action)
        if operation is not None:
            return Route(operation, "ec2" if "ec2" in model.protocols else "query", {}, region=region)
    message = f"Could not find operation {action} for version {version or 'NO_VERSION_SPECIFIED'}"
    protocol: Protocol = "ec2" if _speaks(models, names[0], "ec2") else "query"
    raise Unrouted("InvalidAction", message, 400, protocol, names[0])


def _by_version(models: Models, request: HttpRequest, region: str, form: bytes) -> Route | None:
    """An unsigned query-protocol request (AssumeRoleWithWebIdentity): the API version tells the service."""
    action, version = _action(request, form)
    names = models.by_query_version(version)
    if not action or not names:
        return None
    return _by_action(models, names, action, version, region)


def _service_of_host(models: Models, host: str) -> tuple[str, str]:
    """(region, signing name) that an Amazon host name stands for; empty for any other host."""
    return _read_host(models, host) if "amazonaws.com" in host else ("", "")


@lru_cache(maxsize=HOSTS_REMEMBERED_MAX)
def _read_host(models: Models, host: str) -> tuple[str, str]:
    name = host.lower().partition(":")[0]
    found = _AMAZON_HOST.match(name) if len(name) <= HOST_LENGTH_MAX else None
    if found is None or bucket_of_host(host, "")[0]:
        return "", ""
    return found["region"] or "", models.by_endpoint_prefix(found["prefix"])
