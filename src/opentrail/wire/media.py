"""What the answers of all protocols share: content types and the headers that name the request. Data, and no more."""

from __future__ import annotations

JSON_TYPE = "application/json"
CBOR_TYPE = "application/cbor"
QUERY_TYPE = "text/xml"
EC2_TYPE = "text/xml;charset=UTF-8"
S3_XML_TYPE = "application/xml"
EVENT_STREAM_TYPE = "application/vnd.amazon.eventstream"
OCTETS_TYPE = "application/octet-stream"
FORM_TYPE = "application/x-www-form-urlencoded; charset=utf-8"
CBOR_PROTOCOL = "rpc-v2-cbor"

Answer = tuple[int, dict[str, str], bytes]
"""HTTP status, headers, body."""


def json_type(json_version: str) -> str:
    """`application/x-amz-json-1.1`; services without a version speak 1.1."""
    return f"application/x-amz-json-{json_version or '1.1'}"


def request_id_headers(s3: bool, request_id: str, host_id: str) -> dict[str, str]:
    """The headers that name the request: S3 has its own."""
    if s3:
        return {"x-amz-id-2": host_id, "x-amz-request-id": request_id}
    return {"x-amzn-RequestId": request_id}
