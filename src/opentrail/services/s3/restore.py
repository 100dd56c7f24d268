"""RestoreObject. All objects here lie in one kind of storage, so a restore is done as soon as it is durable.

What remains of the archive is its contract: an archived object is read only between a restore and its end. A request may
also ask for a query instead (`archive_select`). Source: API reference, RestoreObject; S3 user guide, "Restoring an archived
object".
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import Bucket, ObjectVersion
from opentrail.service import Service
from opentrail.services.s3.archive import ARCHIVED, is_restored
from opentrail.services.s3.archive_select import MEMBERS, check_tier, select_of, select_questions, take_query
from opentrail.services.s3.documents import malformed
from opentrail.services.s3.guard import enter_bucket, guard
from opentrail.services.s3.lifecycle_rules import after_days
from opentrail.services.s3.objects import bucket_of, readable_version
from opentrail.services.s3.versions import replace_version
from opentrail.state import Unit

TIERS = frozenset({"Standard", "Bulk", "Expedited"})
DAYS_MAX = 2**31 - 1

family = Service("s3")


@family.guard("RestoreObject")
def restore_guard(call: Call, unit: Unit) -> Sequence[Access]:
    """Restoring takes a right of its own; a query also reads the object."""
    asked = guard(call, unit)
    if MEMBERS.isdisjoint(call.input.get("RestoreRequest") or {}):
        return asked
    return [*asked, *select_questions(call, unit, enter_bucket(call, unit, call.input["Bucket"]))]


@family.operation("RestoreObject")
async def restore_object(call: Call, unit: Unit) -> Shape:
    """Make an archived object readable for some days, or query it; asked again, set how long anew."""
    query = select_of(call)
    if query is not None:
        return await take_query(call, unit, query, _tier(query))
    bucket = bucket_of(call, unit)
    version = readable_version(call, unit, bucket)
    if version.access_tier:
        return _warm(call, unit, bucket, version)
    days, tier = _request(call)
    if version.storage_class not in ARCHIVED:
        message = "Restore is not allowed for the object's current storage class"
        raise AwsError("InvalidObjectState", message, 403, StorageClass=version.storage_class)
    check_tier(tier, version)
    call.status = 200 if is_restored(version, unit.now) else 202
    until = after_days(unit.now, days, unit.house.settings.lifecycle_day)
    replace_version(unit, bucket, replace(version, restored_until=until))
    call.evidence.object_size = version.size
    return {}


def _warm(call: Call, unit: Unit, bucket: Bucket, version: ObjectVersion) -> Shape:
    """Bring an object of Intelligent-Tiering back; it stays until nobody reads it again, so no days can be given."""
    given = call.input.get("RestoreRequest") or {}
    tier = _tier(given)
    if "Days" in given:
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
    days, tier = given.get("Days"), _tier(given)
    if days is None or not 1 <= days <= DAYS_MAX:
        raise malformed()
    return int(days), tier


def _tier(given: Shape) -> str:
    tier = (given.get("GlacierJobParameters") or {}).get("Tier") or given.get("Tier") or "Standard"
    if tier not in TIERS:
        raise malformed()
    return str(tier)
