"""The service SQS: standard queues. One file per family; this one puts them together."""

from __future__ import annotations

from opentrail.service import Service
from opentrail.services import sqs_handles, sqs_permissions, sqs_queues, sqs_receive, sqs_send

service = Service("sqs")
for family in (sqs_queues, sqs_permissions, sqs_send, sqs_receive, sqs_handles):
    service.include(family.service)
