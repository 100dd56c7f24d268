"""The rounds: load, kill, restart, look; and in the end the evidence."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bench import story
from tests.crash import evidence
from tests.crash.book import Book
from tests.crash.load import Load
from tests.crash.server import Server
from tests.crash.things import BUCKET

DELIVERY_SECONDS = 1.5
DIGEST_SECONDS = 4.0
LOAD_SECONDS = (0.3, 3.0)
"""A round's load lasts this long until the kill: somewhere between."""
START_SECONDS_MAX = 1.0
"""A server that is killed while starting is killed within this time."""
PLANS = ("server", "server", "server", "both", "both", "writer", "writer", "server while starting")

Say = Callable[[str], None]


class CrashFailed(Exception):
    """Something acknowledged is lost, wrong, or told twice."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What a run was made of."""

    calls: int
    records: int
    log_files: int
    validated: str


def run(directory: Path, rounds: int, seed: int, say: Say) -> Totals:
    """All rounds on one data directory. Raises CrashFailed with everything that is wrong, ServerFailed."""
    server = Server(directory, delivery_seconds=DELIVERY_SECONDS, digest_seconds=DIGEST_SECONDS)
    try:
        server.launch()
        server.wait_ready()
        book = Book(server.url)
        first = _set_up(book)
        load, random = Load(book), Random(seed)
        for number in range(1, rounds + 1):
            told = one_round(server, load, book, random, f"{seed}/{number}")
            say(f"round {number}/{rounds}: {told}")
            server.demand_quiet_log()
            _demand(book, f"seed {seed}, round {number}")
        totals = _finish(server, book, first, say)
        _demand(book, f"seed {seed}, in the end, after {rounds} rounds")
        return totals
    finally:
        server.kill("both")


def _set_up(book: Book) -> int:
    """The story's trail, rule and pipeline, a bucket and a user; from which acknowledged call on all is logged."""
    story.set_up(book.client, data_events=[f"arn:aws:s3:::{BUCKET}/"])
    first = len(book.calls)
    book.client("s3").create_bucket(Bucket=BUCKET)
    book.client("iam").create_user(UserName="crash")
    return first


def one_round(server: Server, load: Load, book: Book, random: Random, seed: str) -> str:
    """Load, a kill at a random instant, a restart if need be, and a look at everything; what is to be told."""
    before, unavailable = len(book.calls), len(book.unavailable)
    plan = random.choice(PLANS)
    seconds = random.uniform(*LOAD_SECONDS)
    load.begin(seed)
    time.sleep(seconds)
    load.server_may_be_gone, load.writer_may_be_gone = plan != "writer", True
    server.kill(plan.split()[0])
    if plan == "writer":
        time.sleep(random.uniform(0.1, 0.5))
    in_doubt = load.end()
    acknowledged, unavailable = len(book.calls) - before, len(book.unavailable) - unavailable
    if plan == "server while starting":
        server.launch()
        time.sleep(random.uniform(0.05, START_SECONDS_MAX))
        server.kill(random.choice(("server", "both")))
    if not server.alive:
        server.launch()
    back = server.wait_ready()
    looked = load.settle()
    return (
        f"{plan} killed after {seconds:.2f} s; {acknowledged} calls acknowledged, {unavailable} answered 503, "
        f"{in_doubt} things in doubt; "
        f"back in {back:.2f} s; {looked} things looked at"
    )


def _finish(server: Server, book: Book, first: int, say: Say) -> Totals:
    """Wait for quiet, check every digest, stop the server, count."""
    bucket = evidence.Bucket(book)
    calls = evidence.wait_until_quiet(book, bucket)
    validated = evidence.check_digests(book, bucket, server.url)
    say(f"aws cloudtrail validate-logs: {validated}")
    bucket.refresh()
    server.stop()
    server.demand_quiet_log()
    records = evidence.ledger_records(server.data)
    evidence.check_ledger(book, records)
    evidence.check_log_files(book, bucket, calls, first, records)
    return Totals(len(book.calls), len(records), len(bucket.documents("CloudTrail")), validated)


def _demand(book: Book, where: str) -> None:
    if book.faults:
        raise CrashFailed(f"{where}:\n" + "\n".join(book.faults))
