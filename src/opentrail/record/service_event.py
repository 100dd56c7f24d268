"""Records of what a service does by itself, without anybody's call: eventType `AwsServiceEvent`.

Form: KMS guide, the log entries of DeleteKey and RotateKey, with the members of eventVersion 1.11. Pure, as `record.build`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from opentrail.call import Resource
from opentrail.record.identity import AWS_INTERNAL, iso_second

EVENT_VERSION = "1.11"


def service_event(
    uuid: Callable[[], str],
    *,
    account_id: str,
    region: str,
    source: str,
    name: str,
    at: float,
    resources: Sequence[Resource],
    answered: Mapping[str, Any] | None = None,
    details: Mapping[str, Any] | None = None,
    invoked_by: str = AWS_INTERNAL,
) -> bytes:
    """The one line of it, without `resources` if it is about none. `details` are serviceEventDetails, `answered`
    responseElements, `at` epoch seconds, `invoked_by` who says so."""
    record: dict[str, Any] = {
        "eventVersion": EVENT_VERSION,
        "userIdentity": {"accountId": account_id, "invokedBy": invoked_by},
        "eventTime": iso_second(int(at)),
        "eventSource": source,
        "eventName": name,
        "awsRegion": region,
        "sourceIPAddress": invoked_by,
        "userAgent": invoked_by,
        "requestParameters": None,
        "responseElements": dict(answered) if answered is not None else None,
        "eventID": uuid(),
        "readOnly": False,
    }
    if resources:
        record["resources"] = [{"accountId": each.account_id, "type": each.type, "ARN": each.arn} for each in resources]
    record |= {"eventType": "AwsServiceEvent", "managementEvent": True, "recipientAccountId": account_id}
    if details is not None:
        record["serviceEventDetails"] = dict(details)
    record["eventCategory"] = "Management"
    return msgspec.json.encode(record)
