"""CodePipeline without a server: real handlers and the real follower on fakes of the ports."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from opentrail.actions.providers import ACTIONS
from opentrail.call import Call, HttpRequest, Principal, Shape
from opentrail.errors import AwsError
from opentrail.followers.executions import ExecutionsFollower
from opentrail.model.load import load_models
from opentrail.ports import Line, Versioned
from opentrail.rows.bus_event import read_bus_event
from opentrail.rows.codepipeline import PIPELINES, WORK, find_execution
from opentrail.rows.iam import ROLES, Role
from opentrail.services.codepipeline import service
from opentrail.state import Unit
from opentrail.wire.validate import validate
from tests.fakes.house import build_house, new_unit
from tests.fakes.s3_road import FakeBucket, S3Road
from tests.pipeline.made import declaration

ACCOUNT, REGION = "111122223333", "us-east-1"
ALICE = Principal("IAMUser", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/alice", "AIDAEXAMPLE", "alice")
PATIENCE = 60.0


class NoBody:
    length = 0
    received = 0

    async def read_all(self, limit: int) -> bytes:
        return b""


def zip_of(**files: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), text)
    return packed.getvalue()


class World:
    def __init__(self) -> None:
        self.road = S3Road()
        for name in ("src", "artifacts", "site"):
            self.road.buckets[name] = FakeBucket()
        self.house = build_house(models=load_models())
        self.house.road = self.road
        self.add_role("codepipeline.amazonaws.com")
        self.sessions: list[tuple[str, str, str]] = []
        self.refuse_role = False

    def add_role(self, trusted: str, name: str = "pipeline") -> None:
        """The role of `made.ROLE`, or another beside it."""
        statement = {"Effect": "Allow", "Principal": {"Service": trusted}, "Action": "sts:AssumeRole"}
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        row = Role("AROAEXAMPLE", ACCOUNT, name, "/service/", 0.0, trust)
        self.house.ledger.rows[ROLES.key(ACCOUNT, name)] = Versioned(msgspec.msgpack.encode(row), 0)  # type: ignore[attr-defined]

    async def call(self, name: str, asked: Shape | None = None, *, who: Principal = ALICE) -> Shape:
        """Check the input, walk the handler and commit it with a line of its own, as the gate does."""
        request = HttpRequest("POST", "/", "", {}, NoBody(), "192.0.2.1")  # type: ignore[arg-type]
        operation = self.house.models.operation("codepipeline", name)
        call = Call(request, "r", "h", self.house.clock.now(), operation, REGION, ACCOUNT, principal=who)
        call.input = asked or {}
        validate(operation, "json", call.input)
        unit = new_unit(self.house)
        output = await service.handlers[name](call, unit)
        await self.house.ledger.commit(unit.writes, [Line("record", name.encode()), *unit.events])
        return output

    async def refusal(self, name: str, asked: Shape | None = None, *, who: Principal = ALICE) -> str:
        try:
            await self.call(name, asked, who=who)
        except AwsError as error:
            return error.code
        raise AssertionError(f"{name} was not refused")

    async def create(self, *later: Shape, **more: Any) -> str:
        """Create the pipeline `site`; the id of its first execution."""
        await self.call("CreatePipeline", {"pipeline": declaration(*later, **more)})
        return await self.newest()

    async def newest(self) -> str:
        listed = await self.call("ListPipelineExecutions", {"pipelineName": "site"})
        return str(listed["pipelineExecutionSummaries"][0]["pipelineExecutionId"])

    async def execution(self, execution_id: str) -> Shape:
        asked = {"pipelineName": "site", "pipelineExecutionId": execution_id}
        found: Shape = (await self.call("GetPipelineExecution", asked))["pipelineExecution"]
        return found

    async def action(self, stage: int, action: int = 0) -> Shape:
        state = await self.call("GetPipelineState", {"name": "site"})
        found: Shape = state["stageStates"][stage]["actionStates"][action]
        return found

    def role_session(self, unit: Unit, role: str, name: str, principal: str, now: float) -> Principal:
        self.sessions.append((role, name, principal))
        if self.refuse_role:
            raise AwsError("AccessDenied", "no", 403)
        return Principal("AssumedRole", ACCOUNT, role.replace(":iam:", ":sts:"), f"AROA:{name}")

    def follower(self, actions: Any = ACTIONS) -> ExecutionsFollower:
        return ExecutionsFollower(self.house, self.role_session, actions)

    @asynccontextmanager
    async def following(self, actions: Any = ACTIONS) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self.follower(actions).run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    async def until(self, execution_id: str, *statuses: str) -> Shape:
        """Wait, line by line, until the execution has one of the statuses."""
        async with asyncio.timeout(PATIENCE):
            while True:
                head = self.house.ledger.head()
                unit = new_unit(self.house)
                found = self._status(unit, execution_id)
                if found in statuses:
                    return await self.execution(execution_id)
                await self.house.ledger.wait(head)

    def _status(self, unit: Unit, execution_id: str) -> str:

        pipeline = PIPELINES.get(unit, ACCOUNT, REGION, "site")
        row = pipeline and find_execution(unit, pipeline.id, execution_id)
        return row.status if row else ""

    def events(self) -> list[Shape]:
        lines = [line.data for line in self.house.ledger.lines if line.kind == "event"]  # type: ignore[attr-defined]
        return [msgspec.json.decode(read_bus_event(data).event) for data in lines]

    def told(self) -> list[str]:
        """The events in short: `Source/Fetch STARTED`."""
        found = []
        for event in self.events():
            detail = event["detail"]
            place = "/".join(detail[part] for part in ("stage", "action") if part in detail)
            found.append(f"{place} {detail['state']}".strip())
        return found

    def work(self) -> list[str]:
        return [WORK.decode(row.value).kind for _, row in self.house.ledger.scan(WORK.key(""), b"", 100)]


def as_json(value: object) -> bytes:
    """Fails on anything that is not plain data."""
    return msgspec.json.encode(value)
