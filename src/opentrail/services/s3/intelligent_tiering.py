"""Put, Get, Delete and ListBucketIntelligentTieringConfiguration(s): after how many days without access to archive what.

Source: API reference of the four, Tiering; S3 user guide, "Managing S3 Intelligent-Tiering". What they say is done by
`tiers`.
"""

from __future__ import annotations

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.service import Service
from opentrail.services.s3.archive import TIERING as NAME
from opentrail.services.s3.configurations import Kind, check_filter, given_document, put_configuration, register_rest
from opentrail.services.s3.documents import malformed
from opentrail.state import Unit

TIERING = Kind(NAME, "IntelligentTiering")
DAYS = {"ARCHIVE_ACCESS": (90, 730), "DEEP_ARCHIVE_ACCESS": (180, 730)}
"""The least and the most days without access, by tier."""

family = Service("s3")
register_rest(family, TIERING, "Have nothing archived by this configuration any more; what was stays archived.")


@family.operation("PutBucketIntelligentTieringConfiguration")
async def put_bucket_intelligent_tiering_configuration(call: Call, unit: Unit) -> Shape:
    """Have objects of the class INTELLIGENT_TIERING archived that nobody reads."""
    document = given_document(call, TIERING)
    _check(document)
    check_filter(document.get("Filter"))
    put_configuration(call, unit, TIERING, document)
    return {}


def _check(document: Shape) -> None:
    tierings = document.get("Tierings") or []
    tiers = [each.get("AccessTier") for each in tierings]
    if document.get("Status") not in ("Enabled", "Disabled") or not tierings:
        raise malformed()
    if not set(tiers) <= DAYS.keys() or any("Days" not in each for each in tierings):
        raise malformed()
    days = {each["AccessTier"]: each["Days"] for each in tierings}
    if len(days) < len(tiers):
        raise _invalid("An access tier can be named only once.")
    for tier, count in days.items():
        least, most = DAYS[tier]
        if not least <= count <= most:
            raise _invalid(f"'Days' for the {tier} tier must be between {least} and {most}.")
    if len(days) == len(DAYS) and days["DEEP_ARCHIVE_ACCESS"] <= days["ARCHIVE_ACCESS"]:
        raise _invalid("'Days' for the DEEP_ARCHIVE_ACCESS tier must be greater than for the ARCHIVE_ACCESS tier.")


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidArgument", message, 400)
