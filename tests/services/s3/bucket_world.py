"""S3 on fakes of the ports: requests as clients write them go the gate's road, answers are read by botocore's parser."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from typing import Any

from botocore import parsers, xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel

from opentrail.call import Call, HttpRequest, Principal, Response, Shape
from opentrail.model.load import load_models
from opentrail.rows.iam import USERS, User
from opentrail.rows.s3 import BUCKETS, Bucket, PublicAccessBlock
from opentrail.server.clock import SystemClock
from opentrail.server.gate import Gate, Walk
from opentrail.server.road import InternalBody
from opentrail.server.signing import Signer
from opentrail.services import s3control
from opentrail.services.accounts import create_account
from opentrail.services.s3 import service as s3
from opentrail.state import House
from opentrail.wire.request import build_request
from opentrail.wire.route import route
from tests.fakes.house import NOW, build_house, commit, new_unit

HOME, OTHER = "111111111111", "222222222222"
REGION = "us-east-1"
BUCKET = "a-bucket"


def root(account: str = HOME) -> Principal:
    return Principal("Root", account, f"arn:aws:iam::{account}:root", account)


def user(name: str, account: str = HOME) -> Principal:
    return Principal("IAMUser", account, f"arn:aws:iam::{account}:user/{name}", f"AIDA{name.upper()}", name)


def service_principal(name: str) -> Principal:
    return Principal("AWSService", name, invoked_by=name)


@functools.cache
def models() -> Any:
    return load_models()


@functools.cache
def client_model(service: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(service, "service-2"))


@dataclass
class Answer:
    """What came back, as bytes and as a client reads it."""

    call: Call
    response: Response
    parsed: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def error(self) -> dict[str, Any]:
        return self.parsed.get("Error", {})

    @property
    def code(self) -> str:
        return str(self.error.get("Code", ""))


class World:
    """A house with two accounts. Calls are methods by botocore's names: `await world.create_bucket(Bucket="b")`."""

    def __init__(self) -> None:
        self.house: House = build_house(models=models())
        clock = SystemClock()
        services = {"s3": s3.service, "s3control": s3control.service}
        self.gate = Gate(self.house, services, clock, Signer(self.house))
        self.caller = root()

    def __getattr__(self, name: str) -> Any:
        return functools.partial(self.call, "s3", name)

    async def call(
        self,
        service: str,
        name: str,
        *,
        by: Principal | None = None,
        region: str = REGION,
        body: bytes = b"",
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
        **given: Any,
    ) -> Answer:
        """Walk one call. `raw` replaces the body that the client would have written."""
        by = by or self.caller
        model = client_model(service)
        operation = next(each for each in model.operation_names if xform_name(each) == name)
        answer = await self._walk(self.request(service, operation, given, body, raw, headers or {}), by, region)
        data = answer.response.body
        if not isinstance(data, bytes):
            data = b"".join([chunk async for chunk in data.chunks()])
        shape = model.operation_model(operation).output_shape
        status = answer.response.status
        seen = {"status_code": status, "headers": answer.response.headers, "body": data}
        answer.parsed = parsers.create_parser("rest-xml").parse(seen, shape) if status != 304 else {}
        return answer

    def request(
        self, service: str, operation: str, given: Shape, body: bytes, raw: bytes | None, headers: dict[str, str]
    ) -> HttpRequest:
        shape = self.house.models.operation(service, operation)
        wire = build_request(shape, "rest-xml", given)
        content = raw if raw is not None else body or wire.body
        content = content.encode() if isinstance(content, str) else content
        sent = {name.lower(): value for name, value in wire.headers.items()} | headers
        host = "s3-control.us-east-1.amazonaws.com" if service == "s3control" else "s3.us-east-1.amazonaws.com"
        sent |= {"host": host, "content-length": str(len(content))}
        return HttpRequest(wire.method, wire.path, wire.query, sent, InternalBody(content), "192.0.2.1")

    async def raw(self, method: str, target: str, body: bytes = b"", by: Principal | None = None) -> Answer:
        """Walk a request that no client would send."""
        path, _, query = target.partition("?")
        headers = {"host": "s3.us-east-1.amazonaws.com", "content-length": str(len(body))}
        request = HttpRequest(method, path, query, headers, InternalBody(body), "192.0.2.1")
        return await self._walk(request, by or self.caller, REGION)

    async def _walk(self, request: HttpRequest, by: Principal, region: str) -> Answer:
        where = route(self.house.models, request, "", b"")
        call = self.gate.open_call(request, where)
        call.principal, call.account_id, call.region = by, by.account_id, region
        if by.type != "Anonymous":
            call.signature_version, call.authentication_method = "SigV4", "AuthHeader"
        response = await self.gate.walk(Walk(call, where))
        return Answer(call, response)

    async def add_user(self, name: str, *statements: Shape, account: str = HOME) -> Principal:
        """A user whose one policy says what is given."""
        unit = new_unit(self.house)
        inline = (("p", policy(*statements)),) if statements else ()
        row = User(f"AIDA{name.upper()}", account, name, "/", NOW, inline=inline)
        USERS.put(unit, row, account, name.lower())
        await commit(unit)
        return user(name, account)

    async def alter_bucket(self, name: str = BUCKET, **changes: Any) -> None:
        """Change a bucket's row behind the API's back."""
        unit = new_unit(self.house)
        bucket = BUCKETS.get(unit, name)
        assert bucket is not None
        fields = {each: getattr(bucket, each) for each in bucket.__struct_fields__}
        BUCKETS.put(unit, Bucket(**(fields | changes)), name)
        await commit(unit)

    def bucket(self, name: str = BUCKET) -> Bucket:
        bucket = BUCKETS.get(new_unit(self.house), name)
        assert bucket is not None
        return bucket

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line.data) for line in self.house.ledger.lines]  # type: ignore[attr-defined]


OPEN = {"public_access_block": PublicAccessBlock(), "ownership": "ObjectWriter"}
"""A bucket with ACLs in force and nothing blocked."""


async def make_world(*, open_bucket: bool = False) -> World:
    """A world with the accounts HOME and OTHER and the bucket BUCKET of HOME."""
    world = World()
    unit = new_unit(world.house)
    create_account(unit, HOME, "home", "home@example.com")
    create_account(unit, OTHER, "other", "Other@Example.com")
    await commit(unit)
    assert (await world.create_bucket(Bucket=BUCKET)).status == 200
    if open_bucket:
        await world.alter_bucket(**OPEN)
    return world


def policy(*statements: Shape) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str | list[str], resource: str | list[str] = "*", **more: Any) -> Shape:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}
