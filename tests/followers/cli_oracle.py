"""The AWS CLI's own validation of digests and log files, run in the process against objects held by a test ledger."""

from __future__ import annotations

import base64
import io
import re
from datetime import UTC, datetime
from typing import Any

from awscli.customizations.cloudtrail import validation
from botocore.exceptions import ClientError

from tests.fakes.ledger import FakeLedger
from tests.followers.trail_house import objects


class StoredObjects:
    """As much of an S3 client as the CLI's validation uses."""

    def __init__(self, ledger: FakeLedger) -> None:
        self.ledger = ledger

    def get_client(self, _bucket: str) -> StoredObjects:
        return self

    def get_paginator(self, _name: str) -> StoredObjects:
        return self

    def paginate(self, *, Bucket: str, Marker: str, Prefix: str) -> StoredObjects:
        keys = [key for bucket, key in objects(self.ledger) if bucket == Bucket]
        self.keys = [key for key in keys if key.startswith(Prefix) and key > Marker]
        return self

    def search(self, _expression: str) -> list[str]:
        return self.keys

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        found = objects(self.ledger).get((Bucket, Key))
        if found is None:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "gone"}}, "GetObject")
        return {"Body": io.BytesIO(found["body"]), "Metadata": found["metadata"]}


class PublicKeys:
    """As much of a CloudTrail client: the answer of ListPublicKeys, its values as the CLI sees them."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer

    def list_public_keys(self, **_range: Any) -> dict[str, Any]:
        keys = self.answer["PublicKeyList"]
        return {"PublicKeyList": [key | {"Value": base64.b64encode(key["Value"]).decode()} for key in keys]}


class Verdict:
    """What the CLI says: the digests it accepted, newest first, and its complaints."""

    def __init__(self) -> None:
        self.digests: list[dict[str, Any]] = []
        self.complaints: list[str] = []

    def note(self, **told: Any) -> None:
        self.complaints.append(str(told.get("message")))

    def gap(self, **_told: Any) -> None:
        self.complaints.append("gap")


def traverse(
    ledger: FakeLedger, answer: dict[str, Any], arn: str, bucket: str, start: float, end: float, region: str,
    *, backfill: bool = False,
) -> Verdict:  # fmt: skip
    """Walk the chain as `aws cloudtrail validate-logs` does, or its backfill digests."""
    verdict = Verdict()
    traverser = validation.create_digest_traverser(
        cloudtrail_client=PublicKeys(answer),
        organization_client=None,
        s3_client_provider=StoredObjects(ledger),
        trail_arn=arn,
        trail_source_region=region,
        on_invalid=verdict.note,
        on_gap=verdict.gap,
        on_missing=verdict.note,
        bucket=bucket,
        prefix=None,
        account_id=re.split(":", arn)[4],
    )
    begin, stop = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
    verdict.digests = list(traverser.traverse_digests(begin, stop, is_backfill=backfill))
    return verdict
