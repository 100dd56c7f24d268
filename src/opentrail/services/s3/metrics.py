"""Put, Get, Delete and ListBucketMetricsConfiguration(s): which requests CloudWatch counts apart from the others.

Source: API reference of the four. There is no CloudWatch: a follower counts the requests, and the page
`/_opentrail/metrics` shows the counts.
"""

from __future__ import annotations

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3_metering import METRICS as NAME
from opentrail.service import Service
from opentrail.services.s3.configurations import Kind, check_filter, given_document, put_configuration, register_rest
from opentrail.services.s3.documents import malformed
from opentrail.state import Unit

METRICS = Kind(NAME, "Metrics", metered=True)

family = Service("s3")
register_rest(family, METRICS, "Remove a metrics configuration.")


@family.operation("PutBucketMetricsConfiguration")
async def put_bucket_metrics_configuration(call: Call, unit: Unit) -> Shape:
    """Have requests counted: all, or those for objects of a prefix or with tags; shown on `/_opentrail/metrics`."""
    document = given_document(call, METRICS)
    if not document.keys() <= {"Id", "Filter"}:
        raise malformed()
    check_filter(document.get("Filter"), ("Prefix", "Tag", "AccessPointArn"))
    given = document.get("Filter") or {}
    if "AccessPointArn" in given or "AccessPointArn" in given.get("And", {}):
        raise AwsError("InvalidArgument", "The access point does not exist.", 400, ArgumentName="AccessPointArn")
    put_configuration(call, unit, METRICS, document)
    call.status = 204
    return {}
