"""What a bucket's replication rules make of a finished write: tasks, in the commit of the write.

Asked only for buckets that have rules. What a unit has written is read off the unit. Deletions of versions are not
replicated, nor are replicas themselves. Sources: S3 user guide, "What does Amazon S3 replicate?", "Replicating annotations".
"""

from __future__ import annotations

from collections.abc import Iterable

from opentrail.call import Call
from opentrail.rows.s3 import OBJECTS, VERSIONS, Bucket, ObjectVersion
from opentrail.rows.s3_annotations import ANNOTATIONS, ANNOTATIONS_MAX
from opentrail.rows.s3_replication import (
    ANNOTATING,
    IS_REPLICA,
    KIND,
    Plan,
    Rule,
    put_annotation_tasks,
    put_tasks,
    read_plan,
)
from opentrail.services.s3.documents import document_text
from opentrail.services.s3.versions import find_version
from opentrail.state import Unit

CREATING = frozenset({"PutObject", "PostObject", "CopyObject", "CompleteMultipartUpload"})
DELETING = frozenset({"DeleteObject", "DeleteObjects"})
LOCAL = frozenset({"RestoreObject", "DeleteObjectAnnotation"})
"""Changes that are the version's own: a restored copy is not replicated, nor is that an annotation was removed."""


def replicate(call: Call, unit: Unit, bucket: Bucket) -> None:
    """Put the tasks of a call that has written into a bucket with rules."""
    plan = read_plan(document_text(unit, bucket, KIND))
    operation = call.operation.name
    if operation in CREATING:
        _created(call, unit, bucket, plan)
    elif operation in DELETING:
        _marked(unit, bucket, plan)
    elif operation not in LOCAL:
        _changed(call, unit, bucket, plan)


def _created(call: Call, unit: Unit, bucket: Bucket, plan: Plan) -> None:
    key = call.input["Key"]
    if OBJECTS.key(bucket.name, key) not in unit.writes.puts:
        return  # a completed upload that is completed again makes nothing
    version = OBJECTS.get(unit, bucket.name, key)
    if version is not None:
        _put(unit, bucket, version, "PutObject", plan)
        if version.annotated:  # a copy that has brought its annotations along
            rules = _here(unit, plan.matching(version).values())
            for key, _ in ANNOTATIONS.page(unit, version.annotated, limit=ANNOTATIONS_MAX) if rules else ():
                name = ANNOTATIONS.parts(key)[1]
                put_annotation_tasks(unit, bucket, version, name, plan.role, rules)


def _here(unit: Unit, rules: Iterable[Rule]) -> list[Rule]:
    """Those of the rules whose destination is on this server: another store may not know annotations, and take one for the
    object itself."""
    return [rule for rule in rules if rule.destination not in unit.house.elsewhere]


def _marked(unit: Unit, bucket: Bucket, plan: Plan) -> None:
    """Delete markers that the unit sets."""
    if not any(rule.markers for rule in plan.rules):
        return
    versions = VERSIONS.key(bucket.name, "")
    made = [VERSIONS.decode(value) for key, value in unit.writes.puts.items() if key.startswith(versions)]
    for version in made:
        if version.delete_marker:
            _put(unit, bucket, version, "DeleteObject", plan)


def _put(unit: Unit, bucket: Bucket, version: ObjectVersion, operation: str, plan: Plan) -> None:
    found = plan.matching(version)
    if found:
        put_tasks(unit, bucket, version, operation, plan.role, found.values())


def _changed(call: Call, unit: Unit, bucket: Bucket, plan: Plan) -> None:
    """A version that is replicated, or is a replica, and has other tags, annotations, another ACL or lock now."""
    version = find_version(unit, bucket, call.input["Key"], call.input.get("VersionId", ""))
    if version is None or not version.replication:
        return
    replica = version.replication == IS_REPLICA
    rules = [
        rule
        for rule in plan.matching(version).values()
        if (rule.changes if replica else rule.destination in version.replication)
    ]
    if call.operation.name == ANNOTATING:
        put_annotation_tasks(unit, bucket, version, call.input["AnnotationName"], plan.role, _here(unit, rules))
    elif rules:
        put_tasks(unit, bucket, version, call.operation.name, plan.role, rules)
