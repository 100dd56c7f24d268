"""A bucket's replication configuration: what may be asked for, and whether the destinations can take it.

Source: API reference, PutBucketReplication, ReplicationRule; S3 user guide, "Replication configuration file elements"; S3's
answers as others recorded them. What the rules mean is `s3_replication`'s, replicating is a follower's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from opentrail.call import Access, Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import BUCKETS, Bucket
from opentrail.rows.s3_replication import ARN_PREFIX, KIND, SERVICE, read_filter
from opentrail.service import Service
from opentrail.services.s3.documents import drop_document, malformed, put_document, read_document
from opentrail.services.s3.guard import guard
from opentrail.services.s3.objects import STORAGE_CLASSES, bucket_of
from opentrail.services.s3.tag_rules import check_tags
from opentrail.state import Unit

RULES_MAX = 1_000
ID_CHARS_MAX = 255
PREFIX_BYTES_MAX = 1_024
PRIORITY_MAX = 2**31 - 1
RULE_TAGS_MAX = 10
MINUTES = 15
"""The only threshold there is of replication time control."""
STATUSES = ("Enabled", "Disabled")
SCHEMA = "for this version of Cross Region Replication configuration schema. Please refer to S3 Developer Guide for "
GUIDE = "more information."
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):role/[\w+=,.@/-]{1,512}", re.ASCII)
_KMS_KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:(key|alias)/[\w/-]{1,256}", re.ASCII)

family = Service("s3")


@family.guard("PutBucketReplication")
def put_guard(call: Call, unit: Unit) -> Sequence[Access]:
    """Whoever lets S3 act in a role must be allowed to pass it on."""
    given = call.input.get("ReplicationConfiguration") or {}
    found = _ROLE.fullmatch(str(given.get("Role") or ""))
    questions = list(guard(call, unit))
    if found is not None:
        passed = {"iam:passedtoservice": (SERVICE,)}
        questions.append(Access("iam:PassRole", found.group(), found[1], context=passed))
    return questions


@family.operation("PutBucketReplication")
async def put_bucket_replication(call: Call, unit: Unit) -> Shape:
    """Set which of a bucket's objects are replicated, where to, and in which role."""
    bucket = bucket_of(call, unit)
    if bucket.versioning != "Enabled":
        message = "Versioning must be 'Enabled' on the bucket to apply a replication configuration"
        raise _refused(message, BucketName=bucket.name)
    given = call.input.get("ReplicationConfiguration")
    if given is None:
        raise malformed()
    document = _checked(unit, given)
    for rule in document["Rules"]:
        _check_destination(unit, bucket, rule["Destination"])
    put_document(unit, bucket, KIND, document)
    return {}


@family.operation("GetBucketReplication")
async def get_bucket_replication(call: Call, unit: Unit) -> Shape:
    """Which of a bucket's objects are replicated, and where to."""
    bucket = bucket_of(call, unit)
    document = read_document(unit, bucket, KIND)
    if not document:
        raise AwsError("ReplicationConfigurationNotFoundError", "", 404, BucketName=bucket.name)
    return {"ReplicationConfiguration": document}


@family.operation("DeleteBucketReplication")
async def delete_bucket_replication(call: Call, unit: Unit) -> Shape:
    """End the replication of a bucket; what has happened until now is still replicated."""
    drop_document(unit, bucket_of(call, unit), KIND)
    call.status = 204
    return {}


def _refused(message: str, **fields: str) -> AwsError:
    return AwsError("InvalidRequest", message, 400, headers=None, **fields)


def _wrong(name: str, value: str, message: str) -> AwsError:
    return AwsError("InvalidArgument", message, 400, headers=None, ArgumentName=name, ArgumentValue=value)


def _checked(unit: Unit, given: Mapping[str, Any]) -> Shape:
    """The document as it is kept: each rule with an id."""
    role, rules = given.get("Role"), given.get("Rules")
    if role is None or not rules:
        raise malformed()
    if _ROLE.fullmatch(role) is None:
        raise _wrong("Role", role, "Invalid Role specified in replication configuration")
    if len(rules) > RULES_MAX:
        raise _refused("The number of replication rules must not exceed the allowed limit of 1000 rules.")
    kept = [_checked_rule(unit, rule) for rule in rules]
    ids = [rule["ID"] for rule in kept]
    if len(set(ids)) < len(ids):
        raise _wrong("ID", next(each for each in ids if ids.count(each) > 1), "Rule Id must be unique.")
    if len({"Filter" in rule for rule in kept}) > 1:
        raise malformed()
    _check_together([rule for rule in kept if rule["Status"] == "Enabled"])
    return {"Role": role, "Rules": kept}


def _checked_rule(unit: Unit, rule: Mapping[str, Any]) -> Shape:
    if rule.get("Status") not in STATUSES or not (rule.get("Destination") or {}).get("Bucket"):
        raise malformed()
    id_ = rule.get("ID") or unit.house.clock.uuid()
    if len(id_) > ID_CHARS_MAX:
        raise _wrong("ID", id_, f"ID length should not exceed allowed limit of {ID_CHARS_MAX}")
    for member in ("DeleteMarkerReplication", "ExistingObjectReplication"):
        _check_status(rule.get(member))
    for member in ("SseKmsEncryptedObjects", "ReplicaModifications"):
        _check_status((rule.get("SourceSelectionCriteria") or {}).get(member))
    if rule.get("Filter") is None:
        _check_first_schema(rule)
    else:
        _check_second_schema(rule)
    prefix, tags = read_filter(rule)
    if len(prefix.encode("utf-8", "surrogatepass")) > PREFIX_BYTES_MAX:
        raise _wrong("Prefix", prefix[:ID_CHARS_MAX], "Maximum prefix length supported is 1024")
    if len({key for key, _ in tags}) < len(tags):
        raise _refused("Duplicate Tag Keys are not allowed.")
    check_tags(tags, RULE_TAGS_MAX)
    _check_encryption(rule)
    return {**rule, "ID": id_}


def _check_status(given: Mapping[str, Any] | None) -> None:
    if given is not None and given.get("Status") not in STATUSES:
        raise malformed()


def _check_first_schema(rule: Mapping[str, Any]) -> None:
    """A prefix, and none of what came later."""
    if rule.get("Prefix") is None:
        raise malformed()
    for member in ("Priority", "DeleteMarkerReplication", "ExistingObjectReplication"):
        if rule.get(member) is not None:
            raise _refused(f"{member} cannot be used {SCHEMA}{GUIDE}")


def _check_second_schema(rule: Mapping[str, Any]) -> None:
    """A filter of one condition, or of several in an And; a priority; a word about delete markers."""
    chosen = rule["Filter"]
    if rule.get("Prefix") is not None or sum(chosen.get(each) is not None for each in ("Prefix", "Tag", "And")) > 1:
        raise malformed()
    both = chosen.get("And")
    if both is not None and (both.get("Prefix") is not None) + len(both.get("Tags") or ()) < 2:
        raise malformed()
    for member in ("Priority", "DeleteMarkerReplication"):
        if rule.get(member) is None:
            raise _refused(f"{member} must be specified {SCHEMA}{GUIDE}")
    if not 0 <= rule["Priority"] <= PRIORITY_MAX:
        raise _wrong("Priority", str(rule["Priority"]), f"Priority must be between 0 and {PRIORITY_MAX}")
    if rule["DeleteMarkerReplication"]["Status"] == "Enabled" and read_filter(rule)[1]:
        message = "Delete marker replication is not supported if any Tag filter is specified. Please refer to S3 "
        raise _refused(f"{message}Developer Guide for {GUIDE}")


def _check_encryption(rule: Mapping[str, Any]) -> None:
    """Replicas of objects under KMS need a key at the destination, and only they do."""
    criteria = (rule.get("SourceSelectionCriteria") or {}).get("SseKmsEncryptedObjects")
    given = rule["Destination"].get("EncryptionConfiguration")
    wanted = criteria is not None and criteria["Status"] == "Enabled"
    if given is not None and criteria is None:
        raise _refused("SseKmsEncryptedObjects must be specified if EncryptionConfiguration is present")
    if wanted and not (given or {}).get("ReplicaKmsKeyID"):
        raise _refused("EncryptionConfiguration must be specified if SseKmsEncryptedObjects tag is present")
    key = (given or {}).get("ReplicaKmsKeyID")
    if key is not None and _KMS_KEY.fullmatch(key) is None:
        raise _wrong("ReplicaKmsKeyID", key, "Invalid ReplicaKmsKeyID ARN.")


def _check_together(rules: Sequence[Mapping[str, Any]]) -> None:
    """No two enabled rules may leave open which of them holds."""
    seen: set[tuple[str, int]] = set()
    for rule in rules:
        if "Filter" in rule:
            place = (rule["Destination"]["Bucket"], rule["Priority"])
            if place in seen:
                raise _refused(f"Found duplicate priority {rule['Priority']}.")
            seen.add(place)
    older = sorted(rule["Prefix"] for rule in rules if "Filter" not in rule)
    for one, other in pairwise(older):
        if other.startswith(one):
            raise _refused(f"Found overlapping prefixes '{one}' and '{other}'")


def _check_destination(unit: Unit, bucket: Bucket, given: Mapping[str, Any]) -> None:
    arn = given["Bucket"]
    name = arn.removeprefix(ARN_PREFIX)
    if not arn.startswith(ARN_PREFIX) or "/" in name or not name:
        raise _wrong("Bucket", arn, "Invalid bucket ARN.")
    if name == bucket.name:
        raise _refused("Destination bucket cannot be the same as the source bucket.")
    if given.get("StorageClass") is not None and given["StorageClass"] not in STORAGE_CLASSES:
        raise malformed()
    _check_time_control(given)
    translation = given.get("AccessControlTranslation")
    if translation is not None and (translation.get("Owner") != "Destination" or not given.get("Account")):
        raise _refused("Account must be specified if AccessControlTranslation is present")
    if name in unit.house.elsewhere:
        return
    target = BUCKETS.get(unit, name)
    if target is None:
        raise _refused("Destination bucket must exist.")
    if given.get("Account") not in (None, target.owner):
        raise _wrong("Account", str(given["Account"]), "Account must be the owner of the destination bucket.")
    if target.versioning != "Enabled":
        raise _refused("Destination bucket must have versioning enabled.")
    if bucket.object_lock and not target.object_lock:
        raise _refused("Destination bucket must have Object Lock enabled, as the source bucket has.")


def _check_time_control(given: Mapping[str, Any]) -> None:
    metrics, control = given.get("Metrics"), given.get("ReplicationTime")
    _check_status(metrics)
    _check_status(control)
    for each, member in ((metrics, "EventThreshold"), (control, "Time")):
        minutes = ((each or {}).get(member) or {}).get("Minutes", MINUTES)
        if minutes != MINUTES:
            raise _wrong("Minutes", str(minutes), f"Minutes must be {MINUTES}.")
    if control is not None and control["Status"] == "Enabled" and (metrics or {}).get("Status") != "Enabled":
        raise _refused("Metrics must be specified if ReplicationTime is present")
