"""One account with a root and whatever callers a test makes, reached through guard, decision and handler as by the gate."""

from __future__ import annotations

import json
from functools import cache, partial
from typing import Any

import pytest

from opentrail.access.context import RequestContext
from opentrail.access.decide import decide
from opentrail.access.refusal import refusal
from opentrail.call import Access, Call, HttpRequest, Principal, Shape, Tls
from opentrail.errors import AwsError
from opentrail.model.facts import resource_arn
from opentrail.model.load import Models, load_models
from opentrail.rows.organizations import place_of
from opentrail.services import iam, sts
from opentrail.services.accounts import create_account
from opentrail.services.identity import find_credentials, identity_of
from opentrail.wire.validate import validate
from tests.fakes.house import build_house, commit, new_unit

ACCOUNT, OTHER = "111111111111", "222222222222"
ROOT = Principal("Root", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT)
OTHER_ROOT = Principal("Root", OTHER, f"arn:aws:iam::{OTHER}:root", OTHER)
SERVICES = {"iam": iam.service, "sts": sts.service}


@cache
def models() -> Models:
    return load_models()


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def trust(**principal: Any) -> str:
    """A trust policy: trust(Service="events.amazonaws.com"), trust(AWS=[...])."""
    return policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})


class World:
    """Walks calls and commits what they did."""

    def __init__(self) -> None:
        self.house = build_house(models=models())
        self.last: Call | None = None

    async def begin(self) -> World:
        unit = new_unit(self.house)
        create_account(unit, ACCOUNT, "home", "home@example.com")
        create_account(unit, OTHER, "away", "away@example.com")
        await commit(unit)
        return self

    async def call(self, service: str, operation: str, *, who: Principal = ROOT, **given: Any) -> Shape:
        """The output; raises the AwsError of guard, decision or handler, in which case nothing is committed."""
        model = models().service(service).operations[operation]
        request = HttpRequest("POST", "/", "", {"user-agent": "test"}, None, "192.0.2.1", Tls("TLSv1.3", "x"))  # type: ignore[arg-type]
        call = Call(request, "r", "h", self.house.clock.now(), model, "us-east-1", who.account_id, who, input=given)
        self.last = call
        validate(model, "query", given)
        unit = new_unit(self.house)
        for question in self._questions(call, unit):
            context = RequestContext(who, request, "us-east-1", unit.now, partial(place_of, unit))
            decision = decide(who, identity_of(unit, who), question, context)
            if not decision.allowed:
                raise refusal(decision, who, question)
        output = await SERVICES[service].handlers[operation](call, unit)
        await commit(unit)
        return output

    def _questions(self, call: Call, unit: Any) -> Any:
        guard = SERVICES[call.operation.service.name].guard_of(call.operation.name)
        if guard is not None:
            return guard(call, unit)
        account, facts = call.principal.account_id, call.operation.facts
        arn = resource_arn(facts.resource, call.input, "us-east-1", account)
        return [Access(action, arn, account) for action in facts.actions]

    async def iam(self, operation: str, *, who: Principal = ROOT, **given: Any) -> Shape:
        return await self.call("iam", operation, who=who, **given)

    async def sts(self, operation: str, *, who: Principal = ROOT, **given: Any) -> Shape:
        return await self.call("sts", operation, who=who, **given)

    async def user(self, name: str, *statements: dict[str, Any], root: Principal = ROOT) -> Principal:
        """A user with an inline policy, as the principal that its key is."""
        await self.iam("CreateUser", who=root, UserName=name)
        if statements:
            document = policy(*statements)
            await self.iam("PutUserPolicy", who=root, UserName=name, PolicyName="own", PolicyDocument=document)
        made = await self.iam("CreateAccessKey", who=root, UserName=name)
        return find_credentials(new_unit(self.house), made["AccessKey"]["AccessKeyId"], "").principal

    def holder(self, credentials: Shape) -> Principal:
        """The principal of temporary credentials."""
        key_id, token = credentials["AccessKeyId"], credentials["SessionToken"]
        found = find_credentials(new_unit(self.house), key_id, token)
        assert found.secret == credentials["SecretAccessKey"]
        return found.principal


class refused:
    """`with refused("NoSuchEntity", 404, "The user"): …`"""

    def __init__(self, code: str, status: int, message: str = "") -> None:
        self.expected = (code, status, message)

    def __enter__(self) -> None:
        self.raises = pytest.raises(AwsError)
        self.caught = self.raises.__enter__()

    def __exit__(self, *exc: Any) -> bool:
        done = self.raises.__exit__(*exc)
        code, status, message = self.expected
        error = self.caught.value
        assert (error.code, error.status) == (code, status), error.message
        assert message in error.message
        return done
