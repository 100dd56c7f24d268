"""Trails as rows: what CloudTrail's operations write and the followers of its lines read.

What a trail logs is decided by the configuration in force at a line's own Seq, so configurations are kept as an
append-only series; the version of a row (the Seq of its commit) says from when it holds. Knows nothing of the wire, of
delivery or of how a selector is evaluated.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec

from opentrail.call import Principal
from opentrail.model.facts import partition
from opentrail.ports import Key, Seq
from opentrail.record.event_selectors import DEFAULT_SELECTORS
from opentrail.state import Row, Table

DELIVERY_PRINCIPAL = "cloudtrail.amazonaws.com"
"""The service principal that delivers log files and digests."""
DELIVERY_ACL = "bucket-owner-full-control"
"""The canned ACL on everything that CloudTrail writes; bucket policies insist on it."""
EVENTS, INSIGHTS = "CloudTrail", "CloudTrail-Insight"
"""Folders of log files: of records, and of Insight events."""
REVISION_DIGITS = 10
"""Revisions and counters are zero-padded to this many digits in keys, so that they sort."""


class Trail(Row, frozen=True):
    """A trail that exists. Keyed by account, home region and name. Times are epoch seconds, 0 for never."""

    id: str
    """Tells a trail from an earlier one of the same name."""
    name: str
    account_id: str
    home_region: str
    revision: int
    """Number of the newest `TrailConfig`."""
    started_at: float = 0.0
    stopped_at: float = 0.0
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def arn(self) -> str:
        return trail_arn(self.account_id, self.home_region, self.name)


class TrailConfig(Row, frozen=True):
    """A trail's configuration from its commit until the next. Keyed by trail id and revision."""

    name: str
    account_id: str
    home_region: str
    bucket: str
    since: float
    """When it was made, epoch seconds; only for clearing away old ones."""
    prefix: str = ""
    multi_region: bool = False
    global_events: bool = True
    validation: bool = False
    recursive: bool = False
    """Also log CloudTrail's own deliveries into this bucket (RecursiveLogging)."""
    topic_arn: str = ""
    kms_key: str = ""
    """ARN of the key that log files are encrypted under; empty: SSE-S3."""
    logging: bool = False
    event_selectors: tuple[dict[str, Any], ...] = DEFAULT_SELECTORS
    advanced_event_selectors: tuple[dict[str, Any], ...] = ()
    custom_selectors: bool = False
    insight_selectors: tuple[dict[str, Any], ...] = ()
    deleted: bool = False
    organization_id: str = ""
    """Of an organization trail, which logs for every account that belongs to the organization; `account_id` manages it."""
    log_group_arn: str = ""
    log_role_arn: str = ""
    """The log group that it delivers to as well, ending `:*`, and the role in which it does; both or neither."""

    @property
    def arn(self) -> str:
        return trail_arn(self.account_id, self.home_region, self.name)


class DeliveryStatus(Row, frozen=True):
    """What GetTrailStatus says about log files. Keyed by trail id and place. Times are epoch seconds, 0 for never."""

    delivered_at: float = 0.0
    error: str = ""
    attempted_at: float = 0.0
    notified_at: float = 0.0
    notification_error: str = ""
    notification_attempted_at: float = 0.0
    files: int = 0
    """Log files delivered."""
    events: int = 0
    """Records in them."""
    failures: int = 0
    """Tries to deliver one that failed."""
    notices: int = 0
    """Deliveries of which the topic was told."""
    notice_failures: int = 0


class DigestStatus(Row, frozen=True):
    """What GetTrailStatus says about digests. Keyed by trail id and place. Times are epoch seconds, 0 for never."""

    delivered_at: float = 0.0
    error: str = ""
    digests: int = 0
    """Digests delivered."""
    failures: int = 0
    """Tries to deliver one that failed."""


class DeliveryCursor(Row, frozen=True):
    """How far a trail's lines have been laid out in files. Keyed by trail id."""

    through: Seq
    """Every line up to this Seq that the trail logs is delivered or lies in a `PlannedFile`."""
    stamp: float = 0.0
    """Delivery time of the newest plan, epoch seconds; never goes back, whatever the clock does."""
    files: int = 0
    """Files planned so far: the number of the next."""


class PlannedFile(Row, frozen=True):
    """A log file that is to be written, to the byte. Keyed by trail id and file number; gone with its delivery."""

    bucket: str
    key: str
    account_id: str
    region: str
    runs: tuple[tuple[Seq, int], ...]
    """(first Seq, count) of each run of neighbouring lines, in order."""
    oldest: str
    newest: str
    """eventTime of the oldest and the newest record, as recorded."""
    stamp: float
    """The delivery time that the name shows, epoch seconds."""
    digested: bool = False
    """Log file validation was on: a digest has to name the file."""
    topic_arn: str = ""
    """Who is told of the delivery; empty for nobody."""
    looks: bool = False
    """CloudTrail looks at the bucket's ACL before it delivers this file: it holds more than records of such looks and of
    the like."""
    quiet: bool = False
    """It holds nothing but records of CloudTrail's own calls."""
    organization_id: str = ""
    """Whose folder the file goes into; empty for a trail of one account."""
    kind: str = EVENTS
    """What it holds, and the name of its folder: EVENTS or INSIGHTS."""


class FileNotice(Row, frozen=True):
    """A delivered log file of which the trail's topic is to be told. Written with the delivery, gone with the message.
    Keyed by trail id and file number."""

    topic_arn: str
    bucket: str
    key: str
    place: str
    first: float
    """When the file was delivered, epoch seconds."""


class DeliveredFile(Row, frozen=True):
    """A delivered log file that no digest names yet. Keyed by trail id, place and file number."""

    bucket: str
    key: str
    sha256: str
    """Of the uncompressed bytes, lower-case hex."""
    oldest: str
    newest: str
    at: float
    """When it was delivered, epoch seconds; never goes back within a trail."""


class SealedDigest(Row, frozen=True):
    """A digest as its successor names it: where it lies, the hash of its uncompressed bytes, its signature (hex)."""

    bucket: str
    key: str
    sha256: str
    signature: str


class DigestChain(Row, frozen=True):
    """Where a trail's chain of digests in one place ends. Keyed by trail id and place."""

    account_id: str
    end: int
    """digestEndTime of the newest digest (epoch seconds); of a starting chain the moment logging started."""
    bucket: str = ""
    key: str = ""
    sha256: str = ""
    signature: str = ""
    """The newest digest: where it lies, the hash of its uncompressed bytes, its signature (hex). Empty at the start."""
    planned: DigestPlan | None = None
    closed: bool = False
    """The chain has had its final digest; logging that begins again starts a new one."""
    organization_id: str = ""
    """Of an organization trail when the chain began."""
    start: int = 0
    """digestStartTime of the newest digest."""
    backfilled: int = 0
    """digestEndTime of the newest backfill digest; a window has one at the most, since its name tells only the end."""
    backfill: SealedDigest | None = None
    """The newest backfill digest; they are chained to each other, beside the chain."""


class DigestPlan(Row, frozen=True):
    """The next digest, decided before it is written, so that writing it twice gives the same bytes."""

    start: int
    end: int
    bucket: str
    prefix: str
    fingerprint: str
    through: str
    """Key part of the last `DeliveredFile` it names; empty when it names none."""
    final: bool = False
    organization_id: str = ""
    generated: int = 0
    """Of a backfill digest, when it was decided, epoch seconds; 0 for the others."""


class SigningKey(Row, frozen=True):
    """A region's key for signing digests. Keyed by region and fingerprint. Times are epoch seconds."""

    fingerprint: str
    public: bytes
    """DER, PKCS#1 RSAPublicKey."""
    sealed: bytes
    """The private key (DER, PKCS#8), sealed for `SIGNING_KEY_PURPOSE`."""
    valid_from: int
    valid_until: int


class Change(Row, frozen=True):
    """The newest change of any trail's configuration; readers hold on to theirs until this row differs."""

    trail_id: str
    revision: int


SIGNING_KEY_PURPOSE = "cloudtrail-signing-key"

TRAILS = Table("trail", Trail)
CONFIGS = Table("trail_config", TrailConfig)
DELIVERY_STATUS = Table("trail_delivery_status", DeliveryStatus)
DIGEST_STATUS = Table("trail_digest_status", DigestStatus)
CURSORS = Table("trail_cursor", DeliveryCursor)
PLANNED = Table("trail_planned", PlannedFile)
DELIVERED = Table("trail_delivered", DeliveredFile)
NOTICES = Table("trail_notice", FileNotice)
CHAINS = Table("trail_chain", DigestChain)
SIGNING_KEYS = Table("trail_signing_key", SigningKey)
CHANGES = Table("trail_change", Change)
CHANGE_KEY: Key = CHANGES.key("")


def as_cloudtrail(config: TrailConfig) -> Principal:
    """CloudTrail acting for a trail, as which its bucket is tried and written."""
    return Principal(
        type="AWSService",
        account_id=config.account_id,
        invoked_by=DELIVERY_PRINCIPAL,
        source_arn=config.arn,
        source_account=config.account_id,
    )


def place_of(config: TrailConfig, account_id: str, region: str) -> str:
    """The part of keys that tells where a trail's files come from: the region, for a member of an organization trail's
    organization with the account before it."""
    return region if account_id == config.account_id else f"{account_id}/{region}"


def read_place(config: TrailConfig, place: str) -> tuple[str, str]:
    """A place as (account, region)."""
    account_id, _, region = place.rpartition("/")
    return account_id or config.account_id, region


def encryption_of(config: TrailConfig) -> dict[str, str]:
    """Members of PutObject for a log file of this trail (user guide, "Encrypting CloudTrail log files with AWS KMS keys").

    Digests are always under SSE-S3."""
    if not config.kms_key:
        return {"ServerSideEncryption": "AES256"}
    context = b64encode(msgspec.json.encode({"aws:cloudtrail:arn": config.arn})).decode()
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": config.kms_key, "SSEKMSEncryptionContext": context}


def padded(number: int) -> str:
    """A counter as a part of a key."""
    return f"{number:0{REVISION_DIGITS}d}"


def trail_arn(account_id: str, region: str, name: str) -> str:
    return f"arn:{partition(region)}:cloudtrail:{region}:{account_id}:trail/{name}"
