"""The rules of event selectors' fields, one by one: which operators and values each may have, and whom it lets through."""

from __future__ import annotations

import json

import pytest

from opentrail.errors import AwsError
from opentrail.record.event_selectors import OPERATORS, check_advanced, wanted_by
from opentrail.record.record_head import read_record
from tests.record.selecting import compile_selectors

OBJECT = "arn:aws:s3:::reports/2024/q1.csv"
ALL = frozenset(OPERATORS)
BASE = {
    "Management": {},
    "Data": {"resources.type": {"Equals": ["AWS::S3::Object"]}},
    "NetworkActivity": {"eventSource": {"Equals": ["s3.amazonaws.com"]}},
}


def selector(category: str, **fields: dict) -> dict:
    """With the fields that the category must have; `fields` by name, dots as two underscores."""
    given = {"eventCategory": {"Equals": [category]}} | BASE[category]
    given |= {name.replace("__", "."): operators for name, operators in fields.items()}
    return {"FieldSelectors": [{"Field": name, **operators} for name, operators in given.items()]}


RULES = [
    # category, field, a good value, operators that a trail's selector can have (API reference, AdvancedFieldSelector)
    ("Management", "eventSource", "kms.amazonaws.com", {"NotEquals"}),
    ("Management", "readOnly", "true", {"Equals"}),
    ("Management", "eventName", "CreateTrail", set()),
    ("Management", "eventType", "AwsApiCall", set()),
    ("Management", "sessionCredentialFromConsole", "true", set()),
    ("Management", "userIdentity__arn", "arn:aws:iam::111122223333:user/a", set()),
    ("Management", "resources__ARN", OBJECT, set()),
    ("Management", "resources__type", "AWS::S3::Object", set()),
    ("Management", "vpcEndpointId", "vpce-1", set()),
    ("Data", "readOnly", "false", {"Equals"}),
    ("Data", "resources__type", "AWS::S3::Object", {"Equals"}),
    ("Data", "resources__ARN", OBJECT, ALL),
    ("Data", "eventName", "PutObject", ALL),
    ("Data", "eventSource", "s3.amazonaws.com", ALL),
    ("Data", "eventType", "AwsApiCall", ALL),
    ("Data", "sessionCredentialFromConsole", "true", {"Equals", "NotEquals"}),
    ("Data", "userIdentity__arn", "arn:aws:iam::111122223333:user/a", ALL),
    ("Data", "errorCode", "VpceAccessDenied", set()),
    ("NetworkActivity", "eventSource", "kms.amazonaws.com", {"Equals"}),
    ("NetworkActivity", "eventName", "GetObject", ALL),
    ("NetworkActivity", "errorCode", "VpceAccessDenied", {"Equals"}),
    ("NetworkActivity", "vpcEndpointId", "vpce-1", ALL),
    ("NetworkActivity", "userIdentity__arn", "arn:aws:iam::111122223333:user/a", ALL),
    ("NetworkActivity", "readOnly", "true", set()),
]


def allowed(selectors: list[dict], store: bool = False) -> bool:
    try:
        check_advanced(selectors, store=store)
    except AwsError as error:
        return error.code != "InvalidEventSelectorsException"
    return True


@pytest.mark.parametrize(("category", "name", "value", "operators"), RULES)
def test_the_operators_of_a_field(category, name, value, operators):
    found = {operator for operator in OPERATORS if allowed([selector(category, **{name: {operator: [value]}})])}
    assert found == operators


@pytest.mark.parametrize(
    ("category", "fields"),
    [
        ("Management", {"eventSource": {"NotEquals": ["s3.amazonaws.com"]}}),
        ("Data", {"readOnly": {"Equals": ["yes"]}}),
        ("Data", {"resources__type": {"Equals": ["AWS::S3::Object", "AWS::Lambda::Function"]}}),
        ("Data", {"resources__type": {"Equals": ["S3"]}}),
        ("Data", {"resources__ARN": {"Equals": ["reports"]}}),
        ("Data", {"resources__ARN": {"NotEquals": ["arn:aws:s3:::reports"]}}),
        ("Data", {"sessionCredentialFromConsole": {"Equals": ["false"]}}),
        ("NetworkActivity", {"errorCode": {"Equals": ["AccessDenied"]}}),
    ],
)
def test_values_that_a_field_cannot_have(category, fields):
    assert not allowed([selector(category, **fields)])


def test_an_event_data_store_may_name_more_fields_of_management_events():
    fields = {
        "eventName": {"StartsWith": ["Create"]},
        "eventSource": {"Equals": ["iam.amazonaws.com"]},
        "userIdentity__arn": {"NotEndsWith": ["/a"]},
    }
    assert allowed([selector("Management", **fields)], store=True)
    assert not allowed([selector("Management", **fields)])


def record(**members: object) -> object:
    whole = {
        "eventSource": "s3.amazonaws.com",
        "eventName": "PutObject",
        "eventType": "AwsApiCall",
        "eventCategory": "Data",
        "readOnly": False,
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/alice"},
        "resources": [{"type": "AWS::S3::Object", "ARN": OBJECT}],
    }
    return read_record(json.dumps(whole | members).encode())


NETWORK = {"eventCategory": "NetworkActivity", "eventType": "AwsVpceEvent", "vpcEndpointId": "vpce-1"}


@pytest.mark.parametrize(
    ("category", "fields", "members", "wanted"),
    [
        ("Data", {"userIdentity__arn": {"NotEndsWith": ["/bob"]}}, {}, True),
        ("Data", {"userIdentity__arn": {"StartsWith": ["arn:aws:sts"]}}, {}, False),
        ("Data", {"userIdentity__arn": {"NotStartsWith": ["arn"]}}, {"userIdentity": {"type": "AWSService"}}, True),
        (
            "Data",
            {"sessionCredentialFromConsole": {"Equals": ["true"]}},
            {"sessionCredentialFromConsole": "true"},
            True,
        ),
        (
            "Data",
            {"sessionCredentialFromConsole": {"NotEquals": ["true"]}},
            {"sessionCredentialFromConsole": "true"},
            False,
        ),
        ("Data", {"sessionCredentialFromConsole": {"NotEquals": ["true"]}}, {}, True),
        ("Data", {"eventType": {"NotEquals": ["AwsApiCall"]}}, {}, False),
        ("Data", {"eventType": {"EndsWith": ["Call"]}}, {}, True),
        ("Data", {}, NETWORK, False),
        ("NetworkActivity", {}, NETWORK, True),
        ("NetworkActivity", {}, {}, False),
        ("NetworkActivity", {"errorCode": {"Equals": ["VpceAccessDenied"]}}, NETWORK, False),
        (
            "NetworkActivity",
            {"errorCode": {"Equals": ["VpceAccessDenied"]}},
            NETWORK | {"errorCode": "VpceAccessDenied"},
            True,
        ),
        ("NetworkActivity", {"vpcEndpointId": {"NotEquals": ["vpce-1"]}}, NETWORK, False),
        ("NetworkActivity", {"eventSource": {"Equals": ["kms.amazonaws.com"]}}, NETWORK, False),
        ("Management", {}, NETWORK, False),
    ],
)
def test_what_a_field_lets_through(category, fields, members, wanted):
    assert compile_selectors(advanced=[selector(category, **fields)])(record(**members)) is wanted


@pytest.mark.parametrize(
    ("name", "whole", "prefix", "value", "wanted"),
    [
        # a call on many objects is matched by the prefix it names: none is the whole bucket
        ("HeadBucket", "", "", "arn:aws:s3:::reports/", True),
        ("DeleteObjects", "", "", "arn:aws:s3:::reports/", True),
        ("DeleteObjects", "", "", "arn:aws:s3:::reports/2024", False),
        ("HeadBucket", "", "", "arn:aws:s3:::reports/2024", False),
        ("HeadBucket", "", "", "arn:aws:s3", True),
        ("HeadBucket", "", "", "arn:aws:s3:::report", False),
        ("ListObjects", "", "2024/", "arn:aws:s3:::reports/2024", True),
        ("ListObjects", "", "20", "arn:aws:s3:::reports/2024", False),
        ("ListObjectVersions", "", "2024/q", "arn:aws:s3:::reports/2024", True),
        ("GetObject", "2024/q1.csv", "", "arn:aws:s3:::reports/2024", True),
        ("GetObject", "2025/q1.csv", "", "arn:aws:s3:::reports/2024", False),
    ],
)
def test_calls_on_a_bucket_are_data_events_of_a_prefix(name, whole, prefix, value, wanted):
    resource = {"ARN": f"arn:aws:s3:::reports/{whole}"} if whole else {"ARNPrefix": f"arn:aws:s3:::reports/{prefix}"}
    resources = [{"type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::reports"}, {"type": "AWS::S3::Object", **resource}]
    basic = {
        "IncludeManagementEvents": False,
        "DataResources": [{"Type": "AWS::S3::Object", "Values": [value]}],
    }
    shown = record(eventName=name, resources=resources)
    if value == "arn:aws:s3:::report":  # no trail may have it, and it selects nothing
        with pytest.raises(AwsError):
            compile_selectors([basic])
        return
    assert compile_selectors([basic])(shown) is wanted
    advanced = selector("Data", resources__ARN={"StartsWith": [value]})
    assert compile_selectors(advanced=[advanced])(shown) is wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("arn:aws:lambda", True), (":function:hello", True), (":function:hell", False), (":function:hello2", False)],
)
def test_a_functions_arn_is_meant_exactly(value, wanted):
    start = "" if value.startswith("arn") else "arn:aws:lambda:us-east-1:111122223333"
    basic = {"DataResources": [{"Type": "AWS::Lambda::Function", "Values": [start + value]}]}
    invoked = {"type": "AWS::Lambda::Function", "ARN": "arn:aws:lambda:us-east-1:111122223333:function:hello"}
    assert compile_selectors([basic])(record(eventName="Invoke", resources=[invoked])) is wanted


def test_what_is_stored_is_not_checked_again():
    """A rule that came later must not stop the delivery of a trail that was allowed before."""
    early = selector("Management", eventName={"Equals": ["CreateTrail"]})
    assert wanted_by(advanced=[early])(record(eventCategory="Management", eventName="CreateTrail"))
