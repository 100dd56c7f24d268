"""RestoreObject. All objects here lie in one kind of storage, so a restore is done as soon as it is durable.

What remains of the archive is its contract: an archived object is read only between a restore and its end. Source: API
reference, RestoreObject; S3 user guide, "Restoring an archived object".
"""

from __future__ import annotations

from msgspec.structs import replace

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import Bucket, ObjectVersion
from opentrail.service import Service
from opentrail.services.s3.archive import ARCHIVED, is_restored
from opentrail.services.s3.documents import malformed
from opentrail.services.s3.lifecycle_rules import after_days
from opentrail.services.s3.objects import bucket_of, readable_version
from opentrail.services.s3.versions import replace_version
from opentrail.state import Unit

TIERS = frozenset({"Standard", "Bulk", "Expedited"})
DAYS_MAX = 2**31 - 1

family = Service("s3")


@family.operation("RestoreObject")
async def restore_object(call: Call, unit: Unit) -> Shape:
    """Make an archived object readable for some days; asked again, set how long anew."""
    bucket = bucket_of(call, unit)
    version = readable_version(call, unit, bucket)
    if version.access_tier:
        return _warm(call, unit, bucket, version)
    days, tier = _request(call)
    if version.storage_class not in ARCHIVED:
        message = "Restore is not allowed for the object's current storage class"
        raise AwsError("InvalidObjectState", message, 403, StorageClass=version.storage_class)
    if tier == "Expedited" and version.storage_class == "DEEP_ARCHIVE":
        raise AwsError("InvalidArgument", "Retrieval option is not supported by this storage class", 400)
    call.status = 200 if is_restored(version, unit.now) else 202
    until = after_days(unit.now, days, unit.house.settings.lifecycle_day)
    replace_version(unit, bucket, replace(version, restored_until=until))
    call.evidence.object_size = version.size
    return {}


def _warm(call: Call, unit: Unit, bucket: Bucket, version: ObjectVersion) -> Shape:
    """Bring an object of Intelligent-Tiering back; it stays until nobody reads it again, so no days can be given."""
    given = call.input.get("RestoreRequest") or {}
    tier = (given.get("GlacierJobParameters") or {}).get("Tier") or given.get("Tier") or "Standard"
    if "Days" in given or tier not in TIERS:
        raise malformed()
    if tier == "Expedited" and version.access_tier == "DEEP_ARCHIVE_ACCESS":
        raise AwsError("InvalidArgument", "Retrieval option is not supported by this storage class", 400)
    replace_version(unit, bucket, replace(version, access_tier="", warmed_at=unit.now))
    call.status = 202
    call.evidence.object_size = version.size
    return {}


def _request(call: Call) -> tuple[int, str]:
    """(days, tier) of the request; raises AwsError MalformedXML."""
    given = call.input.get("RestoreRequest") or {}
    if given.get("Type") is not None or "SelectParameters" in given or "OutputLocation" in given:
        raise AwsError("NotImplemented", "", 501)
    days = given.get("Days")
    tier = (given.get("GlacierJobParameters") or {}).get("Tier") or given.get("Tier") or "Standard"
    if days is None or not 1 <= days <= DAYS_MAX or tier not in TIERS:
        raise malformed()
    return int(days), tier
