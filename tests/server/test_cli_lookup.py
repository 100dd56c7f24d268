"""`opentrail lookup` on the files of a history: filters, forms, counts, and what it says when there is nothing."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from opentrail.server.cli import main
from opentrail.server.cli_text import cell
from opentrail.stores.history_sqlite import SqliteHistory
from tests.clients.waiting import PATIENCE_SECONDS
from tests.followers.trail_house import data_record, iso, record

T = 1_790_000_000
EVIL = "=cmd|'/c calc'!A1,\"x\"\n\x1b[2J"


def user(name: str) -> dict[str, str]:
    return {"type": "IAMUser", "userName": name, "accountId": "123456789012", "accessKeyId": "AKIA" + name}


def fill(directory: Path, *records: bytes) -> None:
    history = SqliteHistory(directory)
    after = history.cursor()
    history.add(list(enumerate(records, after + 1)), after=after, through=after + len(records), oldest=0)
    history.close()


@pytest.fixture
def directory(tmp_path):
    fill(
        tmp_path,
        record("CreateUser", T, userIdentity=user("ann"), eventSource="iam.amazonaws.com"),
        data_record("PutObject", "logs", "a/b", T + 10, userIdentity=user("ann"), sourceIPAddress="192.0.2.1"),
        data_record(
            "GetObject", "logs", "a/b", T + 20, userIdentity=user("bob"), errorCode="AccessDenied", readOnly=True
        ),
        data_record("GetObject", "other", EVIL, T + 30, userIdentity=user("bob"), sourceIPAddress="192.0.2.2"),
        record("DeleteUser", T + 40, userIdentity=user("bob"), errorMessage="odd", awsRegion="eu-west-1"),
    )
    return tmp_path


def run(directory: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["lookup", "--data-dir", str(directory), *arguments])


def names(directory: Path, *arguments: str) -> list[str]:
    result = run(directory, "--json", *arguments)
    assert result.exit_code == (0 if result.stdout else 1), result.output
    return [json.loads(line)["eventName"] for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), ["DeleteUser", "GetObject", "GetObject", "PutObject", "CreateUser"]),
        (("--user", "ann"), ["PutObject", "CreateUser"]),
        (
            ("--user", "ann", "--user", "bob", "--event", "CreateUser", "--event", "DeleteUser"),
            ["DeleteUser", "CreateUser"],
        ),
        (("--event", "*Object"), ["GetObject", "GetObject", "PutObject"]),
        (("--event", "?etObject", "--event", "CreateUser"), ["GetObject", "GetObject", "CreateUser"]),
        (("--event", "Nope*"), []),
        (("--bucket", "logs", "--key", "a/b", "--errors"), ["GetObject"]),
        (("--bucket", "logs", "--key", "a"), []),
        (("--key", "a/b", "--key", EVIL), ["GetObject", "GetObject", "PutObject"]),
        (("--resource", "logs/a/b"), ["GetObject", "PutObject"]),
        (("--errors",), ["DeleteUser", "GetObject"]),
        (("--error", "AccessDenied"), ["GetObject"]),
        (("--ip", "192.0.2.*"), ["GetObject", "PutObject"]),
        (("--region", "eu-west-1"), ["DeleteUser"]),
        (("--account", "123456789012", "--source", "iam.amazonaws.com"), ["CreateUser"]),
        (("--access-key", "AKIAann"), ["PutObject", "CreateUser"]),
        (("--event-id", f"CreateUser-{T}"), ["CreateUser"]),
        (("--read-only",), ["GetObject"]),
        (("--write-only", "--category", "data"), ["GetObject", "PutObject"]),
        (("--category", "management", "--category", "insight"), ["DeleteUser", "CreateUser"]),
        (("--since", iso(T + 20), "--until", iso(T + 30)), ["GetObject", "GetObject"]),
        (("--limit", "2"), ["DeleteUser", "GetObject"]),
        (("--limit", "0", "--event", "GetObject"), ["GetObject", "GetObject"]),
    ],
)
def test_filters_narrow_each_other_and_values_of_one_widen_it(directory, arguments, found):
    assert names(directory, *arguments) == found


def test_records_are_printed_as_they_were_kept_one_a_line(tmp_path):
    pretty = json.dumps(json.loads(record("Pretty", T, x="\n é")), indent=2, ensure_ascii=False).encode()
    plain = record("Plain", T + 1)
    fill(tmp_path, pretty, plain)
    first, second = run(tmp_path, "--json").stdout.splitlines()
    assert first.encode() == plain
    assert json.loads(second) == json.loads(pretty)


def test_a_spreadsheet_runs_no_cell(directory):
    told = run(directory, "--csv", "--bucket", "other")
    [row] = csv.DictReader(io.StringIO(told.stdout))
    assert row["key"] == "'" + EVIL.replace("\x1b", "\\x1b")
    assert (row["time"], row["event"], row["bucket"]) == ("2026-09-21T14:13:50Z", "GetObject", "other")
    assert not any(value.startswith(("=", "+", "-", "@", "\t", "\r")) for value in row.values())


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "＝1"])
def test_formulas_become_text(text):
    assert cell(text) == "'" + text
    assert cell("a" + text) == "a" + text


def test_a_csv_file_steers_no_terminal(directory):
    assert cell("a\x1b[2J\x07\x9b31m\x00\tb\nc") == "a\\x1b[2J\\x07\\x9b31m\\x00\tb\nc"
    assert "\x1b" not in run(directory, "--csv").stdout


def test_the_table_shows_nothing_that_steers_a_terminal(directory):
    shown = run(directory)
    assert "\x1b" not in shown.stdout
    assert "other/=cmd|'/c calc'!A1,\"x\"\\n\\x1b[2J" in shown.stdout
    assert [line.split()[:2] for line in shown.stdout.splitlines()][:2] == [
        ["TIME", "(UTC)"],
        ["2026-09-21", "14:14:00"],
    ]
    assert "5 events" in shown.stderr
    assert "2 events of 5" in run(directory, "--limit", "2").stderr


@pytest.mark.parametrize("columns", [60, 110, 200])
def test_the_table_fits_the_terminal(directory, columns):
    arguments = {"COLUMNS": str(columns), "FORCE_COLOR": "1", "TERM": "xterm"}
    shown = CliRunner().invoke(main, ["lookup", "--data-dir", str(directory)], env=arguments)
    lines = [line for line in shown.stdout.splitlines() if "2026-" in line]
    assert len(lines) == 5
    assert all(("123456789012" in line) == (columns >= 150) for line in lines)


def test_counts(directory):
    assert run(directory, "--count-by", "event").stdout.split() == [
        *("COUNT", "SHARE", "EVENT", "2", "40.0%", "GetObject", "1", "20.0%", "CreateUser"),
        *("1", "20.0%", "DeleteUser", "1", "20.0%", "PutObject"),
    ]
    told = run(directory, "--count-by", "user", "--event", "*Object", "--json").stdout
    assert [json.loads(line) for line in told.splitlines()] == [
        {"user": "bob", "count": 2},
        {"user": "ann", "count": 1},
    ]
    assert run(directory, "--count-by", "category", "--csv").stdout == "category,count\nData,3\nManagement,2\n"
    assert run(directory, "--count-by", "event", "--limit", "1", "--csv").stdout == "event,count\nGetObject,2\n"
    assert run(directory, "--count-by", "error", "--user", "ann").exit_code == 1


def test_nothing_found_is_said_and_told_by_the_exit_status(directory, tmp_path):
    nothing = run(directory, "--user", "nobody")
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert "No event matches, of 5 events" in nothing.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    missing = run(empty)
    assert missing.exit_code == 2
    assert "no event history" in missing.stderr
    fill(empty)
    assert "moments after" in run(empty).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--since", "yesterday"),
        ("--since", "1h", "--until", "2h"),
        ("--follow", "--count-by", "user"),
        ("--limit", "-1"),
        ("--count-by", "key"),
    ],
)
def test_what_cannot_be_meant_is_refused(directory, arguments):
    assert run(directory, *arguments).exit_code == 2


def program(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "opentrail", "lookup", "--data-dir", str(directory), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_following_shows_what_comes_in_order_and_ends_quietly(directory):
    with program(directory, "--follow", "--json", "--limit", "2") as following:
        assert following.stdout is not None
        first = [json.loads(following.stdout.readline())["eventName"] for _ in range(2)]
        fill(directory, record("Late", T - 9), record("Later", T + 99))
        then = [json.loads(following.stdout.readline())["eventName"] for _ in range(2)]
        following.send_signal(2)
        assert (first, then) == (["GetObject", "DeleteUser"], ["Late", "Later"])
        assert following.wait(PATIENCE_SECONDS) == 0
        assert following.stderr is not None
        assert following.stderr.read() == ""


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error(tmp_path):
    fill(tmp_path, *(record(f"Call{n}", T, x="y" * 2_000) for n in range(500)))
    with program(tmp_path, "--json", "--limit", "0") as lookup:
        assert lookup.stdout is not None
        assert lookup.stdout.readline().startswith("{")
        lookup.stdout.close()
        assert lookup.stderr is not None
        assert lookup.stderr.read() == ""
        assert lookup.wait(PATIENCE_SECONDS) == 0


@pytest.mark.slow
def test_any_search_of_many_events_is_quick(tmp_path):
    fill(tmp_path, *(data_record("GetObject", "b", f"k{n}", T + n // 50) for n in range(10_000)))
    started = time.process_time()
    assert len(names(tmp_path, "--event", "GetObject", "--bucket", "b", "--key", "k77")) == 1
    assert time.process_time() - started < 5
