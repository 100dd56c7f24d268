"""The notification configuration of a bucket: what may be asked for, and whether the destinations take it.

Whoever is to be told gets a test message when the configuration is put; a destination that does not take it is refused.
Source: API reference, PutBucketNotificationConfiguration; S3 user guide, "Configuring event notifications using object
key name filtering"; S3's answers.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import Bucket
from opentrail.rows.s3_event import EVENTS, bucket_arn, trial_message
from opentrail.rows.s3_notices import KIND, MEMBERS, affixes, as_s3, sending
from opentrail.service import Service
from opentrail.services.s3.documents import drop_document, malformed, put_document, read_document
from opentrail.services.s3.objects import bucket_of
from opentrail.state import Unit

CONFIGURATIONS_MAX = 100
ID_CHARS_MAX = 255
FILTER_BYTES_MAX = 1_024
CANNOT_VALIDATE = "Unable to validate the following destination configurations"
_ARN = re.compile(r"arn:aws[a-z-]{0,20}:(sqs|sns|lambda):([a-z0-9-]{1,32}):(\d{12}):([\w:.$-]{1,300})", re.ASCII)
_SERVICES = {"TopicArn": "sns", "QueueArn": "sqs", "LambdaFunctionArn": "lambda"}
_NOUNS = {"sns": "topic", "sqs": "queue"}

family = Service("s3")


@family.operation("PutBucketNotification")
@family.operation("PutBucketNotificationConfiguration")
async def put_bucket_notification_configuration(call: Call, unit: Unit) -> Shape:
    """Set who is told what happens to a bucket's objects."""
    bucket = bucket_of(call, unit)
    given = call.input.get("NotificationConfiguration")
    if given is None:
        raise malformed()
    document, chosen = _checked(unit, given)
    if not document:
        drop_document(unit, bucket, KIND)
        return {}
    if not call.input.get("SkipDestinationValidation"):
        await _try_destinations(call, unit, bucket, chosen)
    put_document(unit, bucket_of(call, unit), KIND, document)
    return {}


@family.operation("GetBucketNotification")
@family.operation("GetBucketNotificationConfiguration")
async def get_bucket_notification_configuration(call: Call, unit: Unit) -> Shape:
    """Who is told what happens to a bucket's objects; empty if nobody is."""
    return read_document(unit, bucket_of(call, unit), KIND)


def _checked(unit: Unit, given: Mapping[str, Any]) -> tuple[Shape, list[str]]:
    """(the document to keep, the ARNs in it); raises AwsError."""
    document: Shape = {}
    everything: list[Mapping[str, Any]] = []
    arns: list[str] = []
    for kind, member in MEMBERS.items():
        entries = given.get(kind) or []
        for entry in entries:
            _check_entry(entry, member)
            arns.append(entry[member])
        if entries:
            document[kind] = [{**entry, "Id": entry.get("Id") or _new_id(unit)} for entry in entries]
            everything += document[kind]
    if len(everything) > CONFIGURATIONS_MAX:
        raise AwsError("TooManyConfigurations", "You are attempting to create more configurations than allowed.", 400)
    if len({entry["Id"] for entry in everything}) < len(everything):
        raise _wrong("Same ID used for multiple configurations. IDs must be unique")
    for one, other in combinations(everything, 2):
        _check_overlap(one, other)
    if given.get("EventBridgeConfiguration") is not None:
        document["EventBridgeConfiguration"] = {}
    return document, list(dict.fromkeys(arns))


def _new_id(unit: Unit) -> str:
    return base64.b64encode(unit.house.clock.uuid().encode()).decode().rstrip("=")


def _wrong(message: str, **fields: str) -> AwsError:
    return AwsError("InvalidArgument", message, 400, headers=None, **fields)


def _check_entry(entry: Mapping[str, Any], member: str) -> None:
    arn, events = entry.get(member), entry.get("Events")
    if not arn or not events or len(entry.get("Id") or "") > ID_CHARS_MAX:
        raise malformed()
    found = _ARN.fullmatch(arn)
    if found is None or found[1] != _SERVICES[member]:
        raise _wrong("The ARN is not well formed", ArgumentName=arn, ArgumentValue="null")
    for event in events:
        if not event.startswith("s3:") or event[3:] not in EVENTS:
            raise _wrong("A specified event is not supported for notifications.", ArgumentName=event)
    _check_filter(((entry.get("Filter") or {}).get("Key") or {}).get("FilterRules") or ())


def _check_filter(rules: Sequence[Mapping[str, Any]]) -> None:
    seen: set[str] = set()
    for rule in rules:
        name, value = str(rule.get("Name", "")).lower(), rule.get("Value") or ""
        if name not in ("prefix", "suffix"):
            raise _wrong("filter rule name must be either prefix or suffix", ArgumentName="FilterRule.Name")
        if name in seen:
            raise _wrong(f"Cannot specify more than one {name} rule in a filter.", ArgumentName="FilterRule.Name")
        if len(value.encode("utf-8", "surrogatepass")) > FILTER_BYTES_MAX:
            message = f"Size of filter rule value cannot exceed {FILTER_BYTES_MAX} bytes in UTF-8 representation"
            raise _wrong(message, ArgumentName="FilterRule.Value")
        seen.add(name)


def _check_overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """No event of any key may be meant by two configurations."""
    if not any(_meet(a, b) for a in one["Events"] for b in other["Events"]):
        return
    (prefix, suffix), (prefix2, suffix2) = affixes(one), affixes(other)
    if not (prefix.startswith(prefix2) or prefix2.startswith(prefix)):
        return
    if not (suffix.endswith(suffix2) or suffix2.endswith(suffix)):
        return
    if "Filter" not in one or "Filter" not in other:
        message = "Configurations overlap. Configurations on the same bucket cannot share a common event type."
        raise _wrong(message)
    message = "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are "
    raise _wrong(message + "overlapping for the same event type.")


def _meet(one: str, other: str) -> bool:
    if one == other:
        return True
    return any(wide.endswith(":*") and narrow.startswith(wide[:-1]) for wide, narrow in ((one, other), (other, one)))


async def _try_destinations(call: Call, unit: Unit, bucket: Bucket, arns: Sequence[str]) -> None:
    """Send each the test message, once for a call however often it is walked. Raises AwsError for all that fail."""
    tried: dict[str, str] = call.stash.setdefault("tried destinations", {})
    for arn in arns:
        if arn not in tried:
            tried[arn] = await _try_one(call, unit, bucket, arn)
    failed = [(arn, why) for arn, why in tried.items() if why]
    if failed:
        fields: dict[str, str] = {}
        for number, (arn, why) in enumerate(failed, 1):
            fields |= {f"ArgumentName{number}": f"{arn}, null", f"ArgumentValue{number}": why}
        raise _wrong(CANNOT_VALIDATE, **fields)


async def _try_one(call: Call, unit: Unit, bucket: Bucket, arn: str) -> str:
    """Why the destination cannot be used; empty if it took the test message."""
    found = _ARN.fullmatch(arn)
    if found is None or found[1] not in _NOUNS:
        return "The destination function does not exist"
    service, region = found[1], found[2]
    if region != bucket.region:
        return "The notification destination service region is not valid for the bucket location constraint"
    way = sending(arn, trial_message(bucket, call.request_id, call.host_id, unit.now))
    assert way is not None
    try:
        principal = as_s3(bucket_arn(bucket), bucket.owner)
        await unit.house.road.call(principal, way.service, way.operation, way.given, region=region)
    except AwsError as error:
        if error.status >= 500:
            raise
        noun = _NOUNS[service]
        if "NonExistent" in error.code or "NotFound" in error.code:
            return f"The destination {noun} does not exist"
        return f"Permissions on the destination {noun} do not allow S3 to publish notifications from this bucket"
    return ""
