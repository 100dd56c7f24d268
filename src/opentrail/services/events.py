"""The service EventBridge (CloudWatch Events): its families under one name."""

from __future__ import annotations

from opentrail.service import Service
from opentrail.services import events_buses, events_put, events_rules, events_tags, events_targets

service = Service("events")
for family in (events_rules, events_targets, events_put, events_buses, events_tags):
    service.include(family.service)
