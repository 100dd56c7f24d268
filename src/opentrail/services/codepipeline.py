"""CodePipeline: pipelines themselves. Executions, state, approvals and tags are families of their own, included here.

What a declaration must be is the pure room's business (`pipeline.definition`); running actions is the follower's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.pipeline import advance as engine
from opentrail.pipeline.definition import MASK, actions_of, mask_secrets, normal, plan_of, validate
from opentrail.pipeline.events import pipeline_arn
from opentrail.rows.codepipeline import (
    ENGINES,
    PIPELINES,
    VERSIONS,
    Pipeline,
    PipelineVersion,
    Work,
    ascending,
    put_work,
)
from opentrail.rows.codepipeline_action import SERVICE_PRINCIPAL
from opentrail.rows.codepipeline_steps import apply
from opentrail.service import Service
from opentrail.services import codepipeline_executions, codepipeline_state, codepipeline_tags
from opentrail.services.codepipeline_common import (
    filled,
    find_pipeline,
    put_pipeline,
    read_page,
    start_execution,
)
from opentrail.services.codepipeline_role import check_role
from opentrail.services.codepipeline_tags import merged_tags
from opentrail.state import Unit

PIPELINES_MAX = 1_000
"""Pipelines of an account in a region."""
VERSIONS_KEPT_MAX = 1_000
"""Versions of a declaration that GetPipeline can still show."""
SECRET_PURPOSE = "codepipeline.configuration"

service = Service("codepipeline")
service.include(codepipeline_executions.service)
service.include(codepipeline_state.service)
service.include(codepipeline_tags.service)


@service.guard("CreatePipeline", "UpdatePipeline")
def _may_declare(call: Call, _unit: Unit) -> Sequence[Access]:
    """The operation itself, and passing each role that the pipeline names."""
    declared = call.input.get("pipeline")
    declared = declared if isinstance(declared, dict) else {}
    arn = pipeline_arn(call.account_id, call.region, str(declared.get("name") or ""))
    passed = {"iam:passedtoservice": (SERVICE_PRINCIPAL,)}
    return [
        Access(f"codepipeline:{call.operation.name}", arn),
        *(Access("iam:PassRole", role, context=passed) for role in sorted(_roles(declared))),
    ]


def _roles(declared: dict[str, Any]) -> set[str]:
    """Role ARNs of a declaration that nobody has checked yet."""
    found = [declared.get("roleArn")]
    for stage in declared.get("stages") or ():
        actions = stage.get("actions") if isinstance(stage, dict) else None
        found += [action.get("roleArn") for action in actions or () if isinstance(action, dict)]
    return {role for role in found if isinstance(role, str) and role}


@service.operation("CreatePipeline")
async def create_pipeline(call: Call, unit: Unit) -> Shape:
    """Create a pipeline and start its first execution."""
    given = call.input["pipeline"]
    validate(given, call.region)
    check_role(call, unit, given["roleArn"])
    _check_name_is_free(call, unit, given["name"])
    tags = merged_tags({}, call.input.get("tags") or [])
    declaration, secrets = mask_secrets(normal(given, 1))
    pipeline = Pipeline(
        id=unit.house.clock.uuid(),
        account_id=call.account_id,
        region=call.region,
        name=given["name"],
        version=1,
        declaration=declaration,
        created=unit.now,
        updated=unit.now,
        secrets=_seal(unit, secrets),
        tags=tags,
    )
    _store(unit, pipeline)
    start_execution(unit, pipeline, ("CreatePipeline", call.principal.arn), {})
    listed = [{"key": key, "value": value} for key, value in tags.items()]
    return {"pipeline": declaration, **({"tags": listed} if listed else {})}


def _check_name_is_free(call: Call, unit: Unit, name: str) -> None:
    if PIPELINES.get(unit, call.account_id, call.region, name) is not None:
        raise AwsError(
            "PipelineNameInUseException",
            f"A pipeline with the name '{name}' already exists in account '{call.account_id}'",
            400,
        )
    if len(PIPELINES.page(unit, call.account_id, call.region, limit=PIPELINES_MAX)) >= PIPELINES_MAX:
        raise AwsError(
            "LimitExceededException", f"The limit of {PIPELINES_MAX} pipelines in this region is reached", 400
        )


def _seal(unit: Unit, secrets: dict[tuple[str, str, str], str]) -> dict[str, bytes]:
    seal = unit.house.seal.seal
    return {"/".join(path): seal(value.encode(), SECRET_PURPOSE) for path, value in secrets.items()}


def _store(unit: Unit, pipeline: Pipeline) -> None:
    put_pipeline(unit, pipeline)
    VERSIONS.put(unit, PipelineVersion(pipeline.declaration), pipeline.id, ascending(pipeline.version))
    VERSIONS.delete(unit, pipeline.id, ascending(max(0, pipeline.version - VERSIONS_KEPT_MAX)))


@service.operation("GetPipeline")
async def get_pipeline(call: Call, unit: Unit) -> Shape:
    """Show a pipeline's declaration, of now or of an earlier version."""
    pipeline = find_pipeline(call, unit, call.input["name"])
    version = call.input.get("version") or pipeline.version
    kept = VERSIONS.get(unit, pipeline.id, ascending(version))
    if kept is None:
        raise AwsError(
            "PipelineVersionNotFoundException",
            f"The pipeline '{pipeline.name}' does not have a version '{version}'",
            400,
        )
    metadata = {"pipelineArn": pipeline.arn, "created": pipeline.created, "updated": pipeline.updated}
    return {"pipeline": kept.declaration, "metadata": metadata}


@service.operation("UpdatePipeline")
async def update_pipeline(call: Call, unit: Unit) -> Shape:
    """Replace a pipeline's declaration; its version counts up and executions in progress are cancelled."""
    given = call.input["pipeline"]
    validate(given, call.region)
    old = PIPELINES.get(unit, call.account_id, call.region, given["name"])
    if old is None:
        raise AwsError(
            "PipelineNotFoundException",
            f"The account with id '{call.account_id}' does not include a pipeline with the name '{given['name']}'",
            400,
        )
    check_role(call, unit, given["roleArn"])
    declaration, secrets = mask_secrets(normal(given, old.version + 1))
    apply(unit, old, engine.PipelineReplaced(plan_of(declaration)))
    names = {stage["name"] for stage in declaration["stages"]}
    new = replace(
        old,
        version=old.version + 1,
        declaration=declaration,
        updated=unit.now,
        secrets=_kept_secrets(old, declaration) | _seal(unit, secrets),
        transitions={door: row for door, row in old.transitions.items() if door.rstrip(">") in names},
    )
    _store(unit, new)
    return {"pipeline": declaration}


def _kept_secrets(old: Pipeline, declaration: dict[str, Any]) -> dict[str, bytes]:
    """The stored values that the new declaration still has a place for."""
    wanted = {
        f"{stage['name']}/{action['name']}/{key}"
        for stage, action in actions_of(declaration)
        for key, value in action["configuration"].items()
        if value == MASK
    }
    return {path: sealed for path, sealed in old.secrets.items() if path in wanted}


@service.operation("DeletePipeline")
async def delete_pipeline(call: Call, unit: Unit) -> Shape:
    """Delete a pipeline; deleting one that is not there succeeds."""
    pipeline = PIPELINES.get(unit, call.account_id, call.region, call.input["name"])
    if pipeline is not None:
        apply(unit, pipeline, engine.PipelineReplaced(plan_of(pipeline.declaration)))
        PIPELINES.delete(unit, pipeline.account_id, pipeline.region, pipeline.name)
        ENGINES.delete(unit, pipeline.id)
        purge = Work("purge", pipeline.account_id, pipeline.region, pipeline.name, pipeline.id)
        put_work(unit, purge, int(unit.now * 1000))
    return {}


@service.operation("ListPipelines")
async def list_pipelines(call: Call, unit: Unit) -> Shape:
    """List the pipelines of the account in the region."""
    limit = call.input.get("maxResults") or PIPELINES_MAX
    rows, token = read_page(unit, PIPELINES, (call.account_id, call.region), call.input, limit)
    return filled({"pipelines": [_summary(row) for row in rows], "nextToken": token})


def _summary(row: Pipeline) -> Shape:
    return {
        "name": row.name,
        "version": row.version,
        "pipelineType": row.declaration["pipelineType"],
        "executionMode": row.declaration["executionMode"],
        "created": row.created,
        "updated": row.updated,
    }
