"""Finding trails and writing their configuration: what all of CloudTrail's operations on a trail begin and end with.

The members of an organization see its trails under the management account's ARN; none but CloudTrail's delegated
administrators can change them. Source: user guide, "Creating a trail for an
organization"; the model's documentation of GetTrail and UpdateTrail.
"""

from __future__ import annotations

from opentrail.call import Access, Call
from opentrail.errors import AwsError
from opentrail.model.facts import partition
from opentrail.rows.cloudtrail import (
    CHANGES,
    CONFIGS,
    DELIVERY_PRINCIPAL,
    TRAILS,
    Change,
    Trail,
    TrailConfig,
    padded,
    trail_arn,
)
from opentrail.rows.organizations import is_delegate, organization_of
from opentrail.services.cloudtrail_checks import arn_of, check_addressed, parse_trail
from opentrail.services.cloudtrail_organization import not_management
from opentrail.state import Unit


def trails_of(account_id: str, unit: Unit) -> list[Trail]:
    """Every trail of an account, in the order of home region and name."""
    return [trail for _, trail in TRAILS.all(unit, account_id)]


def organization_trails(account_id: str, unit: Unit) -> list[Trail]:
    """The organization trails that an account sees as a member."""
    organization = organization_of(unit, account_id)
    if organization is None or organization.management_id == account_id:
        return []
    trails = trails_of(organization.management_id, unit)
    return [trail for trail in trails if config_of(trail, unit).organization_id == organization.id]


def seen_trails(account_id: str, unit: Unit) -> list[Trail]:
    """The account's own trails and those of its organization."""
    return trails_of(account_id, unit) + organization_trails(account_id, unit)


def find_trail(given: str, call: Call, unit: Unit) -> Trail:
    """The trail of a name (in the call's region) or an ARN; raises TrailNotFoundException and the errors of names."""
    account_id, region, name, by_arn = parse_trail(given, call.account_id, call.region)
    trail = TRAILS.get(unit, account_id, region, name)
    if trail is not None and account_id != call.account_id and not _is_shared(trail, call, unit):
        trail = None
    if trail is not None and (not by_arn or is_seen_from(trail, call.region, unit)):
        return trail
    arn = given if by_arn else trail_arn(account_id, region, name)
    raise AwsError("TrailNotFoundException", f"Unknown trail: {arn} for the user: {call.account_id}")


def find_own_trail(given: str, call: Call, unit: Unit) -> Trail:
    """The trail to change; raises InvalidHomeRegionException outside its home region, and
    NotOrganizationMasterAccountException for a member's eyes only."""
    account_id, region, name, by_arn = parse_trail(given, call.account_id, call.region)
    trail = TRAILS.get(unit, account_id, region, name)
    if trail is not None and account_id != call.account_id:
        trail = trail if _is_shared(trail, call, unit) else None
    if trail is None and not by_arn:
        trail = _shadow(name, call, unit)
    if trail is None:
        return find_trail(given, call, unit)
    if trail.account_id != call.account_id:
        _check_delegate(call, unit)
    if trail.home_region != call.region:
        raise AwsError(
            "InvalidHomeRegionException",
            f"Trail {trail.arn} can be changed only in its home Region {trail.home_region}.",
        )
    return trail


def _is_shared(trail: Trail, call: Call, unit: Unit) -> bool:
    """Is it a trail of the organization that the caller's account is a member of?"""
    organization_id = config_of(trail, unit).organization_id
    mine = organization_of(unit, call.account_id) if organization_id else None
    return mine is not None and mine.id == organization_id


def _check_delegate(call: Call, unit: Unit) -> None:
    organization = organization_of(unit, call.account_id)
    if organization is None or not is_delegate(unit, organization, DELIVERY_PRINCIPAL, call.account_id):
        raise not_management()


def _shadow(name: str, call: Call, unit: Unit) -> Trail | None:
    """The multi-region trail of another region that goes by this name here."""
    for trail in trails_of(call.account_id, unit):
        if trail.name == name and is_seen_from(trail, call.region, unit):
            return trail
    return None


def is_seen_from(trail: Trail, region: str, unit: Unit) -> bool:
    """At home, or as the shadow of a multi-region trail, which it has in every region of its partition."""
    if trail.home_region == region:
        return True
    return partition(trail.home_region) == partition(region) and config_of(trail, unit).multi_region


def config_of(trail: Trail, unit: Unit) -> TrailConfig:
    """The trail's newest configuration. A trail has one as long as it exists."""
    config = CONFIGS.get(unit, trail.id, padded(trail.revision))
    if config is None:
        raise AwsError("InternalError", f"Trail {trail.arn} has no configuration.", 500)
    return config


def put_config(unit: Unit, trail_id: str, revision: int, config: TrailConfig) -> None:
    """Add a configuration to the series; it holds from this commit's own line on."""
    CONFIGS.put(unit, config, trail_id, padded(revision))
    CHANGES.put(unit, Change(trail_id=trail_id, revision=revision), "")


def guard_trail(member: str, call: Call) -> list[Access]:
    """The operation's own action on the trail that an input member names."""
    arn = arn_of(str(call.input.get(member) or ""), call.account_id, call.region)
    return [Access(action=call.operation.facts.actions[0], resource=arn)]


def guard_trail_not_store(call: Call) -> list[Access]:
    """As `guard_trail`, of operations on either a trail or an event data store."""
    check_addressed(call.input.get("TrailName"), call.input.get("EventDataStore"))
    return guard_trail("TrailName", call)
