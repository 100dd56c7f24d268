"""Put, Get, Delete and ListBucketAnalyticsConfiguration(s): storage class analysis, and where its report goes.

Source: API reference of the four; S3 user guide, "Amazon S3 analytics - Storage Class Analysis". What they ask for is done
by followers: one counts requests, another closes days and writes the reports.
"""

from __future__ import annotations

from opentrail.call import Call, Shape
from opentrail.rows.s3_metering import ANALYTICS as NAME
from opentrail.service import Service
from opentrail.services.s3.configurations import (
    Kind,
    check_filter,
    check_prefix,
    given_document,
    put_configuration,
    register_rest,
)
from opentrail.services.s3.documents import malformed
from opentrail.services.s3.inventory_check import check_destination
from opentrail.state import Unit

ANALYTICS = Kind(NAME, "Analytics", metered=True)

family = Service("s3")
register_rest(family, ANALYTICS, "End an analysis.")


@family.operation("PutBucketAnalyticsConfiguration")
async def put_bucket_analytics_configuration(call: Call, unit: Unit) -> Shape:
    """Have a report written every day of what is stored and read, by age and storage class."""
    document = given_document(call, ANALYTICS)
    check_filter(document.get("Filter"))
    _check_export(call, unit, document)
    put_configuration(call, unit, ANALYTICS, document)
    call.status = 204
    return {}


def _check_export(call: Call, unit: Unit, document: Shape) -> None:
    if "StorageClassAnalysis" not in document:
        raise malformed()
    export = (document["StorageClassAnalysis"] or {}).get("DataExport")
    if export is None:
        return
    target = (export.get("Destination") or {}).get("S3BucketDestination") or {}
    if export.get("OutputSchemaVersion") != "V_1" or target.get("Format") != "CSV" or not target.get("Bucket"):
        raise malformed()
    check_destination(call, unit, target["Bucket"])
    check_prefix(target.get("Prefix", ""))
