import json

import pytest

from opentrail.errors import AwsError
from opentrail.rows.messages import Attribute
from opentrail.rows.sns_filter import check_filter, wants

ATTRIBUTES = {
    "kind": Attribute("String", "order"),
    "price": Attribute("Number", "12.50"),
    "odd": Attribute("Number", "+1"),
    "tags": Attribute("String.Array", '["a","b",3,null]'),
    "broken": Attribute("String.Array", "[" * 5000),
    "bytes": Attribute("Binary", data=b"order"),
}

WANTED = [
    ({"kind": ["order"]}, True),
    ({"kind": ["other", "order"]}, True),
    ({"kind": ["Order"]}, False),
    ({"kind": [{"prefix": "ord"}], "price": [{"numeric": [">=", 12.5, "<", 13]}]}, True),
    ({"price": [12.5]}, True),
    ({"price": ["12.50"]}, False),
    ({"kind": [{"anything-but": ["order"]}]}, False),
    ({"tags": ["b"]}, True),
    ({"tags": [3]}, True),
    ({"tags": ["c"]}, False),
    ({"nothing": [{"exists": False}]}, True),
    ({"kind": [{"exists": True}]}, True),
    ({"bytes": [{"exists": True}]}, False),
    ({"odd": [{"exists": True}]}, False),
    ({"broken": [{"exists": True}]}, False),
    ({"$or": [{"kind": ["x"]}, {"price": [{"numeric": ["=", 12.5]}]}]}, True),
    ({"kind": [{"suffix": "er"}]}, True),
    ({"kind": [{"equals-ignore-case": "ORDER"}]}, True),
]


@pytest.mark.parametrize(("policy", "expected"), WANTED)
def test_attributes(policy, expected):
    text = json.dumps(policy)
    check_filter(text, "MessageAttributes")
    assert wants(text, "MessageAttributes", "{}", ATTRIBUTES) is expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('{"a":{"b":"x"}}', True),
        ('{"a":[{"b":"x"},{"b":"y"}]}', True),
        ('{"a":{"b":"y"}}', False),
        ('["a"]', False),
        ("no json", False),
        ("[" * 100_000, False),
        ('{"a":' * 5000, False),
    ],
)
def test_bodies(message, expected):
    text = '{"a":{"b":["x"]}}'
    check_filter(text, "MessageBody")
    assert wants(text, "MessageBody", message, {}) is expected


@pytest.mark.parametrize("policy", ["", "{}"])
def test_no_policy_wants_everything(policy):
    assert wants(policy, "MessageBody", "no json", {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        '"a"',
        '{"a":"b"}',
        '{"a":[]}',
        '{"a":[{"nope":1}]}',
        '{"a":{"b":["c"]}}',
        '{"a":' * 5000,
        '{"a":' * 500 + "[1]" + "}" * 500,
        json.dumps({str(each): [1] for each in range(6)}),
        json.dumps({"a": list(range(151))}),
        json.dumps({"$or": [{"a": ["x" * 9000]}, {"b": ["y"]}]}),
    ],
)
def test_what_is_no_filter(text):
    with pytest.raises(AwsError) as caught:
        check_filter(text, "MessageAttributes")
    assert caught.value.code == "InvalidParameter"
