"""Queries of archived objects that were answered 202 and are still to be worked off.

    s3.select-job   time id     one query, from its acknowledgement to the file that ends its output

The row is written in the commit of the request and goes in that of the last file, so none is lost or done twice. `time` is
the millisecond from which it may be taken up. Source: S3 user guide, "Querying archived objects". Knows no SQL.
"""

from __future__ import annotations

from typing import Any, Final

from opentrail.call import Principal
from opentrail.ports import Key
from opentrail.query.job import Job
from opentrail.rows.bell import Bell
from opentrail.rows.key_time import time_of, time_part
from opentrail.state import Row, Table, Unit

SELECTING: Final = "a query reads"
"""Mark in `call.stash` of the read that a query makes, which needs no restore: did its caller name the version?"""
SERVICE: Final = "s3.amazonaws.com"
JOB_BELL: Final = "select-job"
ID_ALPHABET, ID_LENGTH = "0123456789abcdefghijklmnopqrstuvwxyz", 38


class SelectJob(Row, frozen=True):
    """One query and how far its output is. Times are epoch seconds."""

    id: str
    bucket: str
    key: str
    version_id: str
    """Empty for an object of a bucket that never had versioning."""
    etag: str
    region: str
    principal: Principal
    """Who asked, as S3 acts for him."""
    query: Job
    target: dict[str, Any]
    """PutObject's input for each file of the output, without the key."""
    path: str
    """What the keys of all its files begin with, without the last `/`."""
    first: float
    named: bool = False
    """The caller named the version."""
    parts: int = 0
    """Files of results that there are; `written` is their length together."""
    written: int = 0
    fault: tuple[str, str] | None = None
    """(code, message) of why it failed; `told` once the file under `errors/` is there."""
    told: bool = False
    attempts: int = 0


SELECT_JOBS: Table[SelectJob] = Table("s3.select-job", SelectJob)
BELL = Bell()
"""Rings JOB_BELL."""


def put_job(unit: Unit, job: SelectJob, due: float) -> None:
    """Let a query be worked off from `due` on."""
    SELECT_JOBS.put(unit, job, time_part(due), job.id)
    BELL.ring(JOB_BELL)


def due_of(key: Key) -> float:
    return time_of(SELECT_JOBS.parts(key)[0])


def result_name(number: int) -> str:
    """Of a file of results, below the job's path."""
    return f"results/{number:06d}"
