"""VPC endpoints in the permission check: their policies take away and give nothing; the condition keys that they bring."""

from __future__ import annotations

import pytest

from opentrail.access.context import RequestContext
from opentrail.access.decide import NO_IDENTITY, refused_by_endpoint
from opentrail.call import ANONYMOUS, Access, HttpRequest, VpcEndpoint
from tests.access.world import AWAY, HOME, OBJECT, STRANGER, USER, allow, deny, policy, role_session

EVERYONE = {"Principal": "*"}
ENDPOINT = VpcEndpoint("vpce-1", AWAY, "vpc-9")


def context(principal=USER, endpoint: VpcEndpoint | None = ENDPOINT) -> RequestContext:
    request = HttpRequest("GET", "/", "", {}, None, "10.0.0.7", None, endpoint)  # type: ignore[arg-type]
    return RequestContext(principal, request, "eu-central-1", 1_790_000_000.0)


@pytest.mark.parametrize(
    ("statements", "principal", "passes", "explicit"),
    [
        ([allow("s3:*", **EVERYONE)], USER, True, False),
        ([allow("s3:*", **EVERYONE)], ANONYMOUS, True, False),
        ([allow("s3:PutObject", **EVERYONE)], USER, False, False),
        ([allow("*", **EVERYONE), deny("s3:GetObject", **EVERYONE)], USER, False, True),
        ([allow("s3:*", Principal={"AWS": HOME})], USER, True, False),
        ([allow("s3:*", Principal={"AWS": HOME})], STRANGER, False, False),
        ([allow("s3:*", Principal={"AWS": HOME})], role_session(), True, False),
        ([allow("s3:*", "arn:aws:s3:::other/*", **EVERYONE)], USER, False, False),
        ([allow("s3:*", **EVERYONE, Condition={"StringEquals": {"aws:PrincipalAccount": HOME}})], USER, True, False),
        (
            [allow("s3:*", **EVERYONE, Condition={"StringEquals": {"aws:PrincipalAccount": HOME}})],
            STRANGER,
            False,
            False,
        ),
    ],
)
def test_what_an_endpoints_policy_lets_through(statements, principal, passes, explicit):
    question = Access("s3:GetObject", OBJECT, HOME)
    refused = refused_by_endpoint(policy(*statements), principal, NO_IDENTITY, question, context(principal))
    assert (refused is None) is passes
    if refused is not None:
        assert (refused.allowed, refused.explicit_deny, refused.reason) == (False, explicit, "VPC endpoint policy")


def test_a_request_through_an_endpoint_has_its_keys_and_no_public_address():
    found = context()
    assert found["aws:sourcevpce"] == ("vpce-1",)
    assert found["aws:sourcevpc"] == ("vpc-9",)
    assert found["aws:vpceaccount"] == (AWAY,)
    assert found["aws:vpcsourceip"] == ("10.0.0.7",)
    assert found.get("aws:sourceip") is None


def test_a_request_without_one_has_none_of_them():
    found = context(endpoint=None)
    assert found["aws:sourceip"] == ("10.0.0.7",)
    assert not [key for key in found if "vpc" in key]


def test_what_is_not_known_of_an_endpoint_is_no_key():
    found = context(endpoint=VpcEndpoint("vpce-2"))
    assert found["aws:sourcevpce"] == ("vpce-2",)
    assert not {"aws:sourcevpc", "aws:vpceaccount"} & set(found)
