"""Event selectors: which are valid, and which records they want."""

from __future__ import annotations

import json

import pytest

from opentrail.errors import AwsError
from opentrail.record.build import build
from opentrail.record.event_selectors import DEFAULT_SELECTORS
from opentrail.record.record_head import read_record
from tests.record.made import PUT_OBJECT, call, counter, operation
from tests.record.selecting import compile_selectors


def head(op=PUT_OBJECT, **parts):
    return read_record(build(call(op, **parts), counter())[0])


def listing(prefix):
    op = operation("ListObjectsV2", read_only=True, category="Data", event_name="ListObjects")
    return head(op, input={"Bucket": "reports", "Prefix": prefix})


def head_bucket():
    return head(operation("HeadBucket", read_only=True, category="Data"), input={"Bucket": "reports"})


def management(source="s3.amazonaws.com", read_only=False):
    op = operation("CreateBucket", read_only=read_only, event_source=source)
    return head(op, input={"Bucket": "reports"})


def objects(*values, read_write="All", with_management=False):
    return {
        "ReadWriteType": read_write,
        "IncludeManagementEvents": with_management,
        "DataResources": [{"Type": "AWS::S3::Object", "Values": list(values)}],
    }


def field(name, **operators):
    return {"Field": name, **{key: list(value) for key, value in operators.items()}}


def data(*fields):
    return {
        "Name": "x",
        "FieldSelectors": [
            field("eventCategory", Equals=["Data"]),
            field("resources.type", Equals=["AWS::S3::Object"]),
            *fields,
        ],
    }


def test_the_head_of_a_record():
    shown = head()
    assert shown.event_name == "PutObject"
    assert shown.event_source == "s3.amazonaws.com"
    assert shown.event_id == "00000000-0000-4000-8000-000000000001"
    assert (shown.read_only, shown.management_event, shown.event_category) == (False, False, "Data")
    assert (shown.recipient_account_id, shown.aws_region) == ("111122223333", "us-east-1")
    assert shown.user_identity.arn.endswith(":user/staff/alice")
    assert shown.resources[1].arn == "arn:aws:s3:::reports/2024/q1.csv"


def test_a_new_trail_wants_management_events_only():
    wants = compile_selectors()
    assert wants(management())
    assert wants(management(read_only=True))
    assert not wants(head())
    assert compile_selectors(DEFAULT_SELECTORS)(management())


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("arn:aws:s3", True),
        ("arn:aws:s3:::", True),
        ("arn:aws:s3:::reports/", True),
        ("arn:aws:s3:::reports/2024/q1.csv", True),
        ("arn:aws:s3:::reports/2024", True),
        ("arn:aws:s3:::reports/2023", False),
        ("arn:aws:s3:::other/", False),
    ],
)
def test_values_are_prefixes(value, wanted):
    assert compile_selectors([objects(value)])(head()) is wanted


def test_a_listing_is_matched_by_its_prefix():
    wants = compile_selectors([objects("arn:aws:s3:::reports/2024/")])
    assert wants(listing("2024/05/"))
    assert wants(listing("2024/"))
    assert not wants(listing("20"))
    assert not wants(listing(""))


def test_the_bucket_as_a_whole_is_matched_by_an_empty_prefix():
    assert compile_selectors([objects("arn:aws:s3:::reports/")])(head_bucket())
    assert not compile_selectors([objects("arn:aws:s3:::reports/2024/")])(head_bucket())


def test_read_and_write_are_told_apart():
    assert not compile_selectors([objects("arn:aws:s3", read_write="ReadOnly")])(head())
    assert compile_selectors([objects("arn:aws:s3", read_write="WriteOnly")])(head())
    only_reads = {"ReadWriteType": "ReadOnly", "IncludeManagementEvents": True}
    assert not compile_selectors([only_reads])(management())
    assert compile_selectors([only_reads])(management(read_only=True))


def test_sources_can_be_kept_out():
    wants = compile_selectors(
        [{"IncludeManagementEvents": True, "ExcludeManagementEventSources": ["kms.amazonaws.com"]}]
    )
    assert not wants(management("kms.amazonaws.com"))
    assert wants(management())


def test_selectors_and_resources_of_a_kind_are_alternatives():
    assert compile_selectors([objects("arn:aws:s3:::no/"), objects("arn:aws:s3:::reports/")])(head())
    twice = objects("arn:aws:s3:::reports/")
    twice["DataResources"].append({"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::no/"]})
    assert compile_selectors([twice])(head())


def test_no_values_select_nothing():
    assert not compile_selectors([objects()])(head())


@pytest.mark.parametrize(
    "selectors",
    [
        [{"ReadWriteType": "Some"}],
        [{"ReadWriteType": ["All"]}],
        [{"IncludeManagementEvents": False}],
        [{"IncludeManagementEvents": False, "ExcludeManagementEventSources": ["kms.amazonaws.com"]}],
        [{"ExcludeManagementEventSources": ["s3.amazonaws.com"]}],
        [{"ExcludeManagementEventSources": "kms.amazonaws.com"}],
        [{"DataResources": [{"Type": "AWS::S3::Bucket", "Values": []}]}],
        [{"DataResources": [{"Type": ["AWS::S3::Object"], "Values": []}]}],
        [{"DataResources": [{"Values": ["arn:aws:s3"]}]}],
        [{"DataResources": ["arn:aws:s3"]}],
        [objects("arn:aws:s3:::reports")],
        [objects("reports/")],
        [objects("")],
        [objects("arn:aws:s3:::b/" + "x" * 2_048)],
        [objects(7)],
        [objects(*[f"arn:aws:s3:::b{n}/" for n in range(251)])],
        [objects("arn:aws:s3")] * 6,
        ["All"],
    ],
)
def test_basic_selectors_that_no_trail_may_have(selectors):
    with pytest.raises(AwsError) as caught:
        compile_selectors(selectors)
    assert (caught.value.code, caught.value.status) == ("InvalidEventSelectorsException", 400)
    assert caught.value.message


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ((), True),
        ((field("readOnly", Equals=["false"]),), True),
        ((field("readOnly", Equals=["true"]),), False),
        ((field("eventName", Equals=["PutObject", "CopyObject"]),), True),
        ((field("eventName", StartsWith=["Put"], NotEquals=["PutObjectAcl"]),), True),
        ((field("eventName", StartsWith=["Put"], NotEquals=["PutObject"]),), False),
        ((field("eventName", NotStartsWith=["Delete"], NotEndsWith=["Acl"]),), True),
        ((field("eventName", EndsWith=["Acl", "Object"]),), True),
        ((field("resources.ARN", StartsWith=["arn:aws:s3:::reports/"]),), True),
        ((field("resources.ARN", Equals=["arn:aws:s3:::reports/2024/q1.csv"]),), True),
        ((field("resources.ARN", NotStartsWith=["arn:aws:s3:::reports/"]),), False),
        ((field("resources.ARN", EndsWith=[".csv"]),), True),
        ((field("userIdentity.arn", NotEndsWith=["/alice"]),), False),
        ((field("sessionCredentialFromConsole", NotEquals=["true"]),), True),
        ((field("sessionCredentialFromConsole", Equals=["true"]),), False),
        ((field("eventSource", Equals=["s3.amazonaws.com"]), field("eventType", Equals=["AwsConsoleAction"])), False),
    ],
)
def test_advanced_selectors_on_an_upload(fields, wanted):
    assert compile_selectors(advanced=[data(*fields)])(head()) is wanted


def test_a_prefix_equals_no_arn():
    whole = "arn:aws:s3:::reports/2024/"
    assert not compile_selectors(advanced=[data(field("resources.ARN", Equals=[whole]))])(listing("2024/"))
    assert compile_selectors(advanced=[data(field("resources.ARN", StartsWith=[whole]))])(listing("2024/"))


def test_advanced_selectors_are_alternatives():
    manages = {"FieldSelectors": [field("eventCategory", Equals=["Management"])]}
    wants = compile_selectors(advanced=[manages, data(field("eventName", Equals=["GetObject"]))])
    assert wants(management())
    assert not wants(head())


@pytest.mark.parametrize(
    "selectors",
    [
        [{}],
        [{"FieldSelectors": []}],
        [{"FieldSelectors": [field("eventCategory", Equals=["Data"])]}],
        [{"FieldSelectors": [field("eventCategory", Equals=["Everything"])]}],
        [{"FieldSelectors": [field("eventCategory", StartsWith=["Data"])]}],
        [{"FieldSelectors": [field("eventCategory", Equals=["Management"]), field("resources.ARN", Equals=["a"])]}],
        [{"FieldSelectors": [field("eventCategory", Equals=["NetworkActivity"])]}],
        [data(field("eventName"))],
        [data(field("eventName", Equals=[""]))],
        [data(field("eventName", Equals=["a"]), field("eventName", Equals=["b"]))],
        [data(field("readOnly", NotEquals=["true"]))],
        [data(field("readOnly", Equals=["yes"]))],
        [data(field("eventName", Equals=["x" * 2_049]))],
        [data(field("eventName", Equals=[f"e{n}" for n in range(501)]))],
        [data({"Field": ["eventName"], "Equals": ["x"]})],
        [data({"Field": "eventName", "Equals": "x"})],
        [{**data(), "Name": "n" * 1_001}],
        [data("eventName")],
        [None],
    ],
)
def test_advanced_selectors_that_no_trail_may_have(selectors):
    with pytest.raises(AwsError) as caught:
        compile_selectors(advanced=selectors)
    assert caught.value.code == "InvalidEventSelectorsException"


def test_other_peoples_records_are_read_too():
    shown = read_record(json.dumps({"eventType": "AwsServiceEvent", "userIdentity": {"invokedBy": "x"}}).encode())
    assert (shown.event_type, shown.read_only, shown.resources) == ("AwsServiceEvent", None, ())
