"""What is left in the end: the ledger, the log files in the bucket and the digests, held against the clients' book."""

from __future__ import annotations

import gzip
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import story
from opentrail.stores.ledger_writer import unpack_lines
from opentrail.verify import verify
from opentrail.verify_files import public_key
from tests.crash.book import REGION, Acknowledged, Book
from tests.crash.server import KEY
from tests.crash.things import BUCKET

QUIET_SECONDS_MAX = 180.0
"""How long the followers may take to catch up after the last restart."""
SHOWN_MAX = 10
LISTINGS = frozenset({"ListObjects", "ListObjectsV2", "ListObjectVersions"})

Record = dict[str, Any]


class Bucket:
    """The log bucket as it fills: every version of every file, read once. It is `verify_files.Files`, too."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._s3 = book.client("s3")
        self._files: dict[str, tuple[bytes, Mapping[str, str]]] = {}
        self.versions: Counter[str] = Counter()

    def refresh(self) -> None:
        """Read what is new."""
        self.versions = Counter()
        for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=story.LOGS):
            self.versions.update(each["Key"] for each in page.get("Versions", ()))
        for key in self.versions:
            if key.endswith(".gz") and key not in self._files:
                answer = self._book.get_object(self._s3, story.LOGS, key)
                self._files[key] = (answer["Content"], answer["Metadata"])

    def keys(self) -> Iterator[str]:
        yield from self._files

    def read(self, key: str) -> bytes | None:
        return self._files[key][0] if key in self._files else None

    def metadata(self, key: str) -> Mapping[str, str]:
        return self._files[key][1] if key in self._files else {}

    def documents(self, folder: str) -> dict[str, dict[str, Any]]:
        """The JSON documents of one kind of file: `CloudTrail` or `CloudTrail-Digest`."""
        chosen = {key: data for key, (data, _) in self._files.items() if f"/{folder}/" in key}
        return {key: json.loads(gzip.decompress(data)) for key, data in chosen.items()}

    def records(self) -> list[Record]:
        return [record for each in self.documents("CloudTrail").values() for record in each["Records"]]


def wait_until_quiet(book: Book, bucket: Bucket) -> int:
    """Wait until pipelines have ended and the log files and digests have caught up with a call made here; how many
    calls were acknowledged up to it. Faults go into the book."""
    pipelines = book.client("codepipeline")
    _wait(book, "the pipeline's executions have not ended", lambda: _pipelines_ended(pipelines))
    marker = book.client("iam").get_user(UserName="crash")["ResponseMetadata"]["RequestId"]
    count = len(book.calls)
    _wait(book, "the log files have not caught up", lambda: _file_of(bucket, marker) is not None)
    _wait(book, "the digests have not caught up", lambda: _is_sealed(bucket, marker))
    return count


def _wait(book: Book, otherwise: str, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + QUIET_SECONDS_MAX
    while not done():
        if time.monotonic() > deadline:
            book.fault(otherwise)
            return
        time.sleep(0.1)


def _pipelines_ended(pipelines: Any) -> bool:
    pages = pipelines.get_paginator("list_pipeline_executions").paginate(pipelineName=story.PIPELINE)
    return not any(each["status"] == "InProgress" for page in pages for each in page["pipelineExecutionSummaries"])


def _file_of(bucket: Bucket, request_id: str) -> str | None:
    bucket.refresh()
    for key, document in bucket.documents("CloudTrail").items():
        if any(record.get("requestID") == request_id for record in document["Records"]):
            return key
    return None


def _is_sealed(bucket: Bucket, request_id: str) -> bool:
    wanted = _file_of(bucket, request_id)
    digests = bucket.documents("CloudTrail-Digest").values()
    return any(entry["s3Object"] == wanted for digest in digests for entry in digest["logFiles"])


def check_digests(book: Book, bucket: Bucket, url: str) -> str:
    """Both checkers: OpenTrail's own, and the AWS CLI's; what the CLI says."""
    bucket.refresh()
    cloudtrail = book.client("cloudtrail")
    keys = {}
    for page in cloudtrail.get_paginator("list_public_keys").paginate(StartTime=0, EndTime=time.time() + 60):
        for entry in page["PublicKeyList"]:
            keys.update(public_key(entry["Value"]))
    report = verify(bucket, keys, bucket=story.LOGS)
    for finding in report.findings:
        if finding.serious or finding.kind == "gap":
            book.fault(f"verify: {finding}")
    if not report.digests or not report.log_files:
        book.fault(f"verify proved {report.digests} digests and {report.log_files} log files")
    return _validate_logs(book, url, report.digests, report.log_files)


def _validate_logs(book: Book, url: str, digests: int, log_files: int) -> str:
    """`aws cloudtrail validate-logs` must accept at least as many files as there were just now."""
    command = [sys.executable, "-m", "awscli", "cloudtrail", "validate-logs", "--trail-arn", story.TRAIL_ARN]
    done = subprocess.run(
        [*command, "--start-time", "2020-01-01T00:00:00Z"],
        env={**os.environ, **_cli_environment(url)},
        capture_output=True,
        text=True,
        check=False,
    )
    told = re.findall(r"(\d+)/(\d+) (digest|log) files valid", done.stdout)
    counts = {kind: (int(valid), int(all_)) for valid, all_, kind in told}
    enough = {"digest": digests, "log": log_files}
    accepted = all(counts.get(kind, (0, 0))[0] >= least for kind, least in enough.items())
    whole = all(valid == all_ for valid, all_ in counts.values())
    if done.returncode or not accepted or not whole:
        book.fault(f"aws cloudtrail validate-logs: {done.stdout}{done.stderr}")
    return "; ".join(f"{valid}/{all_} {kind} files valid" for valid, all_, kind in told)


def _cli_environment(url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": KEY[0],
        "AWS_SECRET_ACCESS_KEY": KEY[1],
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def ledger_records(data: Path) -> list[Record]:
    """Every record of a ledger that nobody serves, in order."""
    connection = sqlite3.connect(f"file:{data / 'ledger.db'}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT lines FROM batches ORDER BY last").fetchall()
    finally:
        connection.close()
    return [json.loads(line) for (batch,) in rows for _, kind, line in unpack_lines(batch) if kind == 0]


def check_ledger(book: Book, records: Iterable[Record]) -> None:
    """Every acknowledged call is there, once, and none that did not happen; every upload that is there has started the
    pipeline, once."""
    records = list(records)
    found = Counter(record.get("requestID") for record in records)
    _report(book, "acknowledged, but not once in the ledger", _not_once(book.calls, found))
    _report(book, "did not happen, but is in the ledger", [each for each in book.unavailable if each in found])
    events = Counter(record["eventID"] for record in records)
    _report(book, "eventID twice in the ledger", [event for event, count in events.items() if count > 1])
    uploads = sum(_is_upload(record) for record in records)
    starts = sum(_is_start(record) for record in records)
    if uploads != starts:
        book.fault(f"{uploads} uploads are in the ledger, {starts} starts of the pipeline by the rule")


def check_log_files(book: Book, bucket: Bucket, calls: int, first: int, ledger: Iterable[Record]) -> None:
    """Every call from `first` to `calls` that the trail logs is in the log files, once; so is all that the ledger has
    of that time, acknowledged or not; and no file has two versions."""
    delivered = bucket.records()
    found = Counter(record.get("requestID") for record in delivered)
    logged = [call for call in book.calls[first:calls] if _is_logged(call)]
    _report(book, "acknowledged, but not once in the log files", _not_once(logged, found))
    events = Counter(record["eventID"] for record in delivered)
    _report(book, "eventID twice in the log files", [event for event, count in events.items() if count > 1])
    _report(book, "delivered twice", [key for key, count in bucket.versions.items() if count > 1 and key[-1] != "/"])
    ids = {record["eventID"] for record in _between(book, ledger, calls, first) if _is_selected(record)}
    _report(book, "in the ledger, but not in the log files", sorted(ids - events.keys()))


def _between(book: Book, ledger: Iterable[Record], calls: int, first: int) -> Iterator[Record]:
    """The ledger's records from one acknowledged call to another."""
    begin, end = book.calls[first].request_id, book.calls[calls - 1].request_id
    inside = False
    for record in ledger:
        inside = inside or record.get("requestID") == begin
        if inside:
            yield record
        if record.get("requestID") == end:
            return


def _not_once(calls: Iterable[Acknowledged], found: Mapping[str | None, int]) -> list[str]:
    return [f"{found.get(call.request_id, 0)} times {call}" for call in calls if found.get(call.request_id, 0) != 1]


def _report(book: Book, what: str, wrong: list[str]) -> None:
    if wrong:
        book.fault(f"{what} ({len(wrong)}): " + "; ".join(wrong[:SHOWN_MAX]))


def _is_logged(call: Acknowledged) -> bool:
    """Does the trail log it, as far as a client can tell?"""
    if call.service != "s3" or (call.operation not in LISTINGS and not call.key):
        return call.operation not in LISTINGS
    return bool(call.key) and (call.bucket == BUCKET or (call.bucket, call.key) == (story.SOURCE, story.KEY))


def _is_selected(record: Record) -> bool:
    """Does the trail log it, by what the record says?"""
    if record["managementEvent"]:
        return True
    arns = [str(each.get("ARN", "")) for each in record.get("resources", ())]
    source = f"arn:aws:s3:::{story.SOURCE}/{story.KEY}"
    return any(arn.startswith(f"arn:aws:s3:::{BUCKET}/") or arn == source for arn in arns)


def _is_upload(record: Record) -> bool:
    parameters = record.get("requestParameters") or {}
    place = (parameters.get("bucketName"), parameters.get("key"))
    return record["eventName"] == "PutObject" and place == (story.SOURCE, story.KEY) and "errorCode" not in record


def _is_start(record: Record) -> bool:
    by_rule = record["userIdentity"].get("invokedBy") == "events.amazonaws.com"
    return record["eventName"] == "StartPipelineExecution" and by_rule and "errorCode" not in record
