"""The model's constraints on real shapes, in AWS's words; hostile values included."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opentrail.errors import AwsError
from opentrail.model.load import load_models
from opentrail.pipeline.constraints import check
from tests.pipeline.made import declaration, deploy

SHAPE = load_models().operation("codepipeline", "CreatePipeline").input


def message(value: object) -> str:
    with pytest.raises(AwsError) as caught:
        check(SHAPE, value)
    assert (caught.value.code, caught.value.status) == ("ValidationException", 400)
    return caught.value.message


def test_a_good_declaration_passes():
    check(SHAPE, {"pipeline": declaration(), "tags": [{"key": "a", "value": ""}]})


def test_an_empty_configuration_value_is_refused_with_the_whole_map():
    bad = deploy(configuration={"BucketName": "site", "Extract": ""})
    assert message({"pipeline": declaration({"name": "Deploy", "actions": [bad]})}) == (
        "1 validation error detected: Value '{BucketName=site, Extract=}' at "
        "'pipeline.stages.2.member.actions.1.member.configuration' failed to satisfy constraint: Map value must satisfy "
        "constraint: [Member must have length less than or equal to 1000, Member must have length greater than or "
        "equal to 1]"
    )


def test_missing_members_are_named():
    given_ = declaration()
    del given_["roleArn"], given_["name"]
    assert message({"pipeline": given_}) == (
        "2 validation errors detected: Value null at 'pipeline.name' failed to satisfy constraint: Member must not be "
        "null; Value null at 'pipeline.roleArn' failed to satisfy constraint: Member must not be null"
    )


@pytest.mark.parametrize(
    ("name", "constraint"),
    [
        ("a/b", "Member must satisfy regular expression pattern: [A-Za-z0-9.@\\-_]+"),
        ("a\0b", "Member must satisfy regular expression pattern"),
        ("a\n", "Member must satisfy regular expression pattern"),
        ("x" * 101, "Member must have length less than or equal to 100"),
        ("", "Member must have length greater than or equal to 1"),
        (7, "Member must be a string"),
        (["x"], "Member must be a string"),
    ],
)
def test_bad_names(name, constraint):
    assert constraint in message({"pipeline": declaration(name=name)})


def test_numbers_have_a_range_and_are_no_booleans():
    stage = {"name": "Deploy", "actions": [deploy(runOrder=1000)]}
    assert "Member must have value less than or equal to 999" in message({"pipeline": declaration(stage)})
    stage = {"name": "Deploy", "actions": [deploy(runOrder=True)]}
    assert "Member must be an integer" in message({"pipeline": declaration(stage)})


def test_enumerations():
    assert "enum value set: [PARALLEL, QUEUED, SUPERSEDED]" in message({"pipeline": declaration(executionMode="X")})


def test_not_all_of_a_thousand_errors_are_listed():
    stages = [{"name": "/", "actions": []}] * 1000
    assert message({"pipeline": declaration(*stages)}).startswith("10 validation errors detected")


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "stages", "x"]), inner),
    max_leaves=10,
)


@given(json_like, json_like)
@settings(max_examples=60, deadline=None)
def test_nothing_but_an_aws_error_comes_of_nonsense(pipeline, tags):
    with contextlib.suppress(AwsError):
        check(SHAPE, {"pipeline": {**declaration(), "stages": pipeline}, "tags": tags})
