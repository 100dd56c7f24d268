"""Agreement with real records of the services that speak the modelled dialect (CodePipeline, CloudTrail, IAM, …).

As in `test_reference`: of each record the input and the output it must have come from are put together again, by the
model's member names, and what is built from them is compared with the record, field by field.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from opentrail.call import Call, Evidence, HttpRequest, Tls
from opentrail.errors import AwsError
from opentrail.model.load import load_models
from opentrail.model.shapes import Operation, ShapeModel
from opentrail.record.build import build
from opentrail.record.parameters import lower_first
from tests.record.made import Empty, counter
from tests.record.test_reference import DATA, FILES, epoch, principal_of, records_of

SERVICES = {
    "codepipeline": "codepipeline",
    "cloudtrail": "cloudtrail",
    "iam": "iam",
    "sts": "sts",
    "kms": "kms",
    "logs": "logs",
    "organizations": "organizations",
}
"""Event source → the model's name."""
COMPARED = (
    "eventSource", "eventName", "awsRegion", "sourceIPAddress", "userAgent", "errorCode", "errorMessage", "readOnly",
    "eventType", "apiVersion", "managementEvent", "recipientAccountId", "eventCategory", "requestID",
)  # fmt: skip
"""Fields of one value. `requestParameters` and `responseElements` are counted by themselves."""
AGREEING = 0.97
TIME = re.compile(r"[A-Z][a-z]{2} \d{1,2}, \d{4},? \d{1,2}:\d\d:\d\d [AP]M")
pytestmark = pytest.mark.skipif(not DATA, reason="OPENTRAIL_REFERENCE_DATA names no directory")


def given(value: Any, shape: ShapeModel | None) -> Any:
    """What a handler saw, of what the record shows."""
    kind = shape.type if shape is not None else ""
    if isinstance(value, str):
        if kind == "timestamp" and TIME.fullmatch(value):
            plain = value.replace(",", "")
            return datetime.strptime(plain, "%b %d %Y %I:%M:%S %p").replace(tzinfo=UTC)
        return value
    if isinstance(value, list):
        item = shape.item.shape if shape is not None and shape.item is not None else None
        return [given(each, item) for each in value]
    if not isinstance(value, dict):
        return value
    if kind == "map":
        inner = shape.value.shape if shape is not None and shape.value is not None else None
        return {name: given(each, inner) for name, each in value.items()}
    members = {lower_first(name): member for name, member in shape.members.items()} if shape is not None else {}
    made = {}
    for name, each in value.items():
        member = members.get(name)
        made[name if member is None else member.name] = given(each, None if member is None else member.shape)
    return made


def operation_of(real: dict[str, Any]) -> Operation | None:
    name = SERVICES.get(real["eventSource"].removesuffix(".amazonaws.com"))
    if name is None or real.get("eventType") != "AwsApiCall":
        return None
    operations = load_models().service(name).operations.values()
    return next((each for each in operations if each.facts.event_name == real["eventName"]), None)


def rebuilt(real: dict[str, Any], operation: Operation) -> dict[str, Any]:
    details = real.get("tlsDetails") or {}
    tls = Tls(details["tlsVersion"], details.get("cipherSuite", "")) if details.get("tlsVersion") else None
    headers = {"user-agent": real.get("userAgent", ""), "host": details.get("clientProvidedHostHeader", "")}
    error = AwsError(real["errorCode"], real.get("errorMessage", "")) if "errorCode" in real else None
    account = real.get("recipientAccountId") or real["userIdentity"]["accountId"]
    output = given(real["responseElements"] or {}, operation.output)
    call = Call(
        request=HttpRequest("POST", "/", "", headers, Empty(), real["sourceIPAddress"], tls),
        request_id=real["requestID"],
        host_id="",
        started_at=epoch(real["eventTime"]),
        operation=operation,
        region=real["awsRegion"],
        account_id=account,
        principal=principal_of(real["userIdentity"]),
        input=given(real["requestParameters"] or {}, operation.input),
        error=error,
        output=None if error else output,
        evidence=Evidence(owner_account_id=account),
    )
    built: dict[str, Any] = json.loads(build(call, counter())[0])
    return built


def test_records_of_other_services_agree_field_by_field() -> None:
    judged: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    different: list[tuple[str, str, Any, Any]] = []
    for real in (record for name in FILES for record in records_of(name)):
        operation = operation_of(real)
        if operation is None or real["userIdentity"].get("type") == "AWSService" or "requestID" not in real:
            continue
        ours = rebuilt(real, operation)
        for field in (*COMPARED, "requestParameters", "responseElements"):
            if field not in real:
                continue  # of an older version
            judged[field] += 1
            agreed[field] += real.get(field) == ours.get(field)
            if real.get(field) != ours.get(field):
                different.append((real["eventName"], field, real.get(field), ours.get(field)))
    for field, count in judged.items():
        print(f"{field}: {agreed[field]} of {count}")
    for each in different[:40]:
        print(*(str(part)[:160] for part in each), sep=" | ")
    assert judged["requestParameters"] > 0
    for field in ("requestParameters", "responseElements", "eventSource", "eventName", "readOnly", "errorCode"):
        assert agreed[field] >= AGREEING * judged[field], field
