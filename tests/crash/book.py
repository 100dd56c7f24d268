"""What the clients know: every call that was acknowledged, and everything that went otherwise than it should."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from tests.crash.server import KEY

REGION = "us-east-1"
CONFIG = Config(
    retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, connect_timeout=60, read_timeout=120
)
UNAVAILABLE = 503
"""The answer to a call that could not be made durable: it did not happen and is not recorded."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A call whose answer, success or refusal, the client has whole."""

    request_id: str
    service: str
    operation: str
    bucket: str
    key: str


class Book:
    """Filled in by all clients at once, in the order of the answers."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self.calls: list[Acknowledged] = []
        self.unavailable: list[str] = []
        """Request ids of the calls that, says the server, did not happen."""
        self.faults: list[str] = []

    def client(self, service: str) -> Any:
        """A boto3 client whose calls are noted."""
        session = boto3.Session(*KEY, region_name=REGION)
        client = session.client(service, endpoint_url=self._url, config=CONFIG)
        client.meta.events.register("before-parameter-build", _remember)
        client.meta.events.register("after-call", self._after_call)
        return client

    def fault(self, text: str) -> None:
        """Something that must not be."""
        with self._lock:
            self.faults.append(text)

    def note(self, service: str, operation: str, place: tuple[str, str], answer: dict[str, Any]) -> None:
        """An answer has come, whole."""
        metadata = answer["ResponseMetadata"]
        if metadata["HTTPStatusCode"] == UNAVAILABLE:
            with self._lock:
                self.unavailable.append(metadata["RequestId"])
            return
        if metadata["HTTPStatusCode"] >= 500:
            self.fault(f"{operation} was answered with {answer.get('Error')}")
        with self._lock:
            self.calls.append(Acknowledged(metadata["RequestId"], service, operation, *place))

    def _after_call(
        self, http_response: Any, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: Any
    ) -> None:
        if model.name == "GetObject" and http_response.status_code < 300:
            return  # the answer is whole when its body is: noted by `get_object`
        self.note(model.service_model.service_name, model.name, context["crash_place"], parsed)

    def get_object(self, s3: Any, bucket: str, key: str) -> dict[str, Any]:
        """GetObject with its body read to the end, as `Content`."""
        answer: dict[str, Any] = s3.get_object(Bucket=bucket, Key=key)
        answer["Content"] = answer["Body"].read()
        self.note("s3", "GetObject", (bucket, key), answer)
        return answer


def _remember(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["crash_place"] = (str(params.get("Bucket", "")), str(params.get("Key", "")))
