"""What a trail delivered: its log files read back from its bucket, as somebody who investigates would."""

from __future__ import annotations

import gzip
import json
import sqlite3
from pathlib import Path
from typing import Any

from opentrail.rows.cloudtrail import CHAINS
from tests.clients.server_process import ACCOUNT, REGION
from tests.clients.waiting import until

Record = dict[str, Any]


class TrailLog:
    """The records in the log files of an account. Files already read are not read again."""

    def __init__(self, s3: Any, bucket: str, name: str, account: str = ACCOUNT) -> None:
        self.s3, self.bucket, self.name, self.account = s3, bucket, name, account
        self.arn = f"arn:aws:cloudtrail:{REGION}:{account}:trail/{name}"
        self.records: list[Record] = []
        self._seen: set[str] = set()

    def files(self, kind: str = "CloudTrail") -> list[str]:
        """The keys of the delivered log files (or digests), in order."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=f"AWSLogs/{self.account}/{kind}/"
        )
        return [each["Key"] for page in pages for each in page.get("Contents", []) if each["Key"].endswith(".json.gz")]

    def refresh(self) -> None:
        for key in self.files():
            if key not in self._seen:
                body = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
                self.records += json.loads(gzip.decompress(body))["Records"]
                self._seen.add(key)

    def find(self, **wanted: str) -> list[Record]:
        """Records whose top-level members are these; waits until there is at least one."""

        def known() -> list[Record]:
            return [each for each in self.records if all(each.get(name) == value for name, value in wanted.items())]

        def look() -> list[Record]:
            self.refresh()
            return known()

        return known() or list(until(look, lambda: f"{wanted} among {len(self.records)} delivered records"))

    def of(self, answer: Record) -> Record:
        """The one record of an answered call, by the request id that the client got."""
        meta = answer["ResponseMetadata"]
        [record] = self.find(requestID=meta["RequestId"])
        return record


def is_sealed(data: Path, name: str) -> bool:
    """Has each chain of digests of a trail whose logging has ended had its last one, as the ledger in a data directory
    tells? Nothing more will come then: no log file, no digest."""
    connection = sqlite3.connect(f"file:{data / 'ledger.db'}?mode=ro", uri=True)
    try:
        first, behind = CHAINS.key(""), CHAINS.key("\x7f")
        rows = connection.execute("SELECT value FROM kv WHERE key > ? AND key < ?", (first, behind)).fetchall()
    finally:
        connection.close()
    chains = [CHAINS.decode(value) for (value,) in rows]
    mine = [chain.closed for chain in chains if f"_{name}_" in chain.key]
    return bool(mine) and all(mine)


def log_bucket_policy(bucket: str, *accounts: str) -> str:
    """The documented policy of a log bucket, for the trails of these accounts."""
    service = {"Service": "cloudtrail.amazonaws.com"}
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "AWSCloudTrailAclCheck20150319",
                    "Effect": "Allow",
                    "Principal": service,
                    "Action": "s3:GetBucketAcl",
                    "Resource": f"arn:aws:s3:::{bucket}",
                },
                {
                    "Sid": "AWSCloudTrailWrite20150319",
                    "Effect": "Allow",
                    "Principal": service,
                    "Action": "s3:PutObject",
                    "Resource": [f"arn:aws:s3:::{bucket}/AWSLogs/{account}/*" for account in accounts],
                    "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}},
                },
            ],
        }
    )


def new_trail(s3: Any, cloudtrail: Any, name: str, account: str = ACCOUNT, **options: Any) -> TrailLog:
    """A bucket with its policy, and a trail that logs everything (data events of all buckets included)."""
    bucket = f"logs-{name}".lower()
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=log_bucket_policy(bucket, account))
    cloudtrail.create_trail(
        Name=name, S3BucketName=bucket, **{"EnableLogFileValidation": True, "IsMultiRegionTrail": True, **options}
    )
    everything = {"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}
    cloudtrail.put_event_selectors(
        TrailName=name,
        EventSelectors=[{"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [everything]}],
    )
    cloudtrail.start_logging(Name=name)
    return TrailLog(s3, bucket, name, account)
