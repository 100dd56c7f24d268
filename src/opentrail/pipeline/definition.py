"""A pipeline's declaration: AWS's rules that go across fields, its normal form, and the plan that the engine follows.

Lengths, patterns and required members are checked against the model before (`wire.validate`). Source of the rules: the
CodePipeline user guide (pipeline structure reference, limits). Knows nothing of accounts, tables or the wire.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from opentrail.errors import AwsError
from opentrail.pipeline.actions_check import check_action
from opentrail.pipeline.catalogue import find_action_type

STAGES_MIN = 2
STAGES_MAX = 50
STAGE_ACTIONS_MAX = 50
PIPELINE_ACTIONS_MAX = 500
DEFAULT_RUN_ORDER = 1
MASK = "****"
"""What AWS shows in place of a secret configuration value."""
MODES = ("SUPERSEDED", "QUEUED", "PARALLEL")

Declaration = Mapping[str, Any]
SecretPath = tuple[str, str, str]
"""(stage, action, configuration key)."""


class StagePlan(msgspec.Struct, frozen=True):
    """A stage as the engine sees it: groups of actions that run together, in order."""

    name: str
    groups: tuple[tuple[str, ...], ...]


class Plan(msgspec.Struct, frozen=True):
    """What `advance` needs of a declaration."""

    mode: str
    stages: tuple[StagePlan, ...]

    def index(self, stage: str) -> int:
        """Position of a stage; -1 if the plan has none of that name."""
        return next((i for i, item in enumerate(self.stages) if item.name == stage), -1)


def actions_of(declaration: Declaration) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(stage, action) of every action, in order."""
    for stage in declaration["stages"]:
        for action in stage["actions"]:
            yield stage, action


def find_action(declaration: Declaration, stage: str, action: str) -> dict[str, Any] | None:
    for s, a in actions_of(declaration):
        if s["name"] == stage and a["name"] == action:
            return a
    return None


def validate(declaration: Declaration, region: str) -> None:
    """Raise AWS's Invalid…Exception if the declaration is not a pipeline for `region`.

    Expects members and types as the model demands them.
    """
    _check_stages(declaration)
    _check_stores(declaration, region)
    _check_type(declaration)
    for stage, action in actions_of(declaration):
        check_action(stage["name"], action, region)
    _check_artifacts(declaration)
    _check_namespaces(declaration)


def _structure(message: str) -> AwsError:
    return AwsError("InvalidStructureException", message, 400)


def _stage(message: str) -> AwsError:
    return AwsError("InvalidStageDeclarationException", message, 400)


def _check_stages(declaration: Declaration) -> None:
    stages = declaration["stages"]
    if len(stages) < STAGES_MIN:
        raise _structure(
            f"Pipeline has only {len(stages)} stage(s). There should be a minimum of {STAGES_MIN} stages in a pipeline"
        )
    if len(stages) > STAGES_MAX:
        raise _structure(f"Pipeline has {len(stages)} stages. There should be a maximum of {STAGES_MAX} stages")
    _unique([stage["name"] for stage in stages], "Duplicate stage name '{}' in the pipeline", _structure)
    for stage in stages:
        _check_stage(stage)
    total = sum(len(stage["actions"]) for stage in stages)
    if total > PIPELINE_ACTIONS_MAX:
        raise _structure(f"Pipeline has {total} actions. There should be a maximum of {PIPELINE_ACTIONS_MAX} actions")
    _check_sources(stages)


def _unique(names: list[str], message: str, error: Any) -> None:  # noqa: ANN401  (a maker of errors)
    for name, count in Counter(names).items():
        if count > 1:
            raise error(message.format(name))


def _check_stage(stage: Mapping[str, Any]) -> None:
    name, actions = stage["name"], stage["actions"]
    if not actions:
        raise _stage(f"Stage '{name}' does not contain any actions")
    if len(actions) > STAGE_ACTIONS_MAX:
        raise _stage(f"Stage '{name}' has {len(actions)} actions. There should be a maximum of {STAGE_ACTIONS_MAX}")
    _unique([a["name"] for a in actions], f"Stage '{name}' contains duplicate action name '{{}}'", _stage)
    if stage.get("blockers"):
        raise AwsError(
            "InvalidBlockerDeclarationException", f"Blockers are not supported: they are reserved (stage '{name}')", 400
        )
    for member in ("beforeEntry", "onSuccess", "onFailure"):
        _refuse_conditions(name, member, stage.get(member))


def _refuse_conditions(stage: str, member: str, given: Mapping[str, Any] | None) -> None:
    """A condition that is not evaluated must not be accepted: it would let through what it was meant to hold."""
    if not given:
        return
    if given.get("conditions") or given.get("result", "FAIL") != "FAIL" or given.get("retryConfiguration"):
        raise _stage(f"Stage '{stage}' declares {member}: stage conditions are not available in this region")


def _check_sources(stages: list[dict[str, Any]]) -> None:
    first, *rest = stages
    if any(a["actionTypeId"]["category"] != "Source" for a in first["actions"]):
        raise _structure("Pipeline should start with a stage that only contains source actions")
    for stage in rest:
        if any(a["actionTypeId"]["category"] == "Source" for a in stage["actions"]):
            raise _structure(
                f"Only the first stage can contain source actions. Stage '{stage['name']}' contains a source action"
            )


def _check_stores(declaration: Declaration, region: str) -> None:
    single, several = declaration.get("artifactStore"), declaration.get("artifactStores")
    if (single is None) == (several is None):
        raise _structure("Exactly one of artifactStore and artifactStores must be declared in the pipeline")
    regions = {a.get("region") or region for _, a in actions_of(declaration)} | {region}
    if several is None:
        if len(regions) > 1:
            raise _structure("A pipeline with actions in other regions must declare artifactStores")
        return
    for name in sorted(regions):
        if name not in several:
            raise _structure(f"artifactStores does not contain an artifact store for region '{name}'")


def needs_v2(declaration: Declaration) -> bool:
    """Whether it uses what only pipelines of type V2 have."""
    return bool(
        declaration.get("executionMode", "SUPERSEDED") != "SUPERSEDED"
        or declaration.get("variables")
        or declaration.get("triggers")
    )


def _check_type(declaration: Declaration) -> None:
    if declaration.get("pipelineType") == "V1" and needs_v2(declaration):
        raise _structure("Execution modes, variables and triggers are only available in pipelines of type V2")
    names = [item["name"] for item in declaration.get("variables") or ()]
    _unique(names, "Duplicate variable name '{}' in the pipeline", _structure)
    sources = {action["name"] for action in declaration["stages"][0]["actions"]}
    for trigger in declaration.get("triggers") or ():
        name = trigger["gitConfiguration"]["sourceActionName"]
        if name not in sources:
            raise _structure(f"The trigger's source action '{name}' is not an action of the first stage")


def _check_artifacts(declaration: Declaration) -> None:
    """Every input is made by an earlier stage or a lower runOrder; every output has a name of its own."""
    made: dict[str, tuple[int, int]] = {}
    for index, stage in enumerate(declaration["stages"]):
        for action in stage["actions"]:
            for artifact in action.get("outputArtifacts") or ():
                if artifact["name"] in made:
                    raise _action(
                        f"Output artifact name must be unique within the pipeline. The artifact name "
                        f"'{artifact['name']}' is used more than once"
                    )
                made[artifact["name"]] = (index, run_order(action))
    for index, stage in enumerate(declaration["stages"]):
        for action in stage["actions"]:
            place = (index, run_order(action))
            for artifact in action.get("inputArtifacts") or ():
                if artifact["name"] not in made or made[artifact["name"]] >= place:
                    raise _action(
                        f"Input Artifact Bundle {artifact['name']} in action {action['name']} is not declared as "
                        "Output Artifact Bundle in any of the preceding actions"
                    )


def _action(message: str) -> AwsError:
    return AwsError("InvalidActionDeclarationException", message, 400)


def _check_namespaces(declaration: Declaration) -> None:
    names = [a["namespace"] for _, a in actions_of(declaration) if a.get("namespace")]
    _unique(names, "Namespace '{}' is used by more than one action", _action)
    for name in names:
        if name in ("codepipeline", "variables"):
            raise _action(f"Namespace '{name}' is reserved")


def run_order(action: Mapping[str, Any]) -> int:
    return int(action.get("runOrder") or DEFAULT_RUN_ORDER)


_PIPELINE_ORDER = [
    "name",
    "roleArn",
    "artifactStore",
    "artifactStores",
    "stages",
    "version",
    "executionMode",
    "pipelineType",
    "variables",
    "triggers",
]
_STAGE_ORDER = ["name", "blockers", "actions", "onFailure", "onSuccess", "beforeEntry"]
_ACTION_ORDER = [
    "name",
    "actionTypeId",
    "runOrder",
    "configuration",
    "commands",
    "outputArtifacts",
    "inputArtifacts",
    "outputVariables",
    "roleArn",
    "region",
    "namespace",
    "timeoutInMinutes",
    "environmentVariables",
]


def _ordered(given: Mapping[str, Any], order: list[str]) -> dict[str, Any]:
    return {name: given[name] for name in order if given.get(name) is not None}


def normal(declaration: Declaration, version: int) -> dict[str, Any]:
    """The declaration as GetPipeline shows it: model order, defaults filled in, `version` set."""
    stages = [_normal_stage(stage) for stage in declaration["stages"]]
    full = {
        "executionMode": "SUPERSEDED",
        "pipelineType": "V2" if needs_v2(declaration) else "V1",
        **declaration,
        "stages": stages,
        "version": version,
    }
    return _ordered(full, _PIPELINE_ORDER)


def _normal_stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    return _ordered({**stage, "actions": [_normal_action(a) for a in stage["actions"]]}, _STAGE_ORDER)


def _normal_action(action: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {"runOrder": DEFAULT_RUN_ORDER, "configuration": {}, "outputArtifacts": [], "inputArtifacts": []}
    return _ordered({**defaults, **action}, _ACTION_ORDER)


def plan_of(declaration: Declaration) -> Plan:
    """The engine's view: per stage the actions of equal runOrder, lowest first."""
    stages = []
    for stage in declaration["stages"]:
        orders = sorted({run_order(a) for a in stage["actions"]})
        groups = tuple(tuple(a["name"] for a in stage["actions"] if run_order(a) == n) for n in orders)
        stages.append(StagePlan(stage["name"], groups))
    return Plan(declaration.get("executionMode") or "SUPERSEDED", tuple(stages))


def mask_secrets(declaration: Declaration) -> tuple[dict[str, Any], dict[SecretPath, str]]:
    """The declaration with secret configuration values replaced by `****`, and what they were.

    A value that is already `****` (as it comes back from GetPipeline) is not among them: it means "keep what you have".
    """
    secrets: dict[SecretPath, str] = {}
    stages = []
    for stage in declaration["stages"]:
        actions = [_mask_action(stage["name"], action, secrets) for action in stage["actions"]]
        stages.append({**stage, "actions": actions})
    return {**declaration, "stages": stages}, secrets


def _mask_action(stage: str, action: dict[str, Any], secrets: dict[SecretPath, str]) -> dict[str, Any]:
    kind = find_action_type(action["actionTypeId"])
    hidden = kind.secrets if kind else frozenset()
    configuration = dict(action.get("configuration") or {})
    for key in hidden & configuration.keys():
        if configuration[key] != MASK:
            secrets[stage, action["name"], key] = configuration[key]
        configuration[key] = MASK
    return {**action, "configuration": configuration} if configuration else action
