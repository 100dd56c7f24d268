"""Calls made by hand: the smallest that a record can be built from, every part of which a test may replace."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from opentrail.call import Call, Evidence, HttpRequest, Issuer, Principal, Session, Tls
from opentrail.model.shapes import Facts, Operation, ServiceModel
from opentrail.record.build import build

ACCOUNT = "111122223333"
OTHER = "444455556666"
STARTED = 1_700_000_000.25

ALICE = Principal(
    type="IAMUser",
    account_id=ACCOUNT,
    arn=f"arn:aws:iam::{ACCOUNT}:user/staff/alice",
    principal_id="AIDAALICEALICEALICE00",
    user_name="alice",
    access_key_id="AKIAALICEALICEALICE0",
)
ISSUER = Issuer("Role", "AROAROLEROLEROLEROLE0", f"arn:aws:iam::{ACCOUNT}:role/ci/deployer", ACCOUNT, "deployer")
DEPLOYER = Principal(
    type="AssumedRole",
    account_id=ACCOUNT,
    arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/build-7",
    principal_id="AROAROLEROLEROLEROLE0:build-7",
    access_key_id="ASIADEPLOYDEPLOYDEPL",
    session=Session(ISSUER, 1_699_999_000, 1_700_003_000),
)
CLOUDTRAIL = Principal(type="AWSService", account_id="", invoked_by="cloudtrail.amazonaws.com")
TLS = Tls("TLSv1.3", "TLS_AES_128_GCM_SHA256")


class Empty:
    """A body of nothing."""

    length: int | None = 0
    received = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._none()

    async def _none(self) -> AsyncIterator[bytes]:
        return
        yield b""

    async def read_all(self, limit: int) -> bytes:
        return b""


def service(name: str = "s3", protocol: Any = "rest-xml") -> ServiceModel:
    return ServiceModel(name, name, "2006-03-01", protocol, (protocol,), "", "", name, name, "")


def operation(
    name: str, level: Any = "bucket", *, read_only: bool = False, category: Any = "Management", **more: Any
) -> Operation:
    """An operation of S3, with facts as given; `more` goes into the facts or names the service."""
    model = service(more.pop("service", "s3"), more.pop("protocol", "rest-xml"))
    facts = Facts(
        event_source=more.pop("event_source", f"{model.name}.amazonaws.com"),
        event_name=more.pop("event_name", name),
        documented_name=more.pop("documented_name", name),
        category=category,
        read_only=read_only,
        actions=(f"{model.name}:{name}",),
        resource="*",
        level=level,
        **more,
    )
    return Operation(model, name, "GET", "/", 200, None, None, (), facts)


GET_OBJECT = operation("GetObject", "object", read_only=True, category="Data")
PUT_OBJECT = operation("PutObject", "object", category="Data")


def request(method: str = "GET", query: str = "", tls: Tls | None = TLS, **headers: str) -> HttpRequest:
    """Headers are given with underscores for hyphens."""
    given = {"host": "reports.s3.us-east-1.amazonaws.com", "user-agent": "Boto3/1.40 md/Botocore#1.40"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpRequest(method, "/", query, given, Empty(), "192.0.2.7", tls)


def call(op: Operation = GET_OBJECT, /, **parts: Any) -> Call:
    """A finished, successful call of Alice's."""
    made = Call(
        request=parts.pop("request", None) or request(),
        request_id="4YZ9K7T8QW3E5R6T",
        host_id="hostIdHostIdHostId=",
        started_at=STARTED,
        operation=op,
        region="us-east-1",
        account_id=ACCOUNT,
        principal=ALICE,
        signature_version="SigV4",
        authentication_method="AuthHeader",
        input={"Bucket": "reports", "Key": "2024/q1.csv"},
        finished_at=STARTED + 0.5,
        evidence=Evidence(owner_account_id=ACCOUNT),
    )
    for name, value in parts.items():
        setattr(made, name, value)
    return made


def counter() -> Callable[[], str]:
    """UUIDs that tell their order."""
    numbers = itertools.count(1)
    return lambda: f"00000000-0000-4000-8000-{next(numbers):012d}"


def records(made: Call, **options: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in build(made, counter(), **options)]


def record(made: Call, **options: Any) -> dict[str, Any]:
    """The one record of a call."""
    [only] = records(made, **options)
    return only
