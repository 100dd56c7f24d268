"""Reading delivered log files as any consumer would: list, download, gunzip, parse."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

Record = dict[str, Any]


def log_files(s3: Any, bucket: str) -> list[str]:  # noqa: ANN401  (boto3's clients have no types)
    """Keys of the log files (not the digests) in a trail's bucket."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="AWSLogs/")
    keys = (item["Key"] for page in pages for item in page.get("Contents", []))
    return [key for key in keys if "/CloudTrail/" in key and key.endswith(".json.gz")]


def records(s3: Any, bucket: str) -> Iterator[Record]:  # noqa: ANN401
    """Every record delivered so far."""
    for key in log_files(s3, bucket):
        data = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        yield from json.loads(gzip.decompress(data))["Records"]


def find_record(s3: Any, bucket: str, name: str, user: str) -> Record:  # noqa: ANN401
    """The record of that event by that user; empty until it is delivered."""
    for record in records(s3, bucket):
        if record["eventName"] == name and record["userIdentity"].get("userName") == user:
            return record
    return {}


def count_by_actor(s3: Any, bucket: str) -> dict[str, set[str]]:  # noqa: ANN401
    """Who did what: event names by identity."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for record in records(s3, bucket):
        identity = record["userIdentity"]
        kind = identity["type"]
        if kind == "AWSService":
            who = identity["invokedBy"]
        elif kind == "AssumedRole":
            who = f"role {identity['sessionContext']['sessionIssuer']['userName']} for {identity.get('invokedBy', '?')}"
        else:
            who = f"{kind} {identity.get('userName', '')}".strip()
        found[who].add(record["eventName"])
    return dict(found)
