"""CopyObject: an object anew under another key, or under its own with something changed."""

from __future__ import annotations

import msgspec

from opentrail.call import Call, Shape
from opentrail.errors import AwsError
from opentrail.rows.s3 import Bucket, ObjectVersion
from opentrail.service import Service
from opentrail.services.s3 import lifecycle_rules, lock_rules
from opentrail.services.s3.annotation_copies import attach_annotations, take_annotations
from opentrail.services.s3.annotation_rules import COPY, DIRECTIVE, copies_annotations
from opentrail.services.s3.copy_source import (
    CopySource,
    copied_algorithm,
    copied_before,
    copy_source_bytes,
    source_of,
    source_version,
)
from opentrail.services.s3.encryption import WRITE_MEMBERS, not_implemented, show_written
from opentrail.services.s3.objects import bucket_of, check_write_conditions, finish, new_object
from opentrail.services.s3.payload import Payload
from opentrail.services.s3.reading import Run, from_epoch
from opentrail.services.s3.versions import current_version, put_version
from opentrail.state import Unit

CHANGING_MEMBERS = WRITE_MEMBERS | {"StorageClass", "WebsiteRedirectLocation", "ChecksumAlgorithm"}
"""Members that make a copy of an object onto itself worth doing."""
DIRECTIVES = (None, "COPY", "REPLACE")
WEBSITE_REDIRECT = "x-amz-website-redirect-location"

family = Service("s3")


@family.operation("CopyObject")
async def copy_object(call: Call, unit: Unit) -> Shape:
    """Make a copy of an object."""
    template = new_object(call, unit, bucket_of(call, unit))
    _check_directives(call, bucket_of(call, unit))
    source, version, payload = await _copied(call, unit)
    if version.annotated:
        await take_annotations(call, unit, bucket_of(call, unit), source, version)
    bucket = bucket_of(call, unit)
    current = current_version(unit, bucket, template.key)
    check_write_conditions(call, current)
    copy = finish(unit, bucket, _described(call, template, version), payload, current)
    if version.annotated:
        copy = attach_annotations(call, unit, bucket, copy, version)
    put_version(unit, bucket, copy, current)
    call.evidence.object_size = copy.size
    output = _answer(bucket, copy, source, version)
    show_written(call, copy, output)
    if bucket.object_lock:
        lock_rules.note_lock(call, copy)
    if bucket.configured:
        lifecycle_rules.show_expiration(unit, bucket, copy, output)
    return output


def _check_directives(call: Call, bucket: Bucket) -> None:
    for member, word in (("MetadataDirective", "metadata"), ("TaggingDirective", "tagging")):
        if call.input.get(member) not in DIRECTIVES:
            fields = {"ArgumentName": f"x-amz-{word}-directive", "ArgumentValue": str(call.input[member])}
            raise AwsError("InvalidArgument", f"Unknown {word} directive.", 400, headers=None, **fields)
    copies_annotations(call)
    if bucket.zone and call.input.get("AnnotationDirective") == COPY:
        raise not_implemented(DIRECTIVE)


async def _copied(call: Call, unit: Unit) -> tuple[CopySource, ObjectVersion, Payload]:
    """The source and its bytes, taken once however often the call is walked: what was copied was true when it was."""
    before = copied_before(call, unit)
    if before is not None:
        return before
    source = source_of(call, unit)
    version = source_version(call, unit, source)
    _check_changes_something(call, source)
    check_write_conditions(call, current_version(unit, bucket_of(call, unit), call.input["Key"]))
    payload = await copy_source_bytes(
        call, unit, source, version, Run(0, version.size), copied_algorithm(call, version)
    )
    call.stash["copied"] = (source, version, payload)
    return source, version, payload


def _check_changes_something(call: Call, source: CopySource) -> None:
    """A copy onto itself must change something, unless it brings an older version back."""
    given = call.input
    if (source.bucket.name, source.key) != (given["Bucket"], given["Key"]) or source.version_id:
        return
    changes = given.get("MetadataDirective") == "REPLACE" or given.get("TaggingDirective") == "REPLACE"
    if not changes and CHANGING_MEMBERS.isdisjoint(given):
        message = (
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes."
        )
        raise AwsError("InvalidRequest", message, 400)


def _described(call: Call, template: ObjectVersion, source: ObjectVersion) -> ObjectVersion:
    """The copy's row: metadata and tags of the source unless they are replaced; owner, ACL and class of the request."""
    given = call.input
    if given.get("MetadataDirective") != "REPLACE":
        headers = {name: value for name, value in source.headers.items() if name != WEBSITE_REDIRECT}
        if WEBSITE_REDIRECT in template.headers:
            headers[WEBSITE_REDIRECT] = template.headers[WEBSITE_REDIRECT]
        template = msgspec.structs.replace(
            template, content_type=source.content_type, headers=headers, metadata=source.metadata
        )
    if given.get("TaggingDirective") != "REPLACE":
        template = msgspec.structs.replace(template, tags=source.tags)
    return template


def _answer(bucket: Bucket, copy: ObjectVersion, source: CopySource, version: ObjectVersion) -> Shape:
    result: Shape = {"ETag": f'"{copy.etag}"', "LastModified": from_epoch(copy.modified)}
    for algorithm, value in copy.checksums.items():
        result[f"Checksum{algorithm}"] = value
        result["ChecksumType"] = copy.checksum_type
    output: Shape = {"CopyObjectResult": result}
    if bucket.versioning == "Enabled":
        output["VersionId"] = copy.version_id
    if source.bucket.versioning:
        output["CopySourceVersionId"] = version.version_id
    return output
