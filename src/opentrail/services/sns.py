"""The service SNS: standard topics. One file per family; this one puts them together."""

from __future__ import annotations

from opentrail.service import Service
from opentrail.services import sns_permissions, sns_publish, sns_subscribe, sns_subscriptions, sns_tags, sns_topics

service = Service("sns")
for family in (sns_topics, sns_permissions, sns_tags, sns_subscribe, sns_subscriptions, sns_publish):
    service.include(family.service)
