"""What a line tells of a request to a bucket: told cheaply which bucket, then what CloudWatch's metrics count of it.

Source of the metrics: S3 user guide, "Metrics and dimensions", "Amazon S3 request metrics in CloudWatch". Pure; knows no
configuration and no row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

_S3: Final = b'"eventSource":"s3.amazonaws.com"'
_BUCKET: Final = b'"bucketName":"'
"""Nothing that a client sends can look like this: quotes in its text are escaped."""
NAME_BYTES_MAX: Final = 255
"""Of a bucket's name, with room to spare."""
_LISTS: Final = frozenset({"ListObjects", "ListObjectVersions", "ListMultipartUploads", "ListParts"})
_POSTS: Final = frozenset({"CreateMultipartUpload", "CompleteMultipartUpload", "PostObject", "RestoreObject"})
_PUTS: Final = ("Put", "Copy", "Upload", "Rename", "Update")
_DELETES: Final = ("Delete", "Abort")


class _Parameters(msgspec.Struct, frozen=True):
    bucket: str = msgspec.field(default="", name="bucketName")
    key: str = ""
    version_id: str = msgspec.field(default="", name="versionId")


class _Data(msgspec.Struct, frozen=True, rename="camel"):
    bytes_transferred_in: float = 0
    bytes_transferred_out: float = 0
    object_size: float = 0


class Request(msgspec.Struct, frozen=True):
    """As much of a record of S3's as is counted."""

    event_time: str = msgspec.field(default="", name="eventTime")
    event_name: str = msgspec.field(default="", name="eventName")
    error_code: str = msgspec.field(default="", name="errorCode")
    parameters: _Parameters | None = msgspec.field(default=None, name="requestParameters")
    data: _Data | None = msgspec.field(default=None, name="additionalEventData")

    @property
    def bucket(self) -> str:
        return self.parameters.bucket if self.parameters else ""

    @property
    def key(self) -> str:
        """Empty for a request that is about no single object."""
        return self.parameters.key if self.parameters else ""

    @property
    def version_id(self) -> str:
        return self.parameters.version_id if self.parameters else ""

    @property
    def bytes_in(self) -> int:
        return int(self.data.bytes_transferred_in) if self.data else 0

    @property
    def bytes_out(self) -> int:
        return int(self.data.bytes_transferred_out) if self.data else 0

    @property
    def object_size(self) -> int:
        return int(self.data.object_size) if self.data else 0


read_request: Callable[[bytes], Request] = msgspec.json.Decoder(Request).decode
"""msgspec.MsgspecError for what is no record of S3's."""


def bucket_in(line: bytes) -> str:
    """The bucket that a line of S3's is about, without parsing it; empty for every other line."""
    start = line.find(_BUCKET)
    if start < 0 or _S3 not in line:
        return ""
    start += len(_BUCKET)
    end = line.find(b'"', start, start + NAME_BYTES_MAX)
    return line[start:end].decode("utf-8", "replace") if end > start else ""


def metrics_of(request: Request, status: int) -> dict[str, int]:
    """Metric → by how much the request raises it; `status` is that of the error, 0 without one."""
    found = {"AllRequests": 1}
    kind = _kind(request.event_name, request.key)
    if kind:
        found[kind] = 1
    if request.bytes_out:
        found["BytesDownloaded"] = request.bytes_out
    if request.bytes_in:
        found["BytesUploaded"] = request.bytes_in
    if 400 <= status < 600:
        found[f"{status // 100}xxErrors"] = 1
    return found


def _kind(name: str, key: str) -> str:
    """The metric of the request's kind; empty for those that are counted among all only."""
    if name.startswith("Head"):
        return "HeadRequests"
    if name in _LISTS:
        return "ListRequests"
    if name == "DeleteObjects":
        return "DeleteRequests"
    if name in _POSTS:
        return "PostRequests"
    if name == "SelectObjectContent":
        return "SelectRequests"
    if not key:
        return ""
    if name.startswith("Get"):
        return "GetRequests"
    if name.startswith(_PUTS):
        return "PutRequests"
    return "DeleteRequests" if name.startswith(_DELETES) else ""
