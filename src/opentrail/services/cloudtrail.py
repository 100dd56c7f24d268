"""The service CloudTrail: its families under one name."""

from __future__ import annotations

from opentrail.service import Service
from opentrail.services import (
    cloudtrail_event_configuration,
    cloudtrail_events,
    cloudtrail_insights,
    cloudtrail_logging,
    cloudtrail_organization,
    cloudtrail_policies,
    cloudtrail_tags,
    cloudtrail_trails,
)

service = Service("cloudtrail")
FAMILIES = (
    cloudtrail_trails,
    cloudtrail_logging,
    cloudtrail_events,
    cloudtrail_insights,
    cloudtrail_event_configuration,
    cloudtrail_tags,
    cloudtrail_policies,
    cloudtrail_organization,
)
for family in FAMILIES:
    service.include(family.service)
