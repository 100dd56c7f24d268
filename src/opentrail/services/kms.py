"""KMS: the families of its operations put together."""

from __future__ import annotations

from opentrail.service import Service
from opentrail.services import kms_aliases, kms_crypto, kms_grants, kms_keys, kms_policies, kms_rotation, kms_tags

service = Service("kms")
for module in (kms_keys, kms_crypto, kms_aliases, kms_policies, kms_grants, kms_rotation, kms_tags):
    service.include(module.service)
