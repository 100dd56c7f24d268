"""Which questions the permission check is asked, and what comes of the answers."""

from __future__ import annotations

import pytest
import pytest_asyncio

from opentrail.call import Access, Call, HttpRequest, Principal
from opentrail.errors import AwsError
from opentrail.model.load import load_models
from opentrail.server.permit import Permit, default_questions
from opentrail.service import Service
from opentrail.state import Unit
from tests.server.gate_house import ACCOUNT, World, whole_body

ROOT = Principal(type="Root", account_id=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:root", principal_id=ACCOUNT)
USER = Principal(type="IAMUser", account_id=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:user/eve", user_name="eve")


@pytest_asyncio.fixture
async def world() -> World:
    return await World().open()


def call_of(service: str, operation: str, principal: Principal = ROOT, region: str = "us-east-1", **given) -> Call:
    return Call(
        request=HttpRequest("POST", "/", "", {}, whole_body(b""), "192.0.2.7"),
        request_id="id",
        host_id="",
        started_at=0.0,
        operation=load_models().operation(service, operation),
        region=region,
        account_id=ACCOUNT,
        principal=principal,
        input=given,
    )


def test_without_a_guard_the_facts_ask():
    (question,) = default_questions(call_of("sqs", "SendMessage", region="cn-north-1", QueueUrl="http://x/q"))
    assert question.action == "sqs:SendMessage"
    assert question.resource_account == ACCOUNT


def test_an_operation_that_addresses_nothing_is_asked_for_everything():
    assert default_questions(call_of("s3", "ListBuckets"))[0].resource == "arn:aws:s3:::*"


async def test_root_may_and_a_user_without_policies_may_not(world):
    permit = Permit(world.house, {})
    permit.check(call_of("sqs", "CreateQueue", QueueName="q"), Unit(world.house, 0.0))
    with pytest.raises(AwsError) as refused:
        permit.check(call_of("sqs", "CreateQueue", USER, QueueName="q"), Unit(world.house, 0.0))
    assert refused.value.code.startswith("AccessDenied")


async def test_every_question_of_a_guard_must_be_answered_with_yes(world):
    service = Service("sqs")
    allowed = '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sqs:A", "Resource": "*"}}'
    questions = [
        Access("sqs:A", "arn:aws:sqs:us-east-1:1:q", ACCOUNT, allowed),
        Access("sqs:B", "arn:aws:sqs:us-east-1:1:q", ACCOUNT, allowed),
    ]
    service.guard("CreateQueue")(lambda _call, _unit: questions)
    permit = Permit(world.house, {"sqs": service})
    with pytest.raises(AwsError) as refused:
        permit.check(call_of("sqs", "CreateQueue", USER), Unit(world.house, 0.0))
    assert "sqs:B" in refused.value.message
    questions.pop()
    permit.check(call_of("sqs", "CreateQueue", USER), Unit(world.house, 0.0))


async def test_a_handler_may_ask_further_once_the_check_has_passed(world):
    call = call_of("sqs", "CreateQueue", QueueName="q")
    question = Access("sqs:Other", "*", ACCOUNT)
    assert not call.may(question)
    Permit(world.house, {}).check(call, Unit(world.house, 0.0))
    assert call.may(question)
    assert not call.may(Access("sqs:Other", "*", "111122223333"))
