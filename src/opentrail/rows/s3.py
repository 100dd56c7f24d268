"""What S3 keeps: buckets, object versions, uploads and parts, and how their keys sort.

    s3.bucket   bucket                       the bucket with what every request needs of it
    s3.owned    account bucket               the buckets of an account, for ListBuckets
    s3.owned-directory  account region bucket  the directory buckets of an account in a region
    s3.object   bucket key                   the current version of a live object (none under a delete marker)
    s3.version  bucket key order             every version of a bucket that has had versioning, newest first
    s3.upload   bucket key upload-id         a multipart upload under way
    s3.part     upload-id number             its parts; the number with five digits
    s3.data     ref                          bytes of a small object, raw
    s3.bucket-key   bucket kms-key-arn           the bucket keys that requesters got lately
    s3.access   ref                          when an object of Intelligent-Tiering was last read, by its first blob
    s3.config   bucket kind                  a configuration document (cors, lifecycle …), see `ConfigDocument`

Keys of objects sort as UTF-8 bytes, as S3 lists them. They are free of NUL (refused on the way in).
"""

from __future__ import annotations

import msgspec

from opentrail.ports import Key
from opentrail.state import Row, Table

INLINE_BYTES_MAX = 64 * 1024
"""Objects up to this size lie in the ledger beside their row, so that storing one costs no file."""
ORDER_MAX = 2**63 - 1
NULL_VERSION = "null"
LIFECYCLE = "lifecycle"
"""The kind of configuration document that holds a bucket's lifecycle rules."""


class Grant(Row, frozen=True):
    """One grant of an ACL. `grantee` is a canonical user id or a group URI; `display` the e-mail or name it was given by."""

    grantee: str
    permission: str
    kind: str = "CanonicalUser"
    display: str = ""


class Acl(Row, frozen=True):
    """An access control list. `owner` is a canonical user id."""

    owner: str
    grants: tuple[Grant, ...] = ()


class PublicAccessBlock(Row, frozen=True):
    block_public_acls: bool = False
    ignore_public_acls: bool = False
    block_public_policy: bool = False
    restrict_public_buckets: bool = False


class Bucket(Row, frozen=True):
    """A bucket. `owner` is an account id, `created_at` epoch seconds, `policy` the JSON text as it was put."""

    name: str
    owner: str
    region: str
    created_at: float
    versioning: str = ""
    """`` (never set), `Enabled` or `Suspended`."""
    mfa_delete: str = ""
    acl: Acl | None = None
    """None: the owner alone, FULL_CONTROL."""
    ownership: str = "BucketOwnerEnforced"
    """Empty after DeleteBucketOwnershipControls: as ObjectWriter."""
    policy: str = ""
    public_access_block: PublicAccessBlock | None = None
    requester_pays: bool = False
    object_lock: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    encryption: str = ""
    encryption_key: str = ""
    bucket_key: bool = False
    configured: tuple[str, ...] = ()
    """Kinds of `s3.config` documents that exist, so that a request need not look for those that do not."""
    location: str = ""
    """The LocationConstraint it was created with; it may be another name of the region (`EU`)."""
    zone: str = ""
    """The zone of a directory bucket (`use1-az4`); empty for all others."""


class OwnedBucket(Row, frozen=True):
    """A bucket as its account's list shows it. Written and deleted with the bucket."""

    region: str
    created_at: float


class Part(Row, frozen=True):
    """A run of an object's bytes in the blob store."""

    ref: str
    size: int
    sealed_key: bytes = b""
    """The data key the bytes are encrypted with, sealed; empty when they lie in the clear."""


class ObjectVersion(Row, frozen=True):
    """One version of an object, or a delete marker. Times are epoch seconds; `etag` has no quotes."""

    key: str
    version_id: str
    order: int
    """Grows with every version of a key: microseconds since the epoch, pushed up if the clock stood still or went back."""
    modified: float
    owner: str
    """Account id of the object's owner."""
    etag: str = ""
    size: int = 0
    delete_marker: bool = False
    inline: str = ""
    """Ref of the row in `s3.data`; empty when the bytes are in `parts`."""
    parts: tuple[Part, ...] = ()
    part_sizes: tuple[int, ...] = ()
    """Sizes of the parts of a multipart upload, for reading by part number."""
    part_checksums: tuple[str, ...] = ()
    content_type: str = "binary/octet-stream"
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    """Stored response headers by lower-case name: cache-control, content-disposition, content-encoding,
    content-language, expires, x-amz-website-redirect-location."""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    checksums: dict[str, str] = msgspec.field(default_factory=dict)
    """Base64 checksum by algorithm (`CRC32`, `SHA256` …)."""
    checksum_type: str = ""
    """FULL_OBJECT or COMPOSITE."""
    tags: tuple[tuple[str, str], ...] = ()
    acl: Acl | None = None
    storage_class: str = "STANDARD"
    sse: str = ""
    """`AES256`, `aws:kms`, `aws:kms:dsse`."""
    sse_key: str = ""
    """ARN of the KMS key."""
    bucket_key: bool = False
    sse_default: bool = False
    """Encrypted because the bucket says so, not the request."""
    wrapped_key: bytes = b""
    """SSE-KMS: what the data keys are wrapped with, as KMS encrypted it."""
    sse_context: str = ""
    """SSE-KMS: the encryption context that the writer gave, compact JSON; without `aws:s3:arn`."""
    customer_mark: bytes = b""
    """SSE-C: by what the customer's key is recognised; empty for all other objects."""
    sealed_key: bytes = b""
    """The data key of the bytes in `inline`, sealed; empty when they lie in the clear."""
    lock_mode: str = ""
    """Retention: `GOVERNANCE` or `COMPLIANCE`, until `lock_until`, as set at `lock_at`."""
    lock_until: float = 0.0
    lock_at: float = 0.0
    legal_hold: bool = False
    hold_at: float = 0.0
    """When the legal hold was last put on or taken off; 0 for a version that never had one."""
    restored_until: float = 0.0
    """Until when the temporary copy of an archived object may be read."""
    access_tier: str = ""
    """Intelligent-Tiering: `ARCHIVE_ACCESS` or `DEEP_ARCHIVE_ACCESS`; empty while it can be read at once."""
    warmed_at: float = 0.0
    """Intelligent-Tiering: when it was last brought back from an archive."""
    upload_id: str = ""
    """The multipart upload it was made of, so that completing it again gives the same answer."""
    replication: dict[str, str] = msgspec.field(default_factory=dict)
    """What has become of it at each bucket it is replicated to (`COMPLETED`, with the replica's id where that is another),
    or that it is a replica itself; see `s3_replication`."""
    annotated: str = ""
    """Ref of its annotations; empty for a version that never had one. See `s3_annotations`."""


class Access(Row, frozen=True):
    """When an object was last read, to the day; epoch seconds."""

    at: float


class Upload(Row, frozen=True):
    """A multipart upload: what CreateMultipartUpload said, kept as the object that will be made of it."""

    upload_id: str
    bucket: str
    template: ObjectVersion
    started_at: float
    initiator: str
    """ARN of who started it."""
    initiator_id: str
    checksum_algorithm: str = ""
    checksum_type: str = ""


class UploadedPart(Row, frozen=True):
    number: int
    etag: str
    modified: float
    part: Part
    checksums: dict[str, str] = msgspec.field(default_factory=dict)


class ConfigDocument(Row, frozen=True):
    """A configuration as its model shape (JSON text), and when it was put."""

    document: str
    put_at: float = 0.0


class BucketKeyUse(Row, frozen=True):
    """A bucket key that a requester has got from KMS, and until when (epoch seconds) that counts."""

    requester: str
    blob: bytes
    until: float


class BucketKeys(Row, frozen=True):
    """The bucket keys of a bucket under one KMS key that were got lately, the oldest first."""

    uses: tuple[BucketKeyUse, ...] = ()


BUCKETS: Table[Bucket] = Table("s3.bucket", Bucket)
OWNED_BUCKETS: Table[OwnedBucket] = Table("s3.owned", OwnedBucket)
OWNED_DIRECTORIES: Table[OwnedBucket] = Table("s3.owned-directory", OwnedBucket)
OBJECTS: Table[ObjectVersion] = Table("s3.object", ObjectVersion)
VERSIONS: Table[ObjectVersion] = Table("s3.version", ObjectVersion)
UPLOADS: Table[Upload] = Table("s3.upload", Upload)
PARTS: Table[UploadedPart] = Table("s3.part", UploadedPart)
CONFIGS: Table[ConfigDocument] = Table("s3.config", ConfigDocument)
BUCKET_KEYS: Table[BucketKeys] = Table("s3.bucket-key", BucketKeys)
ACCESSES: Table[Access] = Table("s3.access", Access)
ACCOUNT_ACCESS_BLOCKS: Table[PublicAccessBlock] = Table("s3.account-access-block", PublicAccessBlock)


def data_key(ref: str) -> Key:
    """Where the bytes of a small object lie."""
    return b"s3.data\0" + ref.encode()


def order_part(order: int) -> str:
    """The last part of a version's key: sorts the newest first."""
    return f"{ORDER_MAX - order:016x}"
