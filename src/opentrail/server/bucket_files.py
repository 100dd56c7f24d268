"""A trail's files in its bucket, as the checker wants them, read through the client of a running server.

Gives only what belongs to one trail: its digests of every region, and the log files of its account and, where it is or was
an organization's, of the members. Judges nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from opentrail.call import Shape
from opentrail.errors import AwsError
from opentrail.server.client import Client

DIGESTS = "CloudTrail-Digest"
LOGS = ("CloudTrail", "CloudTrail-Insight")
"""Folders of log files."""
GONE = frozenset({"NoSuchKey", "HTTP 404"})
_STAMP = re.compile(r"_(\d{8}T\d{4,6})Z(?:_[^/_]*)?\.json\.gz\Z", re.ASCII)
_REGION = re.compile(r"/CloudTrail-Digest/([a-z0-9-]+)/", re.ASCII)


@dataclass(frozen=True, slots=True)
class TrailPlace:
    """Which trail, and where its files lie. `prefix` is empty or ends with a slash."""

    account_id: str
    home_region: str
    name: str
    bucket: str
    prefix: str
    of_organization: bool = False
    """It is an organization trail now."""

    def folder(self) -> str:
        """The account's own, in which no organization trail delivers."""
        return f"{self.prefix}AWSLogs/{self.account_id}/"

    def owns(self, key: str) -> bool:
        """Whether a digest is this trail's."""
        return f"_{self.name}_{self.home_region}_" in key.rpartition("/")[2]


def within(key: str, until: str) -> bool:
    """Whether a file's name tells a time up to `until` (`YYYYMMDDTHHMMSSZ`; empty: any). Log files tell minutes."""
    found = _STAMP.search(key)
    return not until or found is None or found[1] <= until[: len(found[1])]


class BucketFiles:
    """`verify_files.Files` of one trail. Raises what the client raises. With `every_member`, log files in organizations'
    folders are given even where no digest tells that they are this trail's."""

    def __init__(self, client: Client, place: TrailPlace, until: str = "", *, every_member: bool = False) -> None:
        self._client, self._place, self._until = client, place, until
        self._every_member = every_member or place.of_organization
        self._members: list[str] | None = None
        self._metadata: dict[str, Mapping[str, str]] = {}
        """Of the file read last only: the checker asks for it right then."""

    def keys(self) -> Iterator[str]:
        yield from self._digests(self._place.folder())
        yield from self._logs(self._place.folder())
        for folder in self._member_folders():
            digests = list(self._digests(folder))
            yield from digests
            if digests or self._every_member:
                yield from self._logs(folder)

    def newest(self) -> dict[str, datetime]:
        """When the digest of the trail's own account that was written last was written, by region."""
        found: dict[str, datetime] = {}
        own = f"/{self._place.account_id}/"
        folders = [each for each in self._member_folders() if each.endswith(own)]
        for folder in (self._place.folder(), *folders):
            for entry in self._entries(f"{folder}{DIGESTS}/"):
                region = _REGION.search(entry["Key"])
                if region is not None and self._place.owns(entry["Key"]):
                    found[region[1]] = max(entry["LastModified"], found.get(region[1], entry["LastModified"]))
        return found

    def regions(self) -> set[str]:
        """Those of which the trail has digests, of any account."""
        folders = (self._place.folder(), *self._member_folders())
        found = (_REGION.search(key) for folder in folders for key in self._digests(folder))
        return {each[1] for each in found if each is not None}

    def _digests(self, folder: str) -> Iterator[str]:
        keys = (entry["Key"] for entry in self._entries(f"{folder}{DIGESTS}/"))
        return (key for key in keys if self._place.owns(key) and within(key, self._until))

    def _logs(self, folder: str) -> Iterator[str]:
        keys = (entry["Key"] for kind in LOGS for entry in self._entries(f"{folder}{kind}/"))
        return (key for key in keys if within(key, self._until))

    def _member_folders(self) -> list[str]:
        """Every account's folder (`…/AWSLogs/o-…/123456789012/`) within organizations' folders."""
        if self._members is None:
            organizations = self._folders(f"{self._place.prefix}AWSLogs/o-")
            self._members = [each for folder in organizations for each in self._folders(folder)]
        return self._members

    def _folders(self, prefix: str) -> list[str]:
        return [
            each["Prefix"] for page in self._pages(prefix, Delimiter="/") for each in page.get("CommonPrefixes") or ()
        ]

    def read(self, key: str) -> bytes | None:
        try:
            answer = self._client.call("s3", "GetObject", {"Bucket": self._place.bucket, "Key": key})
        except AwsError as error:
            if error.code in GONE:
                return None
            raise
        self._metadata = {key: _lower(answer["Metadata"])}
        body: bytes = answer["Body"]
        return body

    def metadata(self, key: str) -> Mapping[str, str]:
        if key in self._metadata:
            return self._metadata[key]
        try:
            answer = self._client.call("s3", "HeadObject", {"Bucket": self._place.bucket, "Key": key})
        except AwsError as error:
            if error.code in GONE:
                return {}
            raise
        return _lower(answer["Metadata"])

    def _entries(self, prefix: str) -> Iterator[Shape]:
        for page in self._pages(prefix):
            yield from page.get("Contents") or ()

    def _pages(self, prefix: str, **more: str) -> Iterator[Shape]:
        given = {"Bucket": self._place.bucket, "Prefix": prefix, **more}
        token = ""
        while True:
            page = self._client.call("s3", "ListObjectsV2", {**given, "ContinuationToken": token} if token else given)
            yield page
            token = page.get("NextContinuationToken", "")
            if not token:
                return


def _lower(metadata: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in metadata.items()}
