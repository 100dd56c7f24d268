"""CodePipeline: whether the service may act as the role that a pipeline names, asked when the pipeline is declared.

Running an action asks again: roles change. Knows nothing of pipelines beyond the role.
"""

from __future__ import annotations

from opentrail.access.context import RequestContext
from opentrail.access.decide import NO_IDENTITY, decide
from opentrail.call import Access, Call, Principal
from opentrail.errors import AwsError
from opentrail.rows.codepipeline_action import SERVICE_PRINCIPAL
from opentrail.rows.iam import ROLES, Role
from opentrail.state import Unit

_SERVICE = Principal("AWSService", "", invoked_by=SERVICE_PRINCIPAL)


def check_role(call: Call, unit: Unit, role_arn: str) -> None:
    """Raise InvalidStructureException unless the role exists and its trust policy admits CodePipeline."""
    role = _find(unit, role_arn)
    if role is None or not _trusts(call, unit, role):
        message = f"CodePipeline is not authorized to perform AssumeRole on role {role_arn}"
        raise AwsError("InvalidStructureException", message, 400)


def _find(unit: Unit, role_arn: str) -> Role | None:
    account, _, path = role_arn.split(":", 4)[4].partition(":role/")
    found = ROLES.get(unit, account, path.rpartition("/")[2].lower())
    return found if found is not None and found.arn == role_arn else None


def _trusts(call: Call, unit: Unit, role: Role) -> bool:
    question = Access(
        "sts:AssumeRole", role.arn, resource_account=role.account_id, resource_policy=role.trust, trust=True
    )
    return decide(
        _SERVICE, NO_IDENTITY, question, RequestContext(_SERVICE, call.request, call.region, unit.now)
    ).allowed
