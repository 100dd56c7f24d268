"""Log files: their bytes and their names. Lines go in as they are in the ledger, byte for byte.

Everything is a function of the input, so that a delivery that is repeated writes the same file under the same name
(CloudTrail user guide, log file names). Knows no bucket, no trail's state and no clock.
"""

from __future__ import annotations

import datetime
import gzip
import hashlib
import string
import zlib
from collections.abc import Sequence
from typing import Final

CONTENT_TYPE: Final = "application/json"
CONTENT_ENCODING: Final = "gzip"
UNIQUE_LENGTH: Final = 16
"""Characters of a name's unique part."""
COMPRESSION: Final = 3
"""Level of zlib. Level 6 makes files of records a fifteenth smaller and takes twice as long."""
PIECE_LINES: Final = 256
"""Lines joined at once: a large file made of a single text would hold the interpreter for its whole length."""
_GZIP_HEAD: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""RFC 1952: deflate, no flags, no time, no system named."""
_ALPHABET: Final = string.ascii_letters + string.digits


def pack_log_file(lines: Sequence[bytes]) -> tuple[bytes, str]:
    """`{"Records":[…]}` of `lines` as gzip without a time, and the SHA-256 of its text, which the digest names.

    Made in pieces; compressing and hashing leave the interpreter to others, so this belongs into a thread."""
    packer = zlib.compressobj(COMPRESSION, zlib.DEFLATED, -zlib.MAX_WBITS)
    digest, packed = hashlib.sha256(), [_GZIP_HEAD]
    check = size = 0
    for start in range(0, max(len(lines), 1), PIECE_LINES):
        piece = (b"," if start else b'{"Records":[') + b",".join(lines[start : start + PIECE_LINES])
        if start + PIECE_LINES >= len(lines):
            piece += b"]}"
        digest.update(piece)
        packed.append(packer.compress(piece))
        check, size = zlib.crc32(piece, check), size + len(piece)
    packed += [packer.flush(), check.to_bytes(4, "little"), (size & 0xFFFFFFFF).to_bytes(4, "little")]
    return b"".join(packed), digest.hexdigest()


def compress(text: bytes) -> bytes:
    """Gzip without a time, so that the same text gives the same bytes."""
    return gzip.compress(text, COMPRESSION, mtime=0)


def sha256_hex(text: bytes) -> str:
    """Lower-case hexadecimal SHA-256, as digests name files."""
    return hashlib.sha256(text).hexdigest()


def unique_name(*parts: str) -> str:
    """16 letters and digits that stand for `parts` (trail, first Seq, …): the same parts, the same name."""
    number = int.from_bytes(hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest())
    letters = []
    for _ in range(UNIQUE_LENGTH):
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return "".join(letters)


def in_utc(moment: datetime.datetime) -> datetime.datetime:
    """The moment in UTC; one without a zone is taken to be in UTC already."""
    return moment.astimezone(datetime.UTC) if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def folder(prefix: str, org_id: str, account: str, kind: str, region: str, moment: datetime.datetime) -> str:
    """`[prefix/]AWSLogs/[org/]account/kind/region/YYYY/MM/DD/`. `kind` is CloudTrail or CloudTrail-Digest."""
    parts = [prefix.rstrip("/")] if prefix.rstrip("/") else []
    parts += ["AWSLogs", *([org_id] if org_id else []), account, kind, region]
    return "/".join(parts) + moment.strftime("/%Y/%m/%d/")


def log_file_key(
    prefix: str,
    org_id: str,
    account: str,
    region: str,
    delivered_at: datetime.datetime,
    unique16: str,
    kind: str = "CloudTrail",
) -> str:
    """The key of a log file. `region` is that of the events; the time, that of delivery, counts in minutes. `kind` is
    CloudTrail or CloudTrail-Insight."""
    moment = in_utc(delivered_at)
    stamp = moment.strftime("%Y%m%dT%H%MZ")
    name = f"{account}_{kind}_{region}_{stamp}_{unique16}.json.gz"
    return folder(prefix, org_id, account, kind, region, moment) + name
