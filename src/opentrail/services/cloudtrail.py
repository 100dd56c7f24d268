"""The service CloudTrail: its families under one name."""

from __future__ import annotations

from opentrail.service import Service
from opentrail.services import cloudtrail_events, cloudtrail_logging, cloudtrail_tags, cloudtrail_trails

service = Service("cloudtrail")
for family in (cloudtrail_trails, cloudtrail_logging, cloudtrail_events, cloudtrail_tags):
    service.include(family.service)
