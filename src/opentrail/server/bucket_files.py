"""A trail's files in its bucket, as the checker wants them, read through the client of a running server.

Gives only what belongs to one trail: its digests of every region, and the log files of its account. Judges nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from opentrail.call import Shape
from opentrail.errors import AwsError
from opentrail.server.client import Client

DIGESTS, LOGS = "CloudTrail-Digest", "CloudTrail"
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

    def folder(self, kind: str) -> str:
        return f"{self.prefix}AWSLogs/{self.account_id}/{kind}/"

    def owns(self, key: str) -> bool:
        """Whether a digest is this trail's."""
        return f"_{self.name}_{self.home_region}_" in key.rpartition("/")[2]


def within(key: str, until: str) -> bool:
    """Whether a file's name tells a time up to `until` (`YYYYMMDDTHHMMSSZ`; empty: any). Log files tell minutes."""
    found = _STAMP.search(key)
    return not until or found is None or found[1] <= until[: len(found[1])]


class BucketFiles:
    """`verify_files.Files` of one trail. Raises what the client raises."""

    def __init__(self, client: Client, place: TrailPlace, until: str = "") -> None:
        self._client, self._place, self._until = client, place, until
        self._metadata: dict[str, Mapping[str, str]] = {}
        """Of the file read last only: the checker asks for it right then."""

    def keys(self) -> Iterator[str]:
        for key in self._listed(self._place.folder(DIGESTS)):
            if self._place.owns(key) and within(key, self._until):
                yield key
        for key in self._listed(self._place.folder(LOGS)):
            if within(key, self._until):
                yield key

    def newest(self) -> dict[str, datetime]:
        """When the digest that was written last was written, by region."""
        found: dict[str, datetime] = {}
        for entry in self._entries(self._place.folder(DIGESTS)):
            region = _REGION.search(entry["Key"])
            if region is not None and self._place.owns(entry["Key"]):
                found[region[1]] = max(entry["LastModified"], found.get(region[1], entry["LastModified"]))
        return found

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

    def _listed(self, prefix: str) -> Iterator[str]:
        return (entry["Key"] for entry in self._entries(prefix))

    def _entries(self, prefix: str) -> Iterator[Shape]:
        given = {"Bucket": self._place.bucket, "Prefix": prefix}
        token = ""
        while True:
            page = self._client.call("s3", "ListObjectsV2", {**given, "ContinuationToken": token} if token else given)
            yield from page.get("Contents") or ()
            token = page.get("NextContinuationToken", "")
            if not token:
                return


def _lower(metadata: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in metadata.items()}
