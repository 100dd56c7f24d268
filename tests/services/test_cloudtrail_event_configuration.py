"""Event configurations of trails: what a trail has anyway is taken and shown, what it cannot have is refused."""

from __future__ import annotations

from typing import Any

import pytest

from opentrail.errors import AwsError
from opentrail.rows.cloudtrail import CONFIGS
from opentrail.services.cloudtrail_checks import check_addressed
from opentrail.state import Unit
from tests.followers.trail_house import ACCOUNT, invoke, logging_trail, refused, trail_house

ARN = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main"
TAGS = {"Type": "TagContext", "Equals": ["cost-center"]}
KEYS = {"Type": "RequestContext", "Equals": ["aws:PrincipalArn"]}
NOTHING: dict[str, Any] = {"TrailARN": ARN, "AggregationConfigurations": []}


@pytest.mark.parametrize(
    "given",
    [{}, {"MaxEventSize": "Standard"}, {"ContextKeySelectors": []}, {"AggregationConfigurations": []}],
)
async def test_a_trail_has_the_empty_configuration(given):
    house = trail_house()
    await logging_trail(house)
    before = len(list(CONFIGS.all(Unit(house, 0.0))))
    assert await invoke(house, "PutEventConfiguration", {"TrailName": "main"} | given) == NOTHING
    assert await invoke(house, "GetEventConfiguration", {"TrailName": ARN}) == NOTHING
    assert len(list(CONFIGS.all(Unit(house, 0.0)))) == before


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"MaxEventSize": "Large"}, "InvalidParameterCombinationException"),
        ({"MaxEventSize": "Large", "ContextKeySelectors": [TAGS, KEYS]}, "InvalidParameterCombinationException"),
        ({"MaxEventSize": "Huge"}, "InvalidParameterException"),
        ({"ContextKeySelectors": [KEYS]}, "InvalidParameterCombinationException"),
        (
            {"AggregationConfigurations": [{"EventCategory": "Data", "Templates": ["API_ACTIVITY"]}]},
            "NotImplemented",
        ),
    ],
)
async def test_what_a_trail_cannot_have_is_refused(given, code):
    house = trail_house()
    await logging_trail(house)
    assert await refused(house, "PutEventConfiguration", {"TrailName": "main"} | given) == code
    assert await invoke(house, "GetEventConfiguration", {"TrailName": "main"}) == NOTHING


async def test_which_trail():
    house = trail_house()
    await logging_trail(house, IsMultiRegionTrail=True)
    for name in ("PutEventConfiguration", "GetEventConfiguration"):
        assert await refused(house, name, {"TrailName": "other"}) == "TrailNotFoundException"
        assert await refused(house, name, {"TrailName": "a"}) == "InvalidTrailNameException"
        assert await refused(house, name, {"TrailName": "arn:aws:s3:::x"}) == "CloudTrailARNInvalidException"
    given = {"TrailName": ARN}
    assert await refused(house, "PutEventConfiguration", given, region="eu-west-1") == "InvalidHomeRegionException"
    assert await invoke(house, "GetEventConfiguration", given, region="eu-west-1") == NOTHING


@pytest.mark.parametrize(
    ("trail", "store", "code"),
    [
        (None, None, "InvalidParameterCombinationException"),
        ("", "", "InvalidParameterCombinationException"),
        ("main", "store", "InvalidParameterCombinationException"),
        (None, "store", "EventDataStoreNotFoundException"),
    ],
)
def test_either_a_trail_or_an_event_data_store(trail, store, code):
    with pytest.raises(AwsError) as caught:
        check_addressed(trail, store)
    assert caught.value.code == code
    check_addressed("main", None)
