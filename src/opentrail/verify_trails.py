"""Which trails should have logged a record: told by the records themselves, which say how trails were made and changed.

The checker's own judge of trails and event selectors (CloudTrail API reference; user guide on data events and advanced
event selectors), independent of the one that delivers. A configuration counts from the call that made it, and that call's
own record counts for both sides. An organization trail logs for the members of its organization too (`verify_members`).
Not judged: trails whose making left no full record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from opentrail import verify_members
from opentrail.verify_ledger import partition_of, trail_arn

GLOBAL = ("iam.amazonaws.com", "cloudfront.amazonaws.com", "route53.amazonaws.com")
"""Services whose events are in us-east-1 and left out by IncludeGlobalServiceEvents false."""
CLOUDTRAIL = "cloudtrail.amazonaws.com"
WHOLE = {"AWS::DynamoDB::Table": "arn:aws:dynamodb", "AWS::Lambda::Function": "arn:aws:lambda"}
"""Types of which basic selectors name single ones, and the value that means all."""
CHANGES = (
    "CreateTrail",
    "UpdateTrail",
    "PutEventSelectors",
    "PutInsightSelectors",
    "StartLogging",
    "StopLogging",
    "DeleteTrail",
)
_CHANGES = {CLOUDTRAIL: CHANGES, verify_members.ORGANIZATIONS: verify_members.CHANGES}


class Resource(msgspec.Struct):
    type: str = ""
    arn: str = msgspec.field(default="", name="ARN")
    prefix: str = msgspec.field(default="", name="ARNPrefix")


class Identity(msgspec.Struct, rename="camel"):
    type: str = ""
    arn: str = ""
    invoked_by: str = ""


class Insight(msgspec.Struct, frozen=True, rename="camel"):
    """Of an Insight event, which type it is of."""

    insight_type: str = ""


class Head(msgspec.Struct, rename="camel"):
    """As much of a record as decides who logs it."""

    event_id: str = msgspec.field(default="", name="eventID")
    event_time: str = ""
    event_source: str = ""
    event_name: str = ""
    event_type: str = ""
    event_category: str = ""
    aws_region: str = ""
    error_code: str = ""
    recipient_account_id: str = ""
    session_credential_from_console: str = ""
    vpc_endpoint_id: str = ""
    read_only: bool | None = None
    user_identity: Identity = msgspec.field(default_factory=Identity)
    resources: list[Resource] = []
    insight_details: Insight = Insight()
    request_parameters: msgspec.Raw = msgspec.Raw(b"null")
    response_elements: msgspec.Raw = msgspec.Raw(b"null")


read_head = msgspec.json.Decoder(Head).decode
"""msgspec.MsgspecError for what is no record."""
Test = Callable[[Head], bool]


@dataclass(slots=True)
class Trail:
    """A trail as the records told it so far."""

    arn: str
    account: str
    home: str
    bucket: str = ""
    prefix: str = ""
    everywhere: bool = False
    with_global: bool = True
    recursive: bool = False
    log_group: str = ""
    """ARN of its log group, which ends `:*`."""
    logging: bool = False
    organization: str = ""
    """The id of the organization whose trail it is; empty if it is one account's."""
    known: bool = True
    """Every change so far could be read."""
    selects: Test = lambda head: head.event_category == "Management"
    insights: frozenset[str] = frozenset()
    """Types of Insight events that it wants."""

    def logs(self, head: Head) -> bool:
        if not self.logging or not self.known:
            return False
        if self.everywhere and partition_of(head.aws_region) != partition_of(self.home):
            return False
        if not self.everywhere and head.aws_region != self.home:
            return False
        if not self.everywhere and not self.with_global and head.event_source in GLOBAL:
            return False
        if head.event_category == "Insight":
            return head.insight_details.insight_type in self.insights
        return self.selects(head) and (self.recursive or not self._is_own_delivery(head))

    def _is_own_delivery(self, head: Head) -> bool:
        """CloudTrail itself, writing into the trail's bucket or log group."""
        if head.user_identity.invoked_by != CLOUDTRAIL:
            return False
        if head.event_name == "PutLogEvents":
            return any(f"{each.arn}:*" == self.log_group for each in head.resources)
        into = f"arn:aws:s3:::{self.bucket}"
        as_service = head.event_name == "PutObject" and head.user_identity.type == "AWSService"
        return as_service and any(each.arn == into for each in head.resources)


class Place(NamedTuple):
    """Where a trail delivers; with an organization, into its folder."""

    bucket: str
    prefix: str
    organization: str


class Trails:
    """All trails, replayed record by record, in the ledger's order."""

    def __init__(self) -> None:
        self._trails: dict[str, Trail] = {}
        self._members = verify_members.Members()
        self.destinations: dict[str, set[Place]] = {}
        """ARN → every place it ever delivered to."""
        self.unknown: set[str] = set()
        """ARNs of which something could not be read."""

    def see(self, head: Head) -> list[Trail]:
        """The trails that should log this record, as they were; a change that the record tells is taken over."""
        account = head.recipient_account_id
        before = {each.arn: each for each in self._of(account) if each.logs(head)}
        if not head.error_code and head.event_name in _CHANGES.get(head.event_source, ()):
            before = {arn: _copy(each) for arn, each in before.items()}
            given, made = _object(head.request_parameters), _object(head.response_elements)
            if head.event_source == CLOUDTRAIL:
                self._change(head, given, made)
            else:
                self._end_for(self._members.change(head.event_name, account, given, made))
            before |= {each.arn: each for each in self._of(account) if each.logs(head)}
        return list(before.values())

    def _of(self, account: str) -> Iterator[Trail]:
        """The account's own trails, and those of its organization."""
        organization = self._members.organization_of(account)
        return (
            each
            for each in self._trails.values()
            if each.account == account or (organization and each.organization == organization)
        )

    def _end_for(self, organization: str) -> None:
        """Its trails become trails of the management account alone."""
        for trail in self._trails.values():
            if organization and trail.organization == organization:
                trail.organization = ""
                self._note_place(trail)

    def _change(self, head: Head, given: Mapping[str, Any], made: Mapping[str, Any]) -> None:
        name = given.get("name") or given.get("trailName") or ""
        arn = made.get("trailARN") or _arn(str(name), head)
        if head.event_name == "DeleteTrail":
            self._trails.pop(arn, None)
            return
        trail = self._trails.get(arn)
        if trail is None or head.event_name == "CreateTrail":
            where = arn.split(":")
            trail = self._trails[arn] = Trail(arn, where[4], where[3])
            trail.known = head.event_name == "CreateTrail"
        if head.event_name in ("StartLogging", "StopLogging"):
            trail.logging = head.event_name == "StartLogging"
        elif head.event_name == "PutEventSelectors":
            self._select(trail, made)
        elif head.event_name == "PutInsightSelectors":
            trail.insights = frozenset(each["insightType"] for each in made.get("insightSelectors") or ())
        else:
            self._configure(trail, made)
        if not trail.known:
            self.unknown.add(arn)

    def _configure(self, trail: Trail, made: Mapping[str, Any]) -> None:
        if "s3BucketName" not in made:
            trail.known = False
            return
        trail.bucket, trail.prefix = made["s3BucketName"], made.get("s3KeyPrefix", "").rstrip("/")
        trail.everywhere, trail.with_global = made["isMultiRegionTrail"], made["includeGlobalServiceEvents"]
        trail.recursive = bool(made.get("recursiveLogging"))
        trail.log_group = made.get("cloudWatchLogsLogGroupArn") or ""
        if not made.get("isOrganizationTrail"):
            trail.organization = ""
        elif not trail.organization:
            trail.organization = self._members.organization_of(trail.account)
            trail.known = trail.known and trail.organization != ""
        self._note_place(trail)

    def _note_place(self, trail: Trail) -> None:
        self.destinations.setdefault(trail.arn, set()).add(Place(trail.bucket, trail.prefix, trail.organization))

    def _select(self, trail: Trail, made: Mapping[str, Any]) -> None:
        if "advancedEventSelectors" in made:
            trail.selects = _any([_advanced(each) for each in made["advancedEventSelectors"]])
        elif "eventSelectors" in made:
            trail.selects = _any([_basic(each) for each in made["eventSelectors"]])
        else:
            trail.known = False


def _copy(trail: Trail) -> Trail:
    """The trail as it is now, whatever becomes of it."""
    return Trail(**{name: getattr(trail, name) for name in Trail.__slots__})


def _arn(name: str, head: Head) -> str:
    if name.startswith("arn:"):
        return name
    return trail_arn(head.aws_region, head.recipient_account_id, name)


def _object(raw: msgspec.Raw) -> dict[str, Any]:
    found = msgspec.json.decode(raw)
    return found if isinstance(found, dict) else {}


def _any(tests: Sequence[Test]) -> Test:
    return lambda head: any(test(head) for test in tests)


def _basic(selector: Mapping[str, Any]) -> Test:
    wanted = {"ReadOnly": True, "WriteOnly": False}.get(selector.get("readWriteType", "All"))
    excluded = selector.get("excludeManagementEventSources") or []
    values = [(each["type"], value) for each in selector.get("dataResources") or [] for value in each.get("values", [])]

    def test(head: Head) -> bool:
        if wanted is not None and head.read_only != wanted:
            return False
        if head.event_category == "Management":
            return selector.get("includeManagementEvents", True) and head.event_source not in excluded
        if head.event_category != "Data":
            return False
        return any(
            found.type == kind and _covers(kind, value, found) for found in head.resources for kind, value in values
        )

    return test


def _covers(kind: str, value: str, found: Resource) -> bool:
    """Functions and tables are named whole unless all are meant; objects by the beginning of their ARN."""
    if kind in WHOLE and value not in WHOLE.values():
        return found.arn == value
    return (found.arn or found.prefix).startswith(value)


def _advanced(selector: Mapping[str, Any]) -> Test:
    fields = {each["field"]: each for each in selector["fieldSelectors"]}
    kind = fields.get("resources.type", {}).get("equals", [""])[0]
    arns = fields.get("resources.ARN", {})

    def test(head: Head) -> bool:
        for name, conditions in fields.items():
            if not name.startswith("resources.") and not _holds(conditions, _value(head, name), whole=True):
                return False
        if not kind:
            return True
        mine = [each for each in head.resources if each.type == kind]
        return any(_holds(arns, each.arn or each.prefix, whole=bool(each.arn)) for each in mine)

    return test


def _value(head: Head, field: str) -> str:
    if field == "readOnly":
        return "" if head.read_only is None else str(head.read_only).lower()
    if field == "userIdentity.arn":
        return head.user_identity.arn
    names = {"eventCategory": head.event_category, "eventName": head.event_name, "eventSource": head.event_source}
    names |= {"eventType": head.event_type, "errorCode": head.error_code, "vpcEndpointId": head.vpc_endpoint_id}
    return names.get(field, head.session_credential_from_console)


def _holds(conditions: Mapping[str, Any], value: str, *, whole: bool) -> bool:
    """Any positive condition (if there is one), and none of the negative. What is known by its prefix only neither
    equals nor ends with anything."""
    ends_known = whole and value != ""

    def hits(equals: str, starts: str, ends: str) -> bool:
        return (
            (ends_known and value in (conditions.get(equals) or []))
            or (value != "" and any(value.startswith(each) for each in conditions.get(starts) or []))
            or (ends_known and any(value.endswith(each) for each in conditions.get(ends) or []))
        )

    if hits("notEquals", "notStartsWith", "notEndsWith"):
        return False
    positive = any(conditions.get(each) for each in ("equals", "startsWith", "endsWith"))
    return not positive or hits("equals", "startsWith", "endsWith")
