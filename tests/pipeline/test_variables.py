"""References in configurations and the pipeline's own variables."""

from __future__ import annotations

import pytest

from opentrail.errors import AwsError
from opentrail.pipeline.variables import UnresolvedVariable, pipeline_variables, resolve


def test_references_are_replaced_where_they_stand():
    found = resolve(
        {"k": "v-#{codepipeline.PipelineExecutionId}/#{src.ETag}"},
        {"codepipeline": {"PipelineExecutionId": "1"}, "src": {"ETag": "e"}},
    )
    assert found == {"k": "v-1/e"}


def test_a_value_cannot_bring_a_reference_of_its_own():
    assert resolve({"k": "#{a.b}"}, {"a": {"b": "#{a.c}", "c": "x"}}) == {"k": "#{a.c}"}


def test_a_hole_is_an_error():
    with pytest.raises(UnresolvedVariable, match=r"src\.ETag"):
        resolve({"k": "#{src.ETag}"}, {})


def test_what_is_resolved_is_bounded():
    with pytest.raises(UnresolvedVariable, match="100 KB"):
        resolve({"k": "#{a.b}" * 100}, {"a": {"b": "x" * 2000}})


def test_defaults_and_given_values():
    declared = [{"name": "a", "defaultValue": "1"}, {"name": "b", "defaultValue": "2"}]
    assert pipeline_variables(declared, [{"name": "b", "value": "3"}]) == {"a": "1", "b": "3"}


@pytest.mark.parametrize("given", [[{"name": "z", "value": "1"}], []])
def test_unknown_and_missing_variables_are_refused(given):
    with pytest.raises(AwsError) as caught:
        pipeline_variables([{"name": "a"}], given)
    assert caught.value.code == "ValidationException"
