"""What S3's public access block calls a public policy."""

from __future__ import annotations

import pytest

from opentrail.access.public import policy_is_public
from tests.access.world import AWAY, HOME, allow, deny, named, policy


def everyone(**condition):
    return policy(allow(Condition=condition) | named("*"))


@pytest.mark.parametrize(
    ("text", "public"),
    [
        (everyone(), True),
        (policy(allow(Principal="*")), True),
        (policy(allow() | named(HOME, AWAY)), False),
        (policy(allow() | named(HOME, "*")), True),
        (policy(deny() | named("*")), False),
        (policy(allow(NotPrincipal={"AWS": HOME})), True),
        (policy(allow(Principal={"Service": "cloudtrail.amazonaws.com"})), False),
        (everyone(IpAddress={"aws:SourceIp": "203.0.113.0/24"}), False),
        (everyone(IpAddress={"aws:SourceIp": ["203.0.113.0/24", "0.0.0.0/1"]}), True),
        (everyone(IpAddress={"aws:SourceIp": "2000::/3"}), True),
        (everyone(NotIpAddress={"aws:SourceIp": "203.0.113.0/24"}), True),
        (everyone(StringEquals={"aws:SourceVpc": "vpc-1"}), False),
        (everyone(StringEqualsIfExists={"aws:SourceVpc": "vpc-1"}), True),
        (everyone(**{"ForAllValues:StringEquals": {"aws:SourceVpc": "vpc-1"}}), True),
        (everyone(StringNotEquals={"aws:SourceVpc": "vpc-1"}), True),
        (everyone(StringLike={"aws:SourceVpc": "vpc-*"}), True),
        (everyone(StringEquals={"aws:PrincipalOrgID": "${aws:PrincipalOrgID}"}), True),
        (everyone(StringEquals={"s3:x-amz-acl": "private"}), True),
        (everyone(StringLike={"aws:userid": "AROAX:*"}), False),
        (everyone(StringLike={"aws:userid": "*:x"}), True),
        (everyone(ArnLike={"aws:SourceArn": "arn:aws:cloudtrail:*:111111111111:trail/*"}), False),
        (everyone(ArnLike={"aws:SourceArn": "arn:aws:cloudtrail:*:*:trail/*"}), True),
        (everyone(ArnLike={"aws:SourceArn": "arn:aws:s3:::photos"}), False),
    ],
)
def test_public(text, public):
    assert policy_is_public(text) is public
