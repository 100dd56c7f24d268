"""Log files as Amazon lays them out, made up for the tests of importing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

from tests.followers.trail_house import iso

T = 1_700_000_000
"""2023-11-14T22:13:20Z."""
ACCOUNTS = ("111122223333", "444455556666")


def event(number: int, account: str = ACCOUNTS[0], **more: object) -> dict[str, object]:
    """A record, one second apart from the next."""
    return {
        "eventVersion": "1.08",
        "userIdentity": {"type": "IAMUser", "userName": f"user{number % 3}", "accountId": account},
        "eventTime": iso(T + number),
        "eventSource": "ec2.amazonaws.com",
        "eventName": "RunInstances",
        "awsRegion": "eu-west-1",
        "eventID": f"id-{account}-{number}",
        "managementEvent": True,
        "eventCategory": "Management",
        "recipientAccountId": account,
    } | more


def log_file(records: Sequence[object]) -> bytes:
    return gzip.compress(json.dumps({"Records": records}).encode(), mtime=0)


def layout(root: Path, per_file: int = 10, files: int = 4) -> list[Path]:
    """An organization's bucket: two accounts, some files each; digests and another service's files beside them."""
    made = []
    for account in ACCOUNTS:
        folder = root / "AWSLogs" / "o-abc" / account / "CloudTrail" / "eu-west-1" / "2023" / "11" / "14"
        folder.mkdir(parents=True)
        for number in range(files):
            path = folder / f"{account}_CloudTrail_eu-west-1_20231114T22{number:02}Z_{account[:4]}{number}.json.gz"
            path.write_bytes(log_file([event(number * per_file + n, account) for n in range(per_file)]))
            made.append(path)
        digest = root / "AWSLogs" / account / "CloudTrail-Digest" / "eu-west-1" / "x_CloudTrail-Digest_y.json.gz"
        digest.parent.mkdir(parents=True)
        digest.write_bytes(gzip.compress(b'{"awsAccountId":"1"}'))
        other = root / "AWSLogs" / account / "Config" / "x.json.gz"
        other.parent.mkdir(parents=True)
        other.write_bytes(gzip.compress(b'{"configurationItems":[]}'))
    return made
