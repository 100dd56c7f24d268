"""`opentrail verify --ledger`: are all the lines that trails should have logged in the files? Sets up `verify_records`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from opentrail.server.bucket_files import DIGESTS, TrailPlace
from opentrail.server.cli_client import CannotDo
from opentrail.verify import Finding
from opentrail.verify_files import Files, digest_text, json_object
from opentrail.verify_ledger import LedgerFile, LedgerUnreadable, trail_arn
from opentrail.verify_records import Completeness, Scope, check_records

Show = Callable[[str, int, int], None]


@dataclass(slots=True)
class Against:
    """A comparison with a ledger. `told` is filled by `findings`."""

    path: Path
    files: Files
    scope: Scope
    since: str
    until: str
    told: Completeness = field(default_factory=Completeness)

    def findings(self, step: Show) -> Iterator[Finding]:
        """Raises CannotDo if the ledger cannot be read."""
        try:
            ledger = LedgerFile(self.path)
            try:
                yield from check_records(
                    ledger, self.files, self.scope, since=self.since, until=self.until, step=step, told=self.told
                )
            finally:
                ledger.close()
        except LedgerUnreadable as error:
            raise CannotDo(f"the ledger cannot be read: {error}") from error


def against(
    path: Path, files: Files, place: TrailPlace | None, start: datetime | None, end: datetime | None
) -> Against:
    """The comparison of a trail's files, or of a folder's."""
    if place is None:
        scope = Scope(_bucket_of(files))
    else:
        owner = f"_{place.name}_{place.home_region}_"
        arn = trail_arn(place.home_region, place.account_id, place.name)
        scope = Scope(place.bucket, place.prefix.rstrip("/"), place.account_id, owner, arn)
    since, until = (f"{each:%Y-%m-%dT%H:%M:%SZ}" if each else "" for each in (start, end))
    return Against(path, files, scope, since, until)


def _bucket_of(files: Files) -> str:
    """The bucket of which a folder is a copy, as a digest tells it."""
    for key in files.keys():  # noqa: SIM118  (not a mapping)
        if f"/{DIGESTS}/" in f"/{key}":
            found = json_object(digest_text(files.read(key) or b"")).get("digestS3Bucket")
            if isinstance(found, str):
                return found
    raise CannotDo("there is no digest in the folder that tells which bucket it is a copy of")
