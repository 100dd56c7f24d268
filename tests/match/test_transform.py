import json
import os
from pathlib import Path

import pytest

from opentrail.match.transform import Context, Transformer, parse_path, render, select, unknown_placeholders

EVENT = {
    "id": "1",
    "detail-type": "T",
    "source": "my.app",
    "resources": [],
    "detail": {"name": 'a "b"', "list": ["x", "y"], "n": 5, "ok": True, "none": None, "o": {"k": "v"}},
}


def filled(template, **paths):
    return render(EVENT, Transformer(template, paths), Context("arn:rule", "rule", "2026-01-01T00:00:00Z"))


def test_json_template_inserts_values_and_text():
    got = filled('{"v": <o>, "t": "n is <n>", "s": <s>, "q": "<s>"}', o="$.detail.o", n="$.detail.n", s="$.detail.name")
    assert json.loads(got) == {"v": {"k": "v"}, "t": "n is 5", "s": 'a "b"', "q": 'a "b"'}


def test_object_inside_quotes_drops_the_delivery():
    assert filled('{"v": "<o>"}', o="$.detail.o") is None


def test_missing_value_is_empty_text():
    assert filled('{"v": "<gone>"}', gone="$.detail.gone") == b'{"v": ""}'
    assert filled('"<gone> left"', gone="$.detail.gone[3].x") == b'" left"'


def test_text_template_keeps_its_quotes_and_strips_those_of_values():
    assert filled('"<l> <o>"', l="$.detail.list", o="$.detail.o") == b'"[x,y] {k:v}"'


def test_reserved_placeholders():
    got = json.loads(filled('{"r": <aws.events.rule-arn>, "e": <aws.events.event>, "all": <aws.events.event.json>}'))
    assert got["r"] == "arn:rule"
    assert got["e"] == {"id": "1", "detailType": "T", "source": "my.app", "resources": []}
    assert got["all"] == EVENT


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("$", ()),
        ("$.a.b-c[0]", ("a", "b-c", 0)),
        ("$.detail-type", ("detail-type",)),
        ("$['a b'].c", ("a b", "c")),
        ("a", None),
        ("$.", None),
        ("$..a", None),
        ("$[x]", None),
        ("$" + ".a" * 500, None),
    ],
)
def test_paths(path, steps):
    assert parse_path(path) == steps


def test_select():
    assert select(EVENT, "$.detail.list") == b'["x","y"]'
    assert select(EVENT, "$.source") == b'"my.app"'
    assert select(EVENT, "$.gone") == b"null"


def test_unknown_placeholders():
    assert unknown_placeholders(Transformer("<a> <b> <aws.events.event> <b>", {"a": "$"})) == ["b"]


def test_payload_has_a_limit():
    assert render({"x": "y" * 300_000}, Transformer('"<x>"', {"x": "$.x"}), Context()) is None


DATA = os.environ.get("OPENTRAIL_REFERENCE_DATA", "")


@pytest.mark.skipif(not DATA, reason="OPENTRAIL_REFERENCE_DATA is not set")
def test_cases_recorded_on_aws():
    for case in json.loads((Path(DATA) / "input_transformer_cases.json").read_text()):
        got = render({"detail": case["detail"]}, Transformer(case["template"], case["paths"]), Context())
        if not case["delivered"]:
            assert got is None, case
        elif isinstance(case["expect"], str):
            assert got == case["expect"].encode(), case
        else:
            assert json.loads(got) == case["expect"], case
