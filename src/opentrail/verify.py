"""The independent checker: do delivered log files and digests still say what was delivered?

It trusts nothing but the public keys it is given, shares no code with what writes the files, and needs no server: a
folder or a bucket of files is enough. `check` yields findings that name the file; `verify` gathers them into a report
whose `demand` raises. Source of the format: CloudTrail user guide, "Custom implementations of log file validation".

What files alone cannot tell: that the newest digests were removed together with everything they name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from opentrail.verify_files import Files, content_hash, digest_text, json_object

Kind = Literal[
    "altered", "missing", "exchanged", "broken chain", "unknown key", "unsigned", "gap", "unnamed", "elsewhere",
    "missing record", "altered record", "duplicated record", "unexpected record", "not judged",
]  # fmt: skip
LIGHT = ("gap", "unnamed", "elsewhere", "not judged")
"""Kinds of findings that do not mean that the evidence is not whole."""
Progress = Callable[[int, int, str], None]
"""(files done, files known of, the file that is looked at)."""

_DIGEST = re.compile(
    r"(?P<prefix>(?:.*/)?)AWSLogs/(?P<org>(?:o-[a-z0-9]+/)?)(?P<account>\d{12})/CloudTrail-Digest/(?P<region>[a-z0-9-]+)/"
    r"\d{4}/\d\d/\d\d/(?P=account)_CloudTrail-Digest_(?P=region)_(?P<trail>.+)_(?P<home>[a-z0-9-]+)_"
    r"(?P<stamp>\d{8}T\d{6}Z)(?P<late>(?:_backfill)?)\.json\.gz",
    re.ASCII,
)
_LOG = re.compile(
    r"(?:.*/)?AWSLogs/(?:o-[a-z0-9]+/)?\d{12}/CloudTrail(?:-Insight)?/[a-z0-9-]+/\d{4}/\d\d/\d\d/"
    r"[^/]+_(?P<stamp>\d{8}T\d{4})Z_[^/_]+\.json\.gz",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know about a file. `serious` findings mean that the evidence is not whole."""

    kind: Kind
    key: str
    detail: str

    @property
    def serious(self) -> bool:
        return self.kind not in LIGHT

    def __str__(self) -> str:
        return f"{self.kind}: {self.key}: {self.detail}"


@dataclass(slots=True)
class Report:
    """What a verification saw."""

    digests: int = 0
    log_files: int = 0
    """Proven ones only."""
    findings: list[Finding] = field(default_factory=list)

    def demand(self) -> None:
        """Raise VerificationFailed unless everything was proven; files without a single digest prove nothing."""
        if not self.digests or any(finding.serious for finding in self.findings):
            raise VerificationFailed(self)


class VerificationFailed(Exception):
    """The files are not what was delivered, or nothing proves that they are."""

    def __init__(self, report: Report) -> None:
        serious = [str(finding) for finding in report.findings if finding.serious]
        super().__init__("\n".join(serious) or "there is no digest that proves anything")
        self.report = report


@dataclass(slots=True)
class _Digest:
    """A digest that could be read."""

    key: str
    content: str
    """Hash of its text, which is not kept."""
    said: Mapping[str, str]
    """Its members that are text."""
    entries: Sequence[tuple[str, str, str]]
    """(log file, hash, bucket) as it names them."""
    signature: str
    proven: bool = False

    def get(self, name: str) -> str:
        return self.said.get(name, "")


def verify(
    files: Files,
    keys: Mapping[str, rsa.RSAPublicKey],
    *,
    bucket: str = "",
    since: str = "",
    progress: Progress | None = None,
) -> Report:
    """Check everything; the report, whose `demand` raises. See `check`."""
    report = Report()
    report.findings = list(check(files, keys, bucket=bucket, since=since, progress=progress, report=report))
    return report


def check(
    files: Files,
    keys: Mapping[str, rsa.RSAPublicKey],
    *,
    bucket: str = "",
    since: str = "",
    progress: Progress | None = None,
    report: Report | None = None,
) -> Iterator[Finding]:
    """Findings as they are made.

    With `bucket`, digests have to be of that bucket; without, of any. `since` (`YYYYMMDDTHHMMSSZ`) leaves out digests
    that end before it.
    """
    yield from _Check(files, keys, bucket, since, progress, report or Report()).run()


class _Check:
    """One run: digests chain by chain, then the log files that proven digests name."""

    def __init__(
        self,
        files: Files,
        keys: Mapping[str, rsa.RSAPublicKey],
        bucket: str,
        since: str,
        progress: Progress | None,
        report: Report,
    ) -> None:
        self._files = files
        self._keys = keys
        self._bucket = bucket
        self._since = since
        self._progress = progress
        self._report = report
        self._done = 0
        self._listed: frozenset[str] = frozenset()
        """Every digest that is checked."""
        self._named: dict[str, tuple[str, str, str]] = {}
        """Log file → (hash, the digest that names it, its bucket where that is not the digest's)."""

    def run(self) -> Iterator[Finding]:
        chains: dict[tuple[str, ...], list[str]] = {}
        logs: list[str] = []
        for key in sorted(self._files.keys()):
            if found := _DIGEST.fullmatch(key):
                if found["stamp"] >= self._since:
                    chain = found.group("prefix", "org", "account", "region", "trail", "home", "late")
                    chains.setdefault(chain, []).append(key)
            elif (found := _LOG.fullmatch(key)) and found["stamp"] >= self._since[: len(found["stamp"])]:
                logs.append(key)
        self._listed = frozenset(key for digests in chains.values() for key in digests)
        known = sum(map(len, chains.values())) + len(logs)
        for digests in chains.values():
            yield from self._chain(digests, known)
        yield from self._log_files(known)
        for key in logs:
            if key not in self._named:
                yield Finding("unnamed", key, "no digest here names it (yet)")

    def _step(self, key: str, known: int) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, max(known, self._done), key)

    def _chain(self, keys: Sequence[str], known: int) -> Iterator[Finding]:
        """A trail's digests in one region, oldest first."""
        keys = sorted(keys, key=_stamp)
        read: dict[str, _Digest] = {}
        for key in keys:
            self._step(key, known)
            digest = self._read(key)
            if isinstance(digest, Finding):
                yield digest
            else:
                read[key] = digest
        for digest in read.values():  # a digest's signature is also quoted by its successor
            before = read.get(digest.get("previousDigestS3Object"))
            if before is not None and not before.signature:
                before.signature = digest.get("previousDigestSignature")
        for digest in read.values():
            yield from self._prove(digest)
        older = None
        for digest in read.values():
            yield from self._link(digest, read, older)
            older = digest

    def _read(self, key: str) -> _Digest | Finding:
        raw = self._files.read(key)
        if raw is None:
            return Finding("missing", key, "the digest file is gone")
        text = digest_text(raw)
        said = json_object(text)
        if not said:
            return Finding("altered", key, "the digest cannot be read")
        texts = {name: value for name, value in said.items() if isinstance(value, str)}
        listed = said.get("logFiles")
        entries = [
            (str(entry.get("s3Object")), str(entry.get("hashValue")), str(entry.get("s3Bucket")))
            for entry in (listed if isinstance(listed, list) else ())
            if isinstance(entry, dict)
        ]
        content = hashlib.sha256(text).hexdigest()
        return _Digest(key, content, texts, entries, self._files.metadata(key).get("signature", ""))

    def _prove(self, digest: _Digest) -> Iterator[Finding]:
        """Place, key and signature of one digest; what a proven one names is noted."""
        key, said = digest.key, digest.get
        if said("digestS3Object") != key or self._bucket not in ("", said("digestS3Bucket")):
            yield Finding("exchanged", key, f"it belongs to {said('digestS3Bucket')}/{said('digestS3Object')}")
            return
        public = self._keys.get(said("digestPublicKeyFingerprint"))
        if public is None:
            yield Finding("unknown key", key, f"no public key has the fingerprint {said('digestPublicKeyFingerprint')}")
            return
        if not digest.signature:
            yield Finding("unsigned", key, "its signature is neither in its metadata nor in the digest after it")
            return
        if not _is_signed(digest, public):
            yield Finding("altered", key, "the signature does not belong to the digest")
            return
        digest.proven = True
        self._report.digests += 1
        here = said("digestS3Bucket")
        self._named.update(
            (name, (value, key, "" if bucket == here else bucket)) for name, value, bucket in digest.entries
        )
        digest.entries = ()

    def _link(self, digest: _Digest, read: Mapping[str, _Digest], older: _Digest | None) -> Iterator[Finding]:
        """One digest and the one before it."""
        before = digest.get("previousDigestS3Object")
        late = digest.key.endswith("_backfill.json.gz")  # beside the chain: they supplement single digests of it
        if not before:
            if older is not None and not late:
                yield Finding(
                    "gap", digest.key, f"nothing is proven between {older.get('digestEndTime')} and its start"
                )
            return
        found = read.get(before)
        if found is None:
            yield from self._absent(digest, before, older, late)
            return
        if found.content != digest.get("previousDigestHashValue"):
            yield Finding("broken chain", found.key, f"{digest.key} follows a digest with another content")
        elif found.signature != digest.get("previousDigestSignature"):
            yield Finding("broken chain", found.key, f"{digest.key} follows a digest with another signature")
        elif found.get("digestEndTime") != digest.get("digestStartTime") and not late:
            yield Finding("broken chain", digest.key, f"it does not begin where {found.key} ends")

    def _absent(self, digest: _Digest, before: str, older: _Digest | None, late: bool) -> Iterator[Finding]:
        """The digest before one, where it is not in the same chain here."""
        known = _DIGEST.fullmatch(before)
        if before in self._listed or (known is not None and known["stamp"] < self._since):
            return
        other = digest.get("previousDigestS3Bucket")
        if self._files.read(before) is not None:
            yield Finding(
                "elsewhere", before, "it lies under another prefix; what was delivered there is not checked here"
            )
        elif digest.proven and other != digest.get("digestS3Bucket"):
            yield Finding("elsewhere", before, _elsewhere(other))
        else:
            yield Finding("missing", before, _missing(digest, older, late))

    def _log_files(self, known: int) -> Iterator[Finding]:
        """The log files that proven digests name."""
        places = {value: key for key, (value, *_) in self._named.items()}
        for key, (wanted, digest, bucket) in sorted(self._named.items()):
            self._step(key, known)
            raw = self._files.read(key)
            if raw is None and bucket:
                yield Finding("elsewhere", key, _elsewhere(bucket))
                continue
            if raw is None:
                yield Finding("missing", key, f"named by {digest}")
                continue
            found = content_hash(raw)
            if found == wanted:
                self._report.log_files += 1
            elif found in places:
                yield Finding("exchanged", key, f"it has the content of {places[found]}")
            else:
                yield Finding("altered", key, f"its hash is not the one in {digest}")


def _is_signed(digest: _Digest, public: rsa.RSAPublicKey) -> bool:
    previous = digest.said.get("previousDigestSignature", "null")
    place = f"{digest.get('digestS3Bucket')}/{digest.key}"
    signed = "\n".join((digest.get("digestEndTime"), place, digest.content, previous))
    try:
        signature = bytes.fromhex(digest.signature)
        public.verify(signature, signed.encode("utf-8", "surrogatepass"), padding.PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _elsewhere(bucket: str) -> str:
    return f"it was delivered to {bucket}, as a signed digest tells, and is not checked here"


def _missing(digest: _Digest, older: _Digest | None, late: bool) -> str:
    """What the absence of a digest's predecessor means; more than one may be gone, since only it named the one before."""
    if older is None or late:
        return f"{digest.key} follows it"
    return (
        f"{digest.key} follows it; nothing is proven from {older.get('digestEndTime')} to "
        f"{digest.get('digestStartTime')}, and others before it may be gone as well"
    )


def _stamp(key: str) -> tuple[str, str]:
    found = _DIGEST.fullmatch(key)
    return (found["stamp"] if found else "", key)


def stamp_of(moment: datetime) -> str:
    """A moment in UTC as the stamps of digests' names write it, for `since`."""
    return moment.strftime("%Y%m%dT%H%M%SZ")
