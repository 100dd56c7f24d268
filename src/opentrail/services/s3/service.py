"""S3: the families put together. One file per family; none imports another but for the rooms they share."""

from __future__ import annotations

from opentrail.service import Service
from opentrail.services.s3 import listing, objects
from opentrail.services.s3.guard import guard

FAMILIES = (objects, listing)

service = Service("s3")
service.guard()(guard)
for module in FAMILIES:
    service.include(module.family)
