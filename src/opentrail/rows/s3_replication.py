"""Replication of S3 objects: what a bucket's rules say of a version, and the tasks that come of it.

    s3.replica-task   bucket destination time id     something that happened to a version, to be done at the destination too

Annotations are replicated one by one, each with a state of its own; what becomes of them says nothing of their version.

A task is written in the commit of what happened and deleted in the commit in which it is done, with the version's status; so
none is lost or done twice. A bucket without rules costs nothing here. Each destination of a bucket is served in the order
of its tasks. Source: S3 user guide, "Replicating objects within and across Regions"; API reference, ReplicationRule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from opentrail.ports import Key
from opentrail.rows.bell import Bell
from opentrail.rows.s3 import OBJECTS, VERSIONS, Bucket, ObjectVersion, order_part
from opentrail.rows.s3_annotations import ANNOTATIONS
from opentrail.state import Row, Table, Unit

KIND: Final = "replication"
"""The kind of the bucket's document."""
READING, REPLICA = "replication reads", "replica"
"""Marks in `call.stash` of the calls that replication makes: a read of the source, a write of a `Replica`."""
SERVICE: Final = "s3.amazonaws.com"
SESSION_NAME: Final = "s3-replication"
ARN_PREFIX: Final = "arn:aws:s3:::"
PENDING, COMPLETED, FAILED = "PENDING", "COMPLETED", "FAILED"
IS_REPLICA: Final = {"": "REPLICA"}
"""What a replica's row has in place of the states of its destinations."""
ANNOTATING: Final = "PutObjectAnnotation"
TASK_BELL: Final = "replica-task"
DOCUMENTS_CACHED = 256
ID_ALPHABET, ID_LENGTH = "0123456789abcdefghijklmnopqrstuvwxyz", 12
KMS: Final = "aws:kms"


class Rule(NamedTuple):
    """One enabled rule."""

    id: str
    priority: int
    prefix: str
    tags: tuple[tuple[str, str], ...]
    markers: bool
    kms: bool
    """Objects under SSE-KMS are replicated."""
    changes: bool
    """Changes to replicas are taken back to where they came from."""
    destination: str
    """Name of the bucket."""
    account: str
    translates: bool
    """The destination's account is to own the replica."""
    storage_class: str
    kms_key: str

    def takes(self, version: ObjectVersion) -> bool:
        if not version.key.startswith(self.prefix) or (version.delete_marker and not self.markers):
            return False
        if version.customer_mark or (version.sse.startswith(KMS) and not self.kms):
            return False
        return all(tag in version.tags for tag in self.tags)


class Plan(NamedTuple):
    """A bucket's replication configuration, ready to be asked."""

    role: str
    rules: tuple[Rule, ...]

    def matching(self, version: ObjectVersion) -> dict[str, Rule]:
        """By destination: the rule of the highest priority that takes the version."""
        found: dict[str, Rule] = {}
        for rule in self.rules:
            if rule.destination not in found and rule.takes(version):
                found[rule.destination] = rule
        return found


@lru_cache(maxsize=DOCUMENTS_CACHED)
def read_plan(text: str) -> Plan:
    """The plan of a stored document; rules by falling priority, disabled ones left out."""
    given = msgspec.json.decode(text)
    rules = [_rule(each) for each in given["Rules"] if each["Status"] == "Enabled"]
    return Plan(given["Role"], tuple(sorted(rules, key=lambda rule: -rule.priority)))


def _rule(given: Mapping[str, Any]) -> Rule:
    prefix, tags = read_filter(given)
    to, selection = given["Destination"], given.get("SourceSelectionCriteria") or {}
    default = "Disabled" if "Filter" in given else "Enabled"  # the older schema replicates delete markers
    return Rule(
        id=given.get("ID", ""),
        priority=given.get("Priority", 0),
        prefix=prefix,
        tags=tags,
        markers=_on(given.get("DeleteMarkerReplication"), default),
        kms=_on(selection.get("SseKmsEncryptedObjects")),
        changes=_on(selection.get("ReplicaModifications")),
        destination=to["Bucket"].removeprefix(ARN_PREFIX),
        account=to.get("Account", ""),
        translates=to.get("AccessControlTranslation") is not None,
        storage_class=to.get("StorageClass", ""),
        kms_key=(to.get("EncryptionConfiguration") or {}).get("ReplicaKmsKeyID", ""),
    )


def _on(given: Mapping[str, Any] | None, default: str = "Disabled") -> bool:
    return bool((given or {}).get("Status", default) == "Enabled")


def read_filter(given: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """(prefix, tags) that a rule asks of objects, in either schema."""
    chosen = given.get("Filter") or {}
    whole = chosen.get("And") or chosen
    tags = whole.get("Tags") or ([whole["Tag"]] if whole.get("Tag") else [])
    prefix = whole.get("Prefix") or given.get("Prefix") or ""
    return prefix, tuple((tag["Key"], tag["Value"]) for tag in tags)


class Task(Row, frozen=True):
    """Something that happened to a version. Keyed by source bucket, destination, microsecond and a random id."""

    key: str
    version_id: str
    order: int
    operation: str
    """PutObject for a new object, DeleteObject for a new delete marker, PutObjectAnnotation for an annotation, else the
    operation that changed it."""
    role: str
    rule_id: str
    first: float
    """When it happened."""
    account: str = ""
    translates: bool = False
    storage_class: str = ""
    kms_key: str = ""
    sent: bool = False
    """Another server may have it already; `before` was the newest version there when it was about to be sent."""
    before: str = ""
    annotation: str = ""
    """The annotation of the version that it is about; empty for the version itself."""


class Replica(msgspec.Struct, frozen=True):
    """In `call.stash` of a write at the destination: the version as it is at the source, and how it is to be kept."""

    source: ObjectVersion
    owner: str
    """Account that is to own it; empty for the destination's."""
    storage_class: str = ""


TASKS: Table[Task] = Table("s3.replica-task", Task)
BELL = Bell()
"""Rings TASK_BELL."""


def status_of(version: ObjectVersion) -> str:
    """`x-amz-replication-status` of a version that has something to do with replication."""
    states = [state.partition(" ")[0] for state in version.replication.values()]
    return next((each for each in (FAILED, PENDING) if each in states), states[0] if states else "")


def id_elsewhere(version: ObjectVersion, destination: str) -> str:
    """The id that another server has given the replica, if it has."""
    return version.replication.get(destination, "").partition(" ")[2]


def _state(version: ObjectVersion, destination: str, state: str, id_: str = "") -> str:
    return f"{state} {id_ or id_elsewhere(version, destination)}".rstrip()


def put_tasks(
    unit: Unit, bucket: Bucket, version: ObjectVersion, operation: str, role: str, rules: Iterable[Rule]
) -> None:
    """Let something be done at each rule's destination, and the version say that it is not done yet."""
    states = {} if version.replication == IS_REPLICA else dict(version.replication)
    for rule in rules:
        _put_task(unit, bucket, rule, _task(unit, version, operation, role, rule))
        states[rule.destination] = _state(version, rule.destination, PENDING)
    if version.replication != IS_REPLICA and not version.delete_marker:
        rewrite(unit, bucket, replace(version, replication=states))
    BELL.ring(TASK_BELL)


def put_annotation_tasks(
    unit: Unit, bucket: Bucket, version: ObjectVersion, name: str, role: str, rules: Iterable[Rule]
) -> None:
    """Let an annotation of the version be put at each rule's destination, and itself say that it is not there yet."""
    row = ANNOTATIONS.get(unit, version.annotated, name)
    if row is None:
        return
    states = dict(row.replication)
    for rule in rules:
        _put_task(unit, bucket, rule, _task(unit, version, ANNOTATING, role, rule, name))
        states[rule.destination] = PENDING
    ANNOTATIONS.put(unit, replace(row, replication=states), version.annotated, name)
    BELL.ring(TASK_BELL)


def _task(unit: Unit, version: ObjectVersion, operation: str, role: str, rule: Rule, annotation: str = "") -> Task:
    return Task(
        key=version.key,
        version_id=version.version_id,
        order=version.order,
        operation=operation,
        role=role,
        rule_id=rule.id,
        first=unit.now,
        account=rule.account,
        translates=rule.translates,
        storage_class=rule.storage_class,
        kms_key=rule.kms_key,
        annotation=annotation,
    )


def _put_task(unit: Unit, bucket: Bucket, rule: Rule, task: Task) -> None:
    """An annotation's task comes after that of a version which was made in the same commit."""
    at = int(unit.now * 1_000_000) + bool(task.annotation)
    id_ = unit.house.clock.token(ID_LENGTH, ID_ALPHABET)
    TASKS.put(unit, task, bucket.name, rule.destination, f"{at:016x}", id_)


def rewrite(unit: Unit, bucket: Bucket, version: ObjectVersion) -> None:
    """Put the row of a version that is there already, wherever it lies."""
    live = OBJECTS.get(unit, bucket.name, version.key)
    if live is not None and live.version_id == version.version_id:
        OBJECTS.put(unit, version, bucket.name, version.key)
    VERSIONS.put(unit, version, bucket.name, version.key, order_part(version.order))


def settle(unit: Unit, bucket: Bucket, version: ObjectVersion, destination: str, state: str, id_: str = "") -> None:
    """Note what has become of a version at one destination. `id_` is the replica's there, where it is another."""
    if destination in version.replication:
        states = {**version.replication, destination: _state(version, destination, state, id_)}
        rewrite(unit, bucket, replace(version, replication=states))


def settle_annotation(unit: Unit, version: ObjectVersion, name: str, destination: str, state: str) -> None:
    """Note what has become of an annotation at one destination."""
    row = ANNOTATIONS.get(unit, version.annotated, name) if version.annotated else None
    if row is not None and destination in row.replication:
        states = {**row.replication, destination: state}
        ANNOTATIONS.put(unit, replace(row, replication=states), version.annotated, name)


def same_object(one: ObjectVersion, other: ObjectVersion | None) -> bool:
    """Are these the same but for what has become of them at destinations, and for annotations, which stay where they are?"""
    return other is not None and _replicated(one) == _replicated(other)


def _replicated(version: ObjectVersion) -> ObjectVersion:
    return replace(version, replication={}, annotated="")


def lane_of(key: Key) -> tuple[str, str]:
    """(source bucket, destination) of a task."""
    bucket, destination, _, _ = TASKS.parts(key)
    return bucket, destination
