"""S3: the families put together. One file per family; none imports another but for the rooms they share."""

from __future__ import annotations

from opentrail.service import Service
from opentrail.services.s3 import (
    abac,
    accelerate,
    access_block,
    access_lists,
    access_notes,
    analytics,
    attributes,
    batch_delete,
    bucket_encryption,
    bucket_logging,
    bucket_policy,
    buckets,
    completing,
    copy_source,
    copying,
    cors,
    directory,
    display_names,
    intelligent_tiering,
    inventory,
    lifecycle,
    listing,
    location,
    metadata_tables,
    metrics,
    multipart,
    noticing,
    notification,
    object_encryption,
    object_lambda,
    object_lock,
    objects,
    ownership,
    parts,
    post_object,
    preflight,
    request_payment,
    restore,
    select_content,
    tagging,
    torrent,
    version_listing,
    versioning,
    website,
    website_serving,
)
from opentrail.services.s3.guard import guard

FAMILIES = (
    object_encryption,
    objects,
    listing,
    multipart,
    parts,
    completing,
    copy_source,
    copying,
    batch_delete,
    version_listing,
    attributes,
    buckets,
    location,
    versioning,
    bucket_policy,
    access_lists,
    ownership,
    access_block,
    tagging,
    request_payment,
    object_lock,
    lifecycle,
    restore,
    select_content,
    bucket_encryption,
    cors,
    preflight,
    post_object,
    website,
    website_serving,
    notification,
    inventory,
    analytics,
    metrics,
    intelligent_tiering,
    accelerate,
    abac,
    metadata_tables,
    object_lambda,
    torrent,
    directory,
    bucket_logging,
)

service = Service("s3")
service.guard()(guard)
for module in FAMILIES:
    service.include(module.family)
service.refuse = objects.refuse_reading
service.cross_origin = cors.cross_origin
service.witness = access_notes.note_call
noticing.watch(service)
display_names.name_accounts(service)
