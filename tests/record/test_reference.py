"""Agreement with other people's real records, where they are at hand.

`OPENTRAIL_REFERENCE_DATA` names a directory with `cloudtrail/<name>.json.gz` files of `{"Records": […]}`. Of each real S3
record the request it must have come from is put together again, and the record built from that request compared with it,
field by field. What differs on purpose is taken out first: the version, the order of `resources`, empty session members
(gone since 1.09), fields of older versions, VPC endpoints and console marks.
"""

from __future__ import annotations

import datetime
import gzip
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

import pytest

from opentrail.call import ANONYMOUS, Call, Evidence, HttpRequest, Issuer, Principal, Resource, Session, Tls
from opentrail.errors import AwsError
from opentrail.model.load import load_models
from opentrail.record.build import build
from opentrail.record.parameters import answers_in_record
from opentrail.record.s3_parameters import RESERVED, SHOWN_HEADERS
from tests.record.made import Empty, counter

DATA = os.environ.get("OPENTRAIL_REFERENCE_DATA", "")
FILES = ("invictus_ir", "otrf_ec2_proxy_s3_exfil", "codepipeline_and_s3_handpicked")
AGREEING = 0.99
"""Share of the records that must agree in every compared field."""
pytestmark = pytest.mark.skipif(not DATA, reason="OPENTRAIL_REFERENCE_DATA names no directory")
NOT_OURS = {
    "eventVersion",
    "eventID",
    "sharedEventID",
    "vpcEndpointId",
    "sessionCredentialFromConsole",
    "@timestamp",
    "@version",
}


def records_of(name: str) -> list[dict[str, Any]]:
    path = Path(DATA) / "cloudtrail" / f"{name}.json.gz"
    return json.loads(gzip.decompress(path.read_bytes()))["Records"] if path.exists() else []


def real_records() -> list[dict[str, Any]]:
    return [
        record
        for name in FILES
        for record in records_of(name)
        if record.get("eventSource") == "s3.amazonaws.com" and record.get("eventVersion", "") >= "1.05"
    ]


def xml(name: str, value: Any) -> str:
    """A document that a record shows as `value` under `name`."""
    if isinstance(value, list):
        return "".join(xml(name, item) for item in value)
    if not isinstance(value, dict):
        return f"<{name}>{escape(json.dumps(value) if isinstance(value, bool) else str(value))}</{name}>"
    attributes = {key: item for key, item in value.items() if key.startswith(("xmlns", "xsi:"))}
    written = "".join(f" {key}={quoteattr(str(item))}" for key, item in attributes.items())
    children = "".join(xml(key, item) for key, item in value.items() if key not in attributes)
    return f"<{name}{written}>{children}</{name}>"


def epoch(text: str) -> int:
    return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


def principal_of(identity: dict[str, Any]) -> Principal:
    if identity.get("accountId") == "anonymous":
        return ANONYMOUS
    context = identity.get("sessionContext")
    session = None
    if context:
        issuer = context.get("sessionIssuer") or {}
        session = Session(
            Issuer(issuer["type"], issuer["principalId"], issuer["arn"], issuer["accountId"], issuer["userName"])
            if issuer
            else None,
            epoch(context["attributes"]["creationDate"]),
            0,
            context["attributes"]["mfaAuthenticated"] == "true",
        )
    return Principal(
        identity["type"],
        identity.get("accountId", ""),
        identity.get("arn", ""),
        identity.get("principalId", ""),
        identity.get("userName", ""),
        identity.get("accessKeyId", ""),
        session,
        identity.get("invokedBy", ""),
    )


def request_of(record: dict[str, Any]) -> tuple[HttpRequest, bytes]:
    """The request and its body that the record's requestParameters came from."""
    query, headers, body = {}, {"host": record["requestParameters"].get("Host", "")}, b""
    for name, value in record["requestParameters"].items():
        if name == "bucketPolicy":
            body = json.dumps(value).encode()
        elif name in RESERVED:
            continue
        elif name in SHOWN_HEADERS:
            headers[name] = value
        elif isinstance(value, dict):
            body = xml(name, value).encode()
        else:
            query[name] = value
    agent = record["userAgent"]
    headers["user-agent"] = agent[1:-1] if agent.startswith("[") else agent
    details = record.get("tlsDetails")
    cipher = record.get("additionalEventData", {}).get("CipherSuite")
    tls = Tls(details["tlsVersion"] if details else "", cipher) if cipher else None
    return HttpRequest("GET", "/", urlencode(query), headers, Empty(), record["sourceIPAddress"], tls), body


def operation_of(record: dict[str, Any]):
    models = load_models()
    for service in ("s3", "s3control"):
        for operation in models.service(service).operations.values():
            facts = operation.facts
            takes = "bucketName" in record["requestParameters"] or facts.level == "service"
            if facts.event_name == record["eventName"] and takes:
                return operation
    return None


def call_of(record: dict[str, Any], operation) -> Call:
    request, body = request_of(record)
    parameters, more = record["requestParameters"], record["additionalEventData"]
    given = {"Bucket": parameters.get("bucketName"), "Key": parameters.get("key"), "Prefix": parameters.get("prefix")}
    owners = [found.get("accountId", "") for found in record.get("resources", [])]
    known = {"SignatureVersion", "CipherSuite", "AuthenticationMethod", "x-amz-id-2"}
    known |= {"bytesTransferredIn", "bytesTransferredOut"}
    failed = AwsError(record["errorCode"], record.get("errorMessage", "")) if "errorCode" in record else None
    account = record["recipientAccountId"]
    own = f"arn:aws:s3:::{given['Bucket']}/{given['Key']}"
    return Call(
        request=request,
        request_id=record["requestID"],
        host_id=more["x-amz-id-2"],
        started_at=epoch(record.get("eventTime") or record["@timestamp"]),
        operation=operation,
        region=record["awsRegion"],
        account_id=account,
        principal=principal_of(record["userIdentity"]),
        signature_version=more.get("SignatureVersion", ""),
        authentication_method=more.get("AuthenticationMethod", ""),
        input={name: value for name, value in given.items() if value is not None},
        raw_body=body,
        error=failed,
        bytes_in=more.get("bytesTransferredIn", 0),
        bytes_out=more.get("bytesTransferredOut", 0),
        evidence=Evidence(
            additional={name: value for name, value in more.items() if name not in known},
            resources=[
                Resource(found["type"], found["ARN"])
                for found in record.get("resources", [])
                if found["type"] == "AWS::S3::Object" and found.get("ARN", own) != own and given["Key"]
            ],
            owner_account_id=next(filter(None, owners), account),
            response_headers=record["responseElements"] or {},
        ),
    )


def compared(record: dict[str, Any], real: dict[str, Any]) -> dict[str, Any]:
    """The fields that count, in a form in which versions do not differ."""
    shown = {name: value for name, value in record.items() if name not in NOT_OURS and name in real}
    identity = dict(shown["userIdentity"])
    context = {name: value for name, value in (identity.pop("sessionContext", None) or {}).items() if value}
    context.pop("ec2RoleDelivery", None)
    shown["userIdentity"] = identity | ({"sessionContext": context} if context else {})
    if "resources" in shown:
        shown["resources"] = sorted(
            ({name: value for name, value in found.items() if name != "accountid"} for found in shown["resources"]),
            key=str,
        )
    if "additionalEventData" in shown:
        shown["additionalEventData"] = {
            n: v for n, v in shown["additionalEventData"].items() if n in real["additionalEventData"]
        }
    return shown


def test_request_parameters_and_all_other_fields_agree():
    agreed, parameters, different, unknown = 0, 0, [], set()
    records = real_records()
    for real in records:
        operation = operation_of(real)
        if operation is None:
            unknown.add(real["eventName"])
            continue
        lines = build(call_of(real, operation), counter())
        ours = json.loads(lines[0])
        parameters += ours["requestParameters"] == real["requestParameters"]
        mine, theirs = compared(ours, real), compared(real, real)
        names = sorted(name for name in set(mine) | set(theirs) if mine.get(name) != theirs.get(name))
        agreed += not names
        different += [(real["eventName"], name, theirs.get(name), mine.get(name)) for name in names]
    judged = sum(real["eventName"] not in unknown for real in records)
    print(f"\n{len(records)} S3 records; requestParameters agree in {parameters}, all fields in {agreed} of {judged}")
    print("names without an operation:", sorted(unknown))
    for name, field, theirs, ours in different[:20]:
        print(name, field, theirs, ours)
    assert judged > 0
    assert parameters == judged
    assert agreed >= judged * AGREEING


def test_fields_stand_in_the_order_of_real_log_files():
    for real in records_of(FILES[0]):
        operation = operation_of(real) if real["eventSource"] == "s3.amazonaws.com" else None
        if operation is not None:
            ours = list(json.loads(build(call_of(real, operation), counter())[0]))
            both = [name for name in real if name in ours]
            assert both == [name for name in ours if name in real]


def test_reads_and_answers_of_other_services_agree():
    """Which calls count as reads, and which answers appear, in real records of the services that are served here."""
    different, judged = set(), 0
    for real in records_of(FILES[0]):
        service = real["eventSource"].removesuffix(".amazonaws.com")
        if service not in ("cloudtrail", "iam", "sts", "kms", "logs") or real["eventType"] != "AwsApiCall":
            continue
        operation = load_models().service(service).operations.get(real["eventName"])
        if operation is None:
            continue
        judged += 1
        if operation.facts.read_only != real["readOnly"]:
            different.add((real["eventName"], "readOnly", real["readOnly"]))
        if real["responseElements"] is not None and not answers_in_record(operation):
            different.add((real["eventName"], "responseElements"))
    print(f"\n{judged} records of other services; different: {sorted(different)}")
    assert judged > 0
    assert not different
