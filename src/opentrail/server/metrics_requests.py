"""The part of the metrics page that shows what metrics configurations of buckets have counted, by CloudWatch's names.

`opentrail_s3_GetRequests_total{BucketName="…",FilterId="…"}` and its like. Source of names and dimensions: S3 user guide,
"Metrics and dimensions". Knows rows only; who counts is no business of this.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from opentrail.rows.s3_metering import COUNTS
from opentrail.state import Unit

CONFIGURATIONS_MAX = 1_000
"""Metrics configurations shown, by bucket and id: as many as one bucket may have."""
HELP = {
    "AllRequests": "Requests to the bucket, or for the objects of the filter.",
    "GetRequests": "GET requests for objects.",
    "PutRequests": "PUT requests for objects.",
    "DeleteRequests": "DELETE requests for objects, and DeleteObjects; requests, not objects.",
    "HeadRequests": "HEAD requests.",
    "PostRequests": "POST requests but for DeleteObjects and SelectObjectContent.",
    "SelectRequests": "SelectObjectContent requests.",
    "ListRequests": "Requests that list what is in the bucket.",
    "BytesDownloaded": "Bytes of answers.",
    "BytesUploaded": "Bytes of requests.",
    "4xxErrors": "Requests that were answered with a 4xx status.",
    "5xxErrors": "Requests that were answered with a 5xx status.",
}


def request_lines(unit: Unit) -> Iterator[str]:
    """The counters; none of a kind of which there was no request, as in CloudWatch."""
    shown = list(islice(COUNTS.all(unit), CONFIGURATIONS_MAX))
    for metric, help_ in HELP.items():
        found = [(key, row.counts[metric]) for key, row in shown if metric in row.counts]
        if not found:
            continue
        yield f"# HELP opentrail_s3_{metric}_total {help_}"
        yield f"# TYPE opentrail_s3_{metric}_total counter"
        for (bucket, id_), count in found:
            yield f'opentrail_s3_{metric}_total{{BucketName="{bucket}",FilterId="{id_}"}} {count}'
