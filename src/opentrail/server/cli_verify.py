"""`opentrail verify`: do a trail's log files and digests still say what was delivered? Asks a server, or reads a folder.

Everything is decided by `opentrail.verify`; this module fetches, shows and sets the exit status.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from opentrail.errors import AwsError
from opentrail.server.bucket_files import DIGESTS, BucketFiles, TrailPlace, within
from opentrail.server.cli_client import CannotDo, connect, connection_options, explained
from opentrail.server.cli_text import shown
from opentrail.server.cli_verify_ledger import Against, against
from opentrail.server.client import Client
from opentrail.verify import Finding, Report, VerificationFailed, check, stamp_of
from opentrail.verify_files import Files, Folder, load_public_keys, public_key
from opentrail.verify_records import Completeness

FAILED = 1
"""Exit status when something is not as it was delivered, or nothing is proven."""
LATE_SECONDS_MAX = 300.0
"""How much the clock of the store that holds the bucket may go after the server's."""
EPOCH = datetime.fromtimestamp(0, UTC)
_TRAIL_ARN = re.compile(r"arn:aws[a-z-]*:cloudtrail:([a-z0-9-]+):(\d{12}):trail/([A-Za-z0-9._-]+)", re.ASCII)
Keys = Mapping[str, RSAPublicKey]


class When(click.ParamType[datetime]):
    """A moment in ISO 8601, UTC unless it says otherwise."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            moment = datetime.fromisoformat(str(value))
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time; write 2026-11-21 or 2026-11-21T14:30:00Z", param, ctx)


@dataclass(frozen=True, slots=True)
class FolderUntil:
    """A folder's files up to a moment."""

    folder: Folder
    until: str

    def keys(self) -> Iterator[str]:
        return (key for key in self.folder.keys() if within(key, self.until))  # noqa: SIM118  (not a mapping)

    def read(self, key: str) -> bytes | None:
        return self.folder.read(key)

    def metadata(self, key: str) -> Mapping[str, str]:
        return self.folder.metadata(key)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is verified: the files, the keys, and the bucket that digests have to name (empty: any).

    `lost` is what only the server knows to be missing.
    """

    files: Files
    keys: Keys
    bucket: str = ""
    lost: tuple[Finding, ...] = ()
    all_files: Files | None = None
    """The same files, whatever their time; for the comparison with a ledger."""
    place: TrailPlace | None = None


@click.command()
@click.option("--trail-arn", metavar="ARN", help="The trail whose files to check, on a running server.")
@click.option(
    "--folder", type=click.Path(path_type=Path, exists=True, file_okay=False), help="A copy of the bucket to check."
)
@click.option(
    "--public-keys",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="With --folder: what `aws cloudtrail list-public-keys` printed.",
)
@click.option(
    "--ledger",
    type=click.Path(path_type=Path, exists=True),
    help="A server's data directory (or its ledger.db): also check that no event is missing. Only reads.",
)
@click.option("--start-time", type=When(), help="Leave out files from before. [default: the beginning]")
@click.option("--end-time", type=When(), help="Leave out files from after. [default: now]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@connection_options
def verify(
    trail_arn: str | None,
    folder: Path | None,
    public_keys: Path | None,
    ledger: Path | None,
    start_time: datetime | None,
    end_time: datetime | None,
    as_json: bool,
    endpoint_url: str | None,
    region: str | None,
) -> None:
    """Prove that a trail's log files are what was delivered.

    Every digest has to carry a valid signature and to follow the one before it; every log file that a digest names has
    to be there with the very content it had. What is not so is named, file by file.

    \b
    Examples:
      opentrail verify --trail-arn arn:aws:cloudtrail:us-east-1:000000000000:trail/audit
      opentrail verify --trail-arn ARN --start-time 2026-11-01 --end-time 2026-11-08
      opentrail verify --trail-arn ARN --json | jq '.findings[].file'

    \b
    Offline, with nothing but a copy of the bucket and the public keys:
      aws s3 sync s3://my-logs copy
      aws s3api head-object --bucket my-logs --key NEWEST --query Metadata > copy/NEWEST.metadata.json
      aws cloudtrail list-public-keys --start-time 2026-11-01 > keys.json
      opentrail verify --folder copy --public-keys keys.json

    \b
    The signature of a digest is metadata of its object, which a copy leaves
    behind. The next digest quotes it, so only that of the newest has to be
    fetched: NEWEST is its key.

    \b
    Against the ledger, also while its server runs: every event that a trail
    should have logged has to be in a log file, once, byte for byte, and every
    file that CloudTrail wrote has to be there, the newest digests included:
      opentrail verify --trail-arn ARN --ledger opentrail-data

    Exit status: 0 all is proven, 1 something is not, 2 it could not be checked.
    """
    if (trail_arn is None) == (folder is None) or (folder is None) != (public_keys is None):
        raise click.UsageError("give --trail-arn, or --folder together with --public-keys")
    if start_time and end_time and start_time > end_time:
        raise click.UsageError("--start-time is after --end-time")
    until = stamp_of(end_time) if end_time else ""
    with explained():
        if folder is not None and public_keys is not None:
            subject = _of_folder(folder, public_keys, until)
        else:
            subject = _of_trail(connect(endpoint_url, region, os.environ), trail_arn or "", until)
        compared = None
        if ledger is not None:
            compared = against(ledger, subject.all_files or subject.files, subject.place, start_time, end_time)
        report = _run(subject, stamp_of(start_time) if start_time else "", compared, quiet=as_json)
    _tell(report, compared.told if compared else None, as_json)


def _of_folder(folder: Path, public_keys: Path, until: str) -> Subject:
    try:
        keys = load_public_keys(public_keys.read_bytes())
    except (OSError, ValueError) as error:
        raise CannotDo(f"{public_keys}: {error}\nWrite it with `aws cloudtrail list-public-keys`.") from error
    return Subject(FolderUntil(Folder(folder), until), keys, all_files=Folder(folder))


def _of_trail(client: Client, arn: str, until: str) -> Subject:
    """The files in the trail's bucket, and the keys of every region that it wrote digests for."""
    place = _place(client, arn)
    files = BucketFiles(client, place, until)
    keys: dict[str, RSAPublicKey] = {}
    told: dict[str, datetime] = {}
    for region in sorted({place.home_region, *files.regions()}):
        given = {"StartTime": EPOCH, "EndTime": datetime.now(UTC)}
        for entry in client.call("cloudtrail", "ListPublicKeys", given, region=region).get("PublicKeyList") or ():
            try:
                keys.update(public_key(entry["Value"]))
            except ValueError as error:
                raise CannotDo(f"the server gave a public key that is none: {error}") from error
        told |= _last_digest(client, arn, region)
    lost = tuple(lost_digests(place, told, files.newest()))
    return Subject(files, keys, place.bucket, lost, BucketFiles(client, place, every_member=True), place)


def _last_digest(client: Client, arn: str, region: str) -> dict[str, datetime]:
    """When the server delivered the last digest of a region; empty if it never did, or does not any more."""
    try:
        status = client.call("cloudtrail", "GetTrailStatus", {"Name": arn}, region=region)
    except AwsError as error:
        if error.code == "TrailNotFoundException":
            return {}
        raise
    moment = status.get("LatestDigestDeliveryTime")
    return {region: moment} if moment else {}


def lost_digests(place: TrailPlace, told: Mapping[str, datetime], newest: Mapping[str, datetime]) -> Iterator[Finding]:
    """Regions whose last digest is gone: what files alone cannot tell, since nothing follows it that names it."""
    for region, moment in told.items():
        if region not in newest or (moment - newest[region]).total_seconds() > LATE_SECONDS_MAX:
            detail = f"a digest was delivered here at {moment:%Y-%m-%dT%H:%M:%SZ}; no digest that new is left"
            folder = f"{place.prefix}AWSLogs/o-…/{place.account_id}/" if place.of_organization else place.folder()
            yield Finding("missing", f"{folder}{DIGESTS}/{region}/", detail)


def _place(client: Client, arn: str) -> TrailPlace:
    found = _TRAIL_ARN.fullmatch(arn)
    if found is None:
        raise click.BadParameter(f"{arn} is no ARN of a trail", param_hint="--trail-arn")
    region, account_id, name = found.groups()
    trails = client.call("cloudtrail", "DescribeTrails", {"trailNameList": [arn]}, region=region)["trailList"]
    trail = next((each for each in trails if each.get("TrailARN") == arn), None)
    if trail is None:
        raise CannotDo(f"there is no trail {arn}.\n`aws cloudtrail list-trails` shows those of the account.")
    prefix = trail.get("S3KeyPrefix", "").rstrip("/")
    organization = bool(trail.get("IsOrganizationTrail"))
    return TrailPlace(account_id, region, name, trail["S3BucketName"], f"{prefix}/" if prefix else "", organization)


def _run(subject: Subject, since: str, compared: Against | None, *, quiet: bool) -> Report:
    """Check, with a bar on standard error where that is a terminal."""
    report = Report()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("verifying", total=None)

        def step(done: int, known: int, _key: str) -> None:
            bar.update(task, completed=done, total=known)

        def show(what: str, done: int, known: int) -> None:
            bar.update(task, description=what, completed=done, total=known)

        found = check(subject.files, subject.keys, bucket=subject.bucket, since=since, progress=step, report=report)
        report.findings += chain(subject.lost, found)
        if compared is not None:
            gone = {finding.key for finding in report.findings if finding.kind == "missing"}
            more = compared.findings(show)
            report.findings += [each for each in more if each.kind != "missing" or each.key not in gone]
    return report


def _tell(report: Report, told: Completeness | None, as_json: bool) -> None:
    """The result; exits with FAILED unless everything is proven."""
    failed = _failed(report)
    if as_json:
        click.echo(json.dumps(_as_json(report, told, failed), indent=2))
    else:
        for finding in report.findings:
            if finding.kind != "unnamed":
                click.echo(f"{finding.kind}: {shown(finding.key)}\n  {shown(finding.detail)}")
        click.echo(_summary(report, told))
    if failed:
        raise SystemExit(FAILED)


def _as_json(report: Report, told: Completeness | None, failed: bool) -> dict[str, object]:
    document: dict[str, object] = {"valid": not failed, "digests": report.digests, "logFiles": report.log_files}
    if told is not None:
        names = {"events": told.lines, "proven": told.proven, "waiting": told.waiting, "records": told.records}
        document["ledger"] = names
    return document | {"findings": [_finding_json(finding) for finding in report.findings]}


def _failed(report: Report) -> bool:
    try:
        report.demand()
    except VerificationFailed:
        return True
    return False


def _finding_json(finding: Finding) -> dict[str, str | bool]:
    return {"kind": finding.kind, "file": finding.key, "detail": finding.detail, "serious": finding.serious}


def _summary(report: Report, told: Completeness | None) -> str:
    lines = [f"proven: {_count(report.digests, 'digest')} and {_count(report.log_files, 'log file')}"]
    if told is not None:
        lines.append(
            f"of {_count(told.lines, 'event')} that the ledger says should be logged here, {told.proven} found as they "
            f"should be, {told.waiting} on their way"
        )
    unnamed = sum(finding.kind == "unnamed" for finding in report.findings)
    if unnamed:
        lines.append(f"not told of by any digest (the newest never are): {_count(unnamed, 'log file')}")
    serious = sum(finding.serious for finding in report.findings)
    if serious:
        lines.append(f"NOT as delivered: {_count(serious, 'finding')} above")
    elif not report.digests:
        lines.append("NOTHING is proven: there is no digest. Does the trail validate log files, for an hour or more?")
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
