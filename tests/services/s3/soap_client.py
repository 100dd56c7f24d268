"""What a SOAP client writes and reads."""

from __future__ import annotations

import base64
import hmac
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
S3 = "http://s3.amazonaws.com/doc/2006-03-01/"


def envelope(operation: str, content: str = "", namespace: str = S3) -> bytes:
    return (
        f'<?xml version="1.0"?><s:Envelope xmlns:s="{SOAP}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f'<s:Body><{operation} xmlns="{namespace}">{content}</{operation}></s:Body></s:Envelope>'
    ).encode()


def security(operation: str, key_id: str, secret: str, at: datetime | None = None) -> str:
    """The three elements that say who asks."""
    stamp = (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    signature = base64.b64encode(hmac.digest(secret.encode(), f"AmazonS3{operation}{stamp}".encode(), "sha1")).decode()
    return f"<AWSAccessKeyId>{key_id}</AWSAccessKeyId><Timestamp>{stamp}</Timestamp><Signature>{signature}</Signature>"


def fault(data: bytes) -> tuple[str, str]:
    """(faultcode, faultstring) of an answer."""
    found = ElementTree.fromstring(data).find(f"{{{SOAP}}}Body/{{{SOAP}}}Fault")
    assert found is not None, data
    return found.findtext("faultcode") or "", found.findtext("faultstring") or ""


def answer(data: bytes, operation: str) -> Any:
    """The element that an answer holds."""
    found = ElementTree.fromstring(data).find(f"{{{SOAP}}}Body/{{{S3}}}{operation}Response")
    assert found is not None, data
    return found
