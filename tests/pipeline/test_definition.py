"""What AWS refuses of a declaration, and with which words."""

from __future__ import annotations

import pytest

from opentrail.errors import AwsError
from opentrail.pipeline.definition import mask_secrets, normal, plan_of, validate
from tests.pipeline.made import approval, declaration, deploy, plan, source, type_id

REGION = "us-east-1"


def refusal(given: dict) -> tuple[str, str]:
    with pytest.raises(AwsError) as caught:
        validate(given, REGION)
    assert caught.value.status == 400
    return caught.value.code, caught.value.message


def test_a_source_and_a_deployment_are_a_pipeline():
    validate(declaration(), REGION)


def test_one_stage_is_too_few():
    given = declaration()
    del given["stages"][1:]
    assert refusal(given) == (
        "InvalidStructureException",
        "Pipeline has only 1 stage(s). There should be a minimum of 2 stages in a pipeline",
    )


def test_fifty_one_stages_are_too_many():
    given = declaration(*({"name": f"S{n}", "actions": [approval()]} for n in range(50)))
    assert refusal(given)[0] == "InvalidStructureException"


def test_the_first_stage_only_has_sources():
    given = declaration()
    given["stages"][0]["actions"].append(approval())
    assert refusal(given) == (
        "InvalidStructureException",
        "Pipeline should start with a stage that only contains source actions",
    )


def test_later_stages_have_none():
    given = declaration({"name": "Two", "actions": [source(outputArtifacts=[{"name": "Other"}])]})
    code, message = refusal(given)
    assert code == "InvalidStructureException"
    assert "Two" in message


def test_names_are_unique():
    twice = {"name": "Source", "actions": [deploy()]}
    assert refusal(declaration(twice)) == ("InvalidStructureException", "Duplicate stage name 'Source' in the pipeline")
    both = {"name": "Deploy", "actions": [deploy(), deploy()]}
    assert refusal(declaration(both))[0] == "InvalidStageDeclarationException"


def test_a_stage_has_actions():
    assert refusal(declaration({"name": "Empty", "actions": []})) == (
        "InvalidStageDeclarationException",
        "Stage 'Empty' does not contain any actions",
    )


def test_an_unknown_action_type_is_named_as_aws_names_it():
    strange = source(actionTypeId={"category": "Source", "owner": "Custom", "provider": "X", "version": "1"}, name="A")
    given = declaration()
    given["stages"][0]["actions"] = [strange]
    assert refusal(given) == (
        "InvalidActionDeclarationException",
        "ActionType (Category: 'Source', Provider: 'X', Owner: 'Custom', Version: '1') in action 'A' is not available "
        "in region 'US_EAST_1'",
    )


@pytest.mark.parametrize("category", ["Build", "Test", "Invoke"])
def test_a_provider_of_another_category_is_unknown(category):
    given = declaration({"name": "Deploy", "actions": [deploy(actionTypeId=type_id(f"AWS {category} S3"))]})
    assert refusal(given)[0] == "InvalidActionDeclarationException"


def test_required_configuration_is_required():
    given = declaration({"name": "Deploy", "actions": [deploy(configuration={"BucketName": "site"})]})
    assert refusal(given) == (
        "InvalidActionDeclarationException",
        "Action configuration for action 'Ship' is missing required configuration 'Extract'",
    )


def test_unknown_configuration_is_refused():
    wrong = {"BucketName": "site", "Extract": "true", "Colour": "red"}
    assert refusal(declaration({"name": "Deploy", "actions": [deploy(configuration=wrong)]})) == (
        "InvalidActionDeclarationException",
        "Action configuration for action 'Ship' contains unknown configuration 'Colour'",
    )


@pytest.mark.parametrize(
    "configuration",
    [
        {"BucketName": "site", "Extract": "false"},
        {"BucketName": "site", "Extract": "perhaps"},
        {"BucketName": "site", "Extract": "true", "CannedACL": "everybody"},
    ],
)
def test_values_that_could_not_work_are_refused(configuration):
    given = declaration({"name": "Deploy", "actions": [deploy(configuration=configuration)]})
    assert refusal(given)[0] == "InvalidActionDeclarationException"


def test_artifact_counts_are_the_types():
    none = declaration({"name": "Deploy", "actions": [deploy(inputArtifacts=[])]})
    code, message = refusal(none)
    assert code == "InvalidActionDeclarationException"
    assert message.startswith("Pipeline action declares 0 input artifacts which is less than the minimum count (1)")
    some = declaration({"name": "Deploy", "actions": [deploy(outputArtifacts=[{"name": "X"}])]})
    assert "more than the maximum count (0)" in refusal(some)[1]


def test_an_input_comes_from_before():
    unknown = declaration({"name": "Deploy", "actions": [deploy(inputArtifacts=[{"name": "Nothing"}])]})
    assert refusal(unknown)[0] == "InvalidActionDeclarationException"
    build = {
        "name": "Make",
        "actionTypeId": type_id("AWS Build CodeBuild"),
        "configuration": {"ProjectName": "p"},
        "inputArtifacts": [{"name": "App"}],
        "outputArtifacts": [{"name": "Built"}],
    }
    user = deploy(inputArtifacts=[{"name": "Built"}])
    assert "Built" in refusal(declaration({"name": "Both", "actions": [build, user]}))[1]
    validate(declaration({"name": "Both", "actions": [build, {**user, "runOrder": 2}]}), REGION)


def test_an_output_name_is_used_once():
    given = declaration()
    given["stages"][0]["actions"].append(source("Other"))
    assert "used more than once" in refusal(given)[1]


def test_exactly_one_kind_of_store():
    store = {"type": "S3", "location": "artifacts"}
    assert refusal(declaration(artifactStores={REGION: store}))[0] == "InvalidStructureException"
    neither = declaration()
    del neither["artifactStore"]
    assert refusal(neither)[0] == "InvalidStructureException"


def test_another_region_needs_its_store():
    far = {"name": "Deploy", "actions": [deploy(region="eu-west-1")]}
    assert refusal(declaration(far))[0] == "InvalidStructureException"
    store = {"type": "S3", "location": "artifacts"}
    given = declaration(far, artifactStores={REGION: store})
    del given["artifactStore"]
    assert "eu-west-1" in refusal(given)[1]
    given["artifactStores"]["eu-west-1"] = store
    validate(given, REGION)


def test_what_only_v2_has_is_refused_in_v1():
    assert refusal(declaration(pipelineType="V1", executionMode="QUEUED"))[0] == "InvalidStructureException"
    validate(declaration(executionMode="QUEUED"), REGION)


def test_a_trigger_names_a_source():
    def triggered(name: str) -> dict:
        git = {"sourceActionName": name}
        return declaration(triggers=[{"providerType": "CodeStarSourceConnection", "gitConfiguration": git}])

    validate(triggered("Fetch"), REGION)
    assert refusal(triggered("Ship"))[0] == "InvalidStructureException"


def test_conditions_are_refused_rather_than_ignored():
    held = {"name": "Deploy", "actions": [deploy()], "beforeEntry": {"conditions": [{"result": "FAIL"}]}}
    assert refusal(declaration(held))[0] == "InvalidStageDeclarationException"
    rolled = {"name": "Deploy", "actions": [deploy()], "onFailure": {"result": "ROLLBACK"}}
    assert refusal(declaration(rolled))[0] == "InvalidStageDeclarationException"
    blocked = {"name": "Deploy", "actions": [deploy()], "blockers": [{"name": "b", "type": "Schedule"}]}
    assert refusal(declaration(blocked))[0] == "InvalidBlockerDeclarationException"


def test_namespaces_are_unique_and_not_reserved():
    given = declaration({"name": "Deploy", "actions": [deploy(namespace="n")]})
    given["stages"][0]["actions"][0]["namespace"] = "n"
    assert "Namespace 'n'" in refusal(given)[1]
    given["stages"][0]["actions"][0]["namespace"] = "codepipeline"
    assert "reserved" in refusal(given)[1]


def test_normal_form_has_model_order_and_defaults():
    shown = normal(declaration(), 3)
    assert list(shown) == ["name", "roleArn", "artifactStore", "stages", "version", "executionMode", "pipelineType"]
    assert (shown["version"], shown["executionMode"], shown["pipelineType"]) == (3, "SUPERSEDED", "V1")
    action = shown["stages"][1]["actions"][0]
    assert list(action) == [
        "name",
        "actionTypeId",
        "runOrder",
        "configuration",
        "outputArtifacts",
        "inputArtifacts",
    ]
    assert action["runOrder"] == 1
    assert action["outputArtifacts"] == []


def test_v2_features_make_it_v2():
    assert normal(declaration(variables=[{"name": "a"}]), 1)["pipelineType"] == "V2"


def test_plan_groups_by_run_order():
    stage = {"name": "Two", "actions": [approval("c", runOrder=7), approval("a"), approval("b")]}
    assert plan_of(declaration(stage)) == plan("Source: Fetch; Two: a b, c")


def test_secrets_are_masked_and_handed_back_once():
    hub = source(
        actionTypeId=type_id("ThirdParty Source GitHub"),
        configuration={"Owner": "o", "Repo": "r", "Branch": "b", "OAuthToken": "s3cret"},
    )
    given = declaration()
    given["stages"][0]["actions"] = [hub]
    masked, secrets = mask_secrets(given)
    assert masked["stages"][0]["actions"][0]["configuration"]["OAuthToken"] == "****"
    assert secrets == {("Source", "Fetch", "OAuthToken"): "s3cret"}
    assert given["stages"][0]["actions"][0]["configuration"]["OAuthToken"] == "s3cret"
    again, none = mask_secrets(masked)
    assert (again, none) == (masked, {})
