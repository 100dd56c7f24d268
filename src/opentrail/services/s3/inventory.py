"""Put, Get, Delete and ListBucketInventoryConfiguration(s). The lists themselves are written by a follower."""

from __future__ import annotations

from opentrail.call import Call, Shape
from opentrail.service import Service
from opentrail.services.s3.configurations import put_configuration, register_rest
from opentrail.services.s3.inventory_check import INVENTORY, checked_inventory
from opentrail.state import Unit

family = Service("s3")
register_rest(family, INVENTORY, "Have no more lists written; those that were stay.")


@family.operation("PutBucketInventoryConfiguration")
async def put_bucket_inventory_configuration(call: Call, unit: Unit) -> Shape:
    """Have a list of the bucket's objects written every day or week."""
    put_configuration(call, unit, INVENTORY, checked_inventory(call, unit))
    return {}
