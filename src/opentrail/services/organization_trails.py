"""What becomes of an organization's trails when CloudTrail may no longer act for the organization: they stay, as trails of
the management account alone. Organizations and CloudTrail share this; it knows neither's operations."""

from __future__ import annotations

import msgspec

from opentrail.rows.cloudtrail import CHANGES, CONFIGS, TRAILS, Change, padded
from opentrail.rows.organizations import Organization
from opentrail.state import Unit


def end_organization_trails(unit: Unit, organization: Organization) -> None:
    """Give each organization trail a next configuration without the organization. Source: Organizations user guide,
    "Disabling trusted access with CloudTrail"."""
    for parts, trail in list(TRAILS.all(unit, organization.management_id)):
        config = CONFIGS.get(unit, trail.id, padded(trail.revision))
        if config is None or config.organization_id != organization.id:
            continue
        following = msgspec.structs.replace(trail, revision=trail.revision + 1)
        TRAILS.put(unit, following, *parts)
        alone = msgspec.structs.replace(config, organization_id="", since=unit.now)
        CONFIGS.put(unit, alone, trail.id, padded(following.revision))
        CHANGES.put(unit, Change(trail_id=trail.id, revision=following.revision), "")
