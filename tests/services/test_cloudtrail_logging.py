"""Logging: started, stopped and chosen by selectors; which trails log a line."""

from __future__ import annotations

import pytest

from opentrail.errors import AwsError
from opentrail.rows.cloudtrail import CONFIGS
from opentrail.services.cloudtrail import service
from opentrail.state import Unit
from tests.fakes.house import NOW
from tests.followers.trail_house import ACCOUNT, invoke, logging_trail, refused, trail_house

ARN = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main"
WRITES = {"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True, "DataResources": []}


async def test_starting_and_stopping_twice_changes_nothing():
    house = trail_house()
    await logging_trail(house)
    before = len(list(CONFIGS.all(Unit(house, 0.0))))
    house.clock.time += 10
    await invoke(house, "StartLogging", {"Name": "main"})
    assert len(list(CONFIGS.all(Unit(house, 0.0)))) == before
    status = await invoke(house, "GetTrailStatus", {"Name": ARN})
    assert (status["IsLogging"], status["StartLoggingTime"]) == (True, NOW)
    assert status["TimeLoggingStarted"] == "2026-09-21T14:13:20Z"
    await invoke(house, "StopLogging", {"Name": "main"})
    await invoke(house, "StopLogging", {"Name": "main"})
    status = await invoke(house, "GetTrailStatus", {"Name": "main"})
    assert (status["IsLogging"], status["StopLoggingTime"]) == (False, NOW + 10)


async def test_selectors_replace_each_other_and_come_back_as_aws_gives_them():
    house = trail_house()
    await logging_trail(house)
    default = {"ReadWriteType": "All", "IncludeManagementEvents": True}
    rest = {"DataResources": [], "ExcludeManagementEventSources": []}
    assert await invoke(house, "GetEventSelectors", {"TrailName": "main"}) == {
        "TrailARN": ARN, "EventSelectors": [default | rest],
    }  # fmt: skip
    answer = await invoke(house, "PutEventSelectors", {"TrailName": "main", "EventSelectors": [WRITES]})
    assert answer == {"TrailARN": ARN, "EventSelectors": [WRITES | rest]}
    assert (await invoke(house, "GetTrail", {"Name": "main"}))["Trail"]["HasCustomEventSelectors"] is True
    fields = [{"Field": "readOnly", "Equals": ["true"]}, {"Field": "eventCategory", "Equals": ["Management"]}]
    given = {"TrailName": ARN, "AdvancedEventSelectors": [{"Name": "reads", "FieldSelectors": fields}]}
    await invoke(house, "PutEventSelectors", given)
    shown = await invoke(house, "GetEventSelectors", {"TrailName": "main"})
    assert "EventSelectors" not in shown
    assert [each["Field"] for each in shown["AdvancedEventSelectors"][0]["FieldSelectors"]] == [
        "eventCategory", "readOnly",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"EventSelectors": []},
        {"EventSelectors": [WRITES] * 6},
        {"EventSelectors": [WRITES], "AdvancedEventSelectors": [{"FieldSelectors": []}]},
        {"EventSelectors": [{"ReadWriteType": "read-only"}]},
        {"AdvancedEventSelectors": [{"FieldSelectors": [{"Field": "eventName", "Equals": ["x"]}]}]},
    ],
)
async def test_selectors_that_a_trail_may_not_have(given):
    house = trail_house()
    await logging_trail(house)
    assert await refused(house, "PutEventSelectors", {"TrailName": "main"} | given) == "InvalidEventSelectorsException"


def test_every_operation_has_a_handler_and_a_line_for_the_docs():
    wanted = (
        "CreateTrail UpdateTrail DeleteTrail GetTrail DescribeTrails ListTrails GetTrailStatus StartLogging StopLogging"
        " PutEventSelectors GetEventSelectors LookupEvents ListPublicKeys AddTags RemoveTags ListTags"
    )
    assert set(service.handlers) >= set(wanted.split())
    assert all(handler.__doc__ for handler in service.handlers.values())


async def test_what_must_be_given_once_is_refused_by_its_number():
    types = ["AWS::S3::Object", "AWS::Lambda::Function"]
    fields = [{"Field": "eventCategory", "Equals": ["Data"]}, {"Field": "resources.type", "Equals": types}]
    house = trail_house()
    await logging_trail(house)
    with pytest.raises(AwsError, match=r"Field resources\.type must have exactly one value"):
        await invoke(
            house, "PutEventSelectors", {"TrailName": "main", "AdvancedEventSelectors": [{"FieldSelectors": fields}]}
        )


async def test_a_token_of_public_keys_is_reserved_and_not_looked_at():
    house = trail_house()
    assert await invoke(house, "ListPublicKeys", {"NextToken": "x"}) == await invoke(house, "ListPublicKeys", {})
