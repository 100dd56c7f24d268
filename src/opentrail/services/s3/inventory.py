"""Put, Get, Delete and ListBucketInventoryConfiguration(s). The lists themselves are written by a follower."""

from __future__ import annotations

from opentrail.call import Call, Shape
from opentrail.service import Service
from opentrail.services.s3.configurations import (
    delete_configuration,
    get_configuration,
    list_configurations,
    put_configuration,
)
from opentrail.services.s3.inventory_check import INVENTORY, checked_inventory
from opentrail.state import Unit

family = Service("s3")


@family.operation("PutBucketInventoryConfiguration")
async def put_bucket_inventory_configuration(call: Call, unit: Unit) -> Shape:
    """Have a list of the bucket's objects written every day or week."""
    put_configuration(call, unit, INVENTORY, checked_inventory(call, unit))
    return {}


@family.operation("GetBucketInventoryConfiguration")
async def get_bucket_inventory_configuration(call: Call, unit: Unit) -> Shape:
    """One inventory configuration."""
    return get_configuration(call, unit, INVENTORY)


@family.operation("ListBucketInventoryConfigurations")
async def list_bucket_inventory_configurations(call: Call, unit: Unit) -> Shape:
    """The inventory configurations of a bucket, a hundred a page."""
    return list_configurations(call, unit, INVENTORY)


@family.operation("DeleteBucketInventoryConfiguration")
async def delete_bucket_inventory_configuration(call: Call, unit: Unit) -> Shape:
    """Have no more lists written; those that were stay."""
    return delete_configuration(call, unit, INVENTORY)
