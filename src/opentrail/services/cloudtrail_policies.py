"""CloudTrail's resource policies, which nothing that is built can have: only event data stores, channels and dashboards.

Source: API reference, PutResourcePolicy.
"""

from __future__ import annotations

from opentrail.call import Access, Call, Shape
from opentrail.service import Service
from opentrail.services.cloudtrail_checks import policy_error
from opentrail.services.cloudtrail_find import guard_trail
from opentrail.state import Unit

service = Service("cloudtrail")


@service.guard("PutResourcePolicy", "GetResourcePolicy", "DeleteResourcePolicy")
def guard_policy(call: Call, unit: Unit) -> list[Access]:
    return guard_trail("ResourceArn", call)


@service.operation("PutResourcePolicy")
@service.operation("GetResourcePolicy")
@service.operation("DeleteResourcePolicy")
async def refuse_policy(call: Call, unit: Unit) -> Shape:
    """Refuse: only event data stores, channels and dashboards have policies, and there are none."""
    raise policy_error(call.input["ResourceArn"])
