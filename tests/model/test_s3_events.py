"""How every operation of S3 is called in records, and what kind of event it is.

The table is held by hand against delivered log files and the user guide's lists; a new operation of the model must be
placed in it before this passes.
"""

from __future__ import annotations

import re

import pytest

from opentrail.model.load import load_models

SETTINGS = (
    "AnalyticsConfiguration", "IntelligentTieringConfiguration", "InventoryConfiguration", "MetricsConfiguration",
)  # fmt: skip
READS = re.compile(r"Get|List|Head|Select|CreateSession|Preflight")
NAMES = {
    **{f"ListBucket{setting}s": f"GetBucket{setting}" for setting in SETTINGS},
    **{f"{verb}PublicAccessBlock": f"{verb}BucketPublicAccessBlock" for verb in ("Delete", "Get", "Put")},
    **{f"{verb}BucketAccelerateConfiguration": f"{verb}AccelerateConfiguration" for verb in ("Get", "Put")},
    **{f"{verb}BucketLifecycleConfiguration": f"{verb}BucketLifecycle" for verb in ("Get", "Put")},
    **{f"{verb}BucketNotificationConfiguration": f"{verb}BucketNotification" for verb in ("Get", "Put")},
    **{
        f"{verb}Object{what}": f"{verb}ObjectLock{what}"
        for verb in ("Get", "Put")
        for what in ("LegalHold", "Retention")
    },
    **{f"{verb}ObjectLockConfiguration": f"{verb}BucketObjectLockConfiguration" for verb in ("Get", "Put")},
    "ListObjectsV2": "ListObjects",
    "GetWebsiteObject": "GetObject",
    "HeadWebsiteObject": "HeadObject",
}
"""Operations that records call otherwise."""
DATA = {
    "AbortMultipartUpload", "CompleteMultipartUpload", "CopyObject", "CreateMultipartUpload", "CreateSession",
    "DeleteObject", "DeleteObjectAnnotation", "DeleteObjectTagging", "DeleteObjects", "GetObject", "GetObjectAcl",
    "GetObjectAnnotation", "GetObjectAttributes", "GetObjectLegalHold", "GetObjectRetention", "GetObjectTagging",
    "GetObjectTorrent", "GetWebsiteObject", "HeadBucket", "HeadObject", "HeadWebsiteObject",
    "ListObjectAnnotations", "ListObjectVersions", "ListObjects", "ListObjectsV2", "ListParts", "PostObject",
    "PreflightRequest", "PutObject", "PutObjectAcl", "PutObjectAnnotation", "PutObjectLegalHold",
    "PutObjectRetention", "PutObjectTagging", "RenameObject", "RestoreObject", "SelectObjectContent",
    "UpdateObjectEncryption", "UploadPart", "UploadPartCopy", "WriteGetObjectResponse",
}  # fmt: skip
"""Operations whose events are data events; all others' are management events. Of the four on annotations no record is known:
they stand as what one can do to an object does."""
SOURCES = {
    "CreateSession": "s3express.amazonaws.com",
    "ListDirectoryBuckets": "s3express.amazonaws.com",
    "WriteGetObjectResponse": "s3-object-lambda.amazonaws.com",
}
OPERATIONS = load_models().service("s3").operations


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_events_bear_the_names_and_kinds_of_real_records(name: str):
    facts = OPERATIONS[name].facts
    assert facts.event_name == NAMES.get(name, name)
    assert facts.category == ("Data" if name in DATA else "Management")
    assert facts.read_only == bool(READS.match(name))
    assert facts.event_source == SOURCES.get(name, "s3.amazonaws.com")


def test_the_table_speaks_of_operations_that_there_are():
    assert NAMES.keys() | DATA | SOURCES.keys() <= OPERATIONS.keys()


DOCUMENTED = {f"{verb}PublicAccessBlock" for verb in ("Delete", "Get", "Put")}
"""Operations for which the user guide's list and real records disagree; `event_names` chooses."""


@pytest.mark.parametrize("service", ["s3", "s3control"])
def test_the_guides_spelling_is_kept_where_it_differs(service: str):
    for name, operation in load_models().service(service).operations.items():
        facts = operation.facts
        expected = name if name in DOCUMENTED else facts.event_name
        assert facts.documented_name == expected, name
