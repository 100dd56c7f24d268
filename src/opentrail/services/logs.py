"""The service CloudWatch Logs: log groups, streams and events. One file per family; this one puts them together."""

from __future__ import annotations

from opentrail.service import Service
from opentrail.services import logs_groups, logs_policies, logs_put, logs_read, logs_streams, logs_tags
from opentrail.services.logs_common import guard_group

service = Service("logs")
for family in (logs_groups, logs_streams, logs_put, logs_read, logs_tags, logs_policies):
    service.include(family.service)
service.guard(*(name for name in service.handlers if name not in service.guards))(guard_group)
