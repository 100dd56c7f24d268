"""Documents: what is read, what is refused in which service's words, and what hostile text cannot do."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentrail.access.document import Verdict
from opentrail.access.policy import compile_policy, named_arns, validate_policy
from opentrail.errors import AwsError
from tests.access.world import BUCKET, HOME, OBJECT, ROLE_ARN, USER_ARN, allow, deny, named, policy


def verdict(text, action="s3:GetObject", resource=OBJECT, **context):
    facts = {key.replace("__", ":"): (value,) for key, value in context.items()}
    return compile_policy(text).verdict(action, resource, facts.get)


@pytest.mark.parametrize(
    ("action", "asked", "covered"),
    [
        ("s3:GetObject", "s3:GetObject", True),
        ("S3:getobject", "s3:GetObject", True),
        ("s3:Get*", "s3:GetObjectAcl", True),
        ("s3:*Object", "s3:GetObjectAcl", False),
        ("s3:?etObject", "s3:GetObject", True),
        ("*", "s3:GetObject", True),
        ("*:*", "s3:GetObject", True),
        ("s3:*", "s3express:CreateSession", False),
        (["iam:*", "s3:GetObject"], "s3:GetObject", True),
    ],
)
def test_actions_are_case_insensitive_globs(action, asked, covered):
    assert (verdict(policy(allow(action)), asked) is Verdict.ALLOW) is covered


@pytest.mark.parametrize(
    ("resource", "covered"),
    [
        (OBJECT, True),
        (OBJECT.upper(), False),
        ("arn:aws:s3:::Photos/*", False),
        ("arn:aws:s3:::photos/*", True),
        ("arn:aws:s3:::photos", False),
        ("arn:aws:s3:::*", True),
        ("arn:aws:s3:::photos/ca?.png", True),
        ([BUCKET, OBJECT], True),
    ],
)
def test_resources_are_case_sensitive_globs(resource, covered):
    assert (verdict(policy(allow("s3:*", resource))) is Verdict.ALLOW) is covered


def test_deny_beats_allow_whatever_the_order():
    for statements in ([allow(), deny("s3:GetObject")], [deny("s3:GetObject"), allow()]):
        assert verdict(policy(*statements)) is Verdict.DENY
        assert verdict(policy(*statements), "s3:PutObject") is Verdict.ALLOW


def test_not_action_and_not_resource():
    text = json.dumps({"Statement": {"Effect": "Allow", "NotAction": "iam:*", "NotResource": [BUCKET]}})
    assert verdict(text) is Verdict.ALLOW
    assert verdict(text, "IAM:GetUser") is Verdict.SILENT
    assert verdict(text, resource=BUCKET) is Verdict.SILENT


def test_variables_only_in_the_new_version():
    statement = allow("s3:*", "arn:aws:s3:::photos/${aws:username}/*")
    resource = "arn:aws:s3:::photos/alice/1"
    assert verdict(policy(statement), resource=resource, aws__username="alice") is Verdict.ALLOW
    assert verdict(policy(statement), resource=resource) is Verdict.SILENT
    assert verdict(policy(statement, version="2008-10-17"), resource=resource, aws__username="alice") is Verdict.SILENT


def test_missing_variable_of_not_resource_fails_closed():
    def text(effect):
        return policy({"Effect": effect, "Action": "s3:*", "NotResource": "arn:aws:s3:::${aws:username}/*"})

    assert verdict(text("Allow")) is Verdict.SILENT
    assert verdict(text("Deny")) is Verdict.DENY
    assert verdict(text("Allow"), aws__username="alice") is Verdict.ALLOW


def test_all_conditions_must_hold():
    text = policy(
        allow(Condition={"StringEquals": {"aws:a": "1", "aws:b": ["2", "3"]}, "Bool": {"aws:c": True}}),
    )
    assert verdict(text, aws__a="1", aws__b="3", aws__c="true") is Verdict.ALLOW
    assert verdict(text, aws__a="1", aws__b="3", aws__c="false") is Verdict.SILENT
    assert verdict(text, aws__a="1", aws__c="true") is Verdict.SILENT


IDENTITY_FAULTS = [
    ("", "Syntax errors in policy."),
    ("{", "Syntax errors in policy."),
    ("[]", "Syntax errors in policy."),
    ("null", "Syntax errors in policy."),
    ('{"Version":"2012-10-17"}', "Syntax errors in policy."),
    ('{"Statement":[]}', "Syntax errors in policy."),
    ('{"Statement":[1]}', "Syntax errors in policy."),
    ('{"Statement":{},"Statement":{}}', "Syntax errors in policy."),
    ('{"Version":"2012-10-17","Statement":[],"Extra":1}', "Syntax errors in policy."),
    (policy(allow(), version="2011-01-01"), "Policy document must be version 2012-10-17 or greater."),
    (policy({"Effect": "Allow", "Resource": "*"}), "Policy statement must contain actions."),
    (policy({"Effect": "Allow", "Action": "s3:*"}), "Policy statement must contain resources."),
    (policy(allow() | {"Effect": "allow"}), "Syntax errors in policy."),
    (policy(allow(resource="photos")), 'Resource photos must be in ARN format or "*".'),
    (policy(allow("GetObject")), "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."),
    (policy(allow() | named(USER_ARN)), "Policy document should not specify a principal."),
    (policy(allow(Sid="a b")), "Statement IDs (SID) must be alpha-numeric."),
    (policy(allow(Sid="a"), deny(Sid="a")), "Statement IDs (SID) in a single policy must be unique."),
    (policy(allow(Condition={"StringIs": {"aws:a": "b"}})), "Invalid Condition type : StringIs"),
    (policy(allow(Condition={"StringEquals": {"username": "b"}})), "Actions/Conditions must be prefaced"),
    (policy(allow(Condition={"StringEquals": {"aws:a": {}}})), "Syntax errors in policy."),
    (policy(allow(Condition={"StringEquals": {"aws:a": None}})), "Syntax errors in policy."),
    (policy(allow(Condition=[])), "Syntax errors in policy."),
    (policy(allow([1])), "Syntax errors in policy."),
    (policy(allow(), allow(NotAction="s3:*")), "Syntax errors in policy."),
    ('{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"\u4e00"}}', "The specified value for policyDocument"),
]


@pytest.mark.parametrize(("text", "message"), IDENTITY_FAULTS)
def test_identity_policies_are_refused_in_iams_words(text, message):
    with pytest.raises(AwsError) as caught:
        validate_policy(text, "identity")
    assert (caught.value.code, caught.value.status) == ("MalformedPolicyDocument", 400)
    assert caught.value.message.startswith(message)


TRUST = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Resource": "*"}, "Has prohibited field Resource"),
        ({"Action": "s3:GetObject"}, "AssumeRole policy may only specify STS AssumeRole actions."),
        ({"Principal": {"AWS": "arn:aws:iam::1:user/a"}}, 'Invalid principal in policy: "AWS":"arn:aws:iam::1:user/a"'),
        ({"Principal": {"AWS": "arn:aws:iam::*:root"}}, 'Invalid principal in policy: "AWS":"arn:aws:iam::*:root"'),
        ({"Principal": "someone"}, "Invalid principal in policy: someone"),
        ({"Principal": {}}, "Invalid principal in policy"),
        ({"Principal": {"Planet": "earth"}}, "Invalid principal in policy: Planet"),
        ({"Principal": {"AWS": [1]}}, "Invalid principal in policy"),
    ],
)
def test_trust_policies(change, message):
    validate_policy(policy(TRUST), "trust")
    with pytest.raises(AwsError) as caught:
        validate_policy(policy(TRUST | change), "trust")
    assert caught.value.message.startswith(message)
    with pytest.raises(AwsError, match="Missing required field Principal"):
        validate_policy(policy({"Effect": "Allow", "Action": "sts:AssumeRole"}), "trust")


BUCKET_FAULTS = [
    ("not json", "Policies must be valid JSON and the first byte must be '{'"),
    (policy(allow() | {"Effect": "Maybe"}), "Invalid effect: Maybe"),
    (policy(allow(resource=OBJECT)), "Missing required field Principal"),
    (policy(allow(resource="arn:aws:s3:::other/*") | named("*")), "Policy has invalid resource"),
    (policy(allow(resource="*") | named("*")), "Policy has invalid resource"),
    (policy(allow(resource="arn:aws:s3:::photosx") | named("*")), "Policy has invalid resource"),
    (policy(allow("iam:*", OBJECT) | named("*")), "Policy has invalid action"),
    (policy(allow(resource=OBJECT) | named("nobody")), "Invalid principal in policy"),
    (policy(allow(resource=OBJECT, Colour="red") | named("*")), "Unknown field Colour"),
    (policy(allow(resource=OBJECT) | named("*")) + " " * 20_480, "Policy exceeds the maximum allowed document size."),
]


@pytest.mark.parametrize(("text", "message"), BUCKET_FAULTS)
def test_bucket_policies_are_refused_in_s3s_words(text, message):
    with pytest.raises(AwsError) as caught:
        validate_policy(text, "bucket", "photos")
    assert (caught.value.code, caught.value.status, caught.value.message) == ("MalformedPolicy", 400, message)


def test_bucket_policies_that_are_good():
    for resource in (BUCKET, OBJECT, [BUCKET, f"{BUCKET}/*"], "arn:aws:s3:::ph*", "arn:aws:s3:::phot?s/x"):
        assert validate_policy(policy(allow(resource=resource) | named("*")), "bucket", "photos").statements


def test_named_arns():
    text = policy(allow() | named(USER_ARN, ROLE_ARN, HOME, "*"))
    assert named_arns(compile_policy(text)) == {USER_ARN, ROLE_ARN}


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"Statement":' * 20_000,
        '{"Statement":' + '{"Condition":' * 50_000,
        "9" * 100_000,
        '{"Version":' + "9" * 5000 + "}",
        '{"Statement":NaN}',
        '{"Version":1e999}',
        "\x00",
        "\ud800",
        '{"Version":"\\ud800","Statement":{}}',
        '{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":{"AWS":"\\ud800{0}"}}}',
        '{"Statement":{"Effect":{},"Action":"s3:*","Resource":"*"}}',
        '{"Statement":{"Effect":[],"Action":"s3:*","Resource":"*"},"Version":[]}',
        "x" * 200_000,
    ],
)
@pytest.mark.parametrize("kind", ["identity", "trust", "bucket", "resource"])
def test_hostile_text_is_only_malformed(text, kind):
    with pytest.raises(AwsError) as caught:
        validate_policy(text, kind, "photos")
    assert caught.value.code.startswith("MalformedPolicy")
    caught.value.message.encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.sampled_from(["*", "Allow", "s3:*"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "Version",
                    "Statement",
                    "Effect",
                    "Action",
                    "Resource",
                    "Principal",
                    "Condition",
                    "AWS",
                    "StringEquals",
                    "Sid",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_json_is_read_or_malformed(value):
    for text in (
        json.dumps(value),
        policy({"Effect": "Allow", "Action": "s3:*", "Condition": value, "Principal": value}),
    ):
        code = ""
        try:
            validate_policy(text, "resource")
        except AwsError as error:
            code = error.code
        assert code in ("", "MalformedPolicyDocument")
