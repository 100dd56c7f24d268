"""`opentrail import`: Amazon's layouts, damage, repetition, `kill -9`, and what is found afterwards."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from opentrail.ports import HistorySearch
from opentrail.record.history_words import place_word
from opentrail.server import import_workers
from opentrail.server.cli import main
from opentrail.server.import_sources import LocalFiles, listed
from opentrail.stores.history_import import ImportStore, known_by
from opentrail.stores.history_reader import HistoryReader
from opentrail.stores.history_sqlite import SqliteHistory
from tests.clients.server_process import ServerProcess
from tests.server.import_world import ACCOUNTS, T, event, layout, log_file

DATA = os.environ.get("OPENTRAIL_REFERENCE_DATA", "")
EVERYTHING = HistorySearch((), 0, T * 2)


def run(place: Path | str, directory: Path, *more: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["import", str(place), "--data-dir", str(directory), *more], env=environment)


def kept(directory: Path, *words: str) -> list[bytes]:
    reader = HistoryReader(directory)
    found = [each.record for each in reader.find(HistorySearch(words, 0, T * 2), 1 << 30)]
    reader.close()
    return found


def ids(directory: Path, *words: str) -> list[str]:
    return [json.loads(record)["eventID"] for record in kept(directory, *words)]


def test_an_organizations_bucket_is_taken_newest_events_found_first(tmp_path):
    layout(tmp_path / "logs")
    told = run(tmp_path / "logs", tmp_path / "data")
    assert (told.exit_code, told.stdout) == (0, "imported 80 events from 8 files\n")
    assert ids(tmp_path / "data", place_word(ACCOUNTS[1], "eu-west-1", "M")) == [
        f"id-{ACCOUNTS[1]}-{n}" for n in range(39, -1, -1)
    ]
    assert len(ids(tmp_path / "data", "uuser1")) == 26
    assert sorted(kept(tmp_path / "data")) == sorted(
        json.dumps(event(n, account)).encode() for account in ACCOUNTS for n in range(40)
    )


def test_files_are_taken_in_the_order_of_their_times(tmp_path):
    layout(tmp_path)
    stamps = [file.stamp for file in listed(LocalFiles(tmp_path))]
    assert stamps == sorted(stamps)
    assert len(stamps) == 8
    assert stamps[0] == "20231114T2200Z"


def test_what_is_there_is_not_taken_again(tmp_path):
    layout(tmp_path / "logs")
    data = tmp_path / "data"
    assert run(tmp_path / "logs", data).exit_code == 0
    again = run(tmp_path / "logs", data)
    assert again.stdout == "imported 0 events from 0 files\nimported before: 8 files\n"
    (tmp_path / "logs").rename(tmp_path / "moved")
    moved = run(tmp_path / "moved", data)
    assert moved.stdout == "imported 0 events from 8 files\nknown already: 80 events\n"
    longer = next((tmp_path / "moved").rglob("*_CloudTrail_*Z_*.json.gz"))
    longer.write_bytes(log_file([event(0), event(0), event(0, "999999999999"), event(777)]))
    assert run(longer, data).stdout == "imported 2 events from 1 files\nknown already: 2 events\n"
    assert len(kept(data)) == 82


def test_an_event_without_an_id_is_known_by_its_bytes(tmp_path):
    plain = [{"eventTime": "2023-11-14T22:13:20Z", "eventName": name} for name in "aab"]
    (tmp_path / "a.json").write_bytes(json.dumps({"Records": plain}).encode())
    (tmp_path / "b.json").write_bytes(json.dumps({"Records": plain[2:]}).encode())
    assert run(tmp_path, tmp_path / "data").stdout == "imported 2 events from 2 files\nknown already: 2 events\n"


def test_events_that_the_server_recorded_itself_are_not_taken(tmp_path):
    own = SqliteHistory(tmp_path)
    own.add([(1, json.dumps(event(3)).encode())], after=0, through=1, oldest=0)
    own.close()
    (tmp_path / "x.json.gz").write_bytes(log_file([event(n) for n in range(5)]))
    assert run(tmp_path / "x.json.gz", tmp_path).stdout.startswith("imported 4 events")
    assert ids(tmp_path) == [f"id-{ACCOUNTS[0]}-{n}" for n in range(4, -1, -1)]


def test_damage_is_named_and_nothing_else_is_lost(tmp_path):
    paths = layout(tmp_path / "logs")
    paths[0].write_bytes(paths[0].read_bytes()[:-20])
    paths[1].write_bytes(b"\x1b[2J evil")
    paths[2].write_bytes(log_file([event(500), "no object", {"eventTime": "noon"}, event(501)]))
    told = run(tmp_path / "logs", tmp_path / "data")
    assert told.exit_code == 1
    assert "imported 52 events from 6 files" in told.stdout
    assert "NOT taken, or not whole: 3 files" in told.stderr
    assert f"{paths[0]}: it is cut off" in told.stderr
    assert f"{paths[1]}: it is no JSON" in told.stderr
    assert f"{paths[2]}: 2 of its records" in told.stderr
    assert "\x1b" not in told.stderr
    paths[0].write_bytes(log_file([event(n) for n in range(10)]))
    assert "imported 10 events from 1 files" in run(tmp_path / "logs", tmp_path / "data").stdout


def test_what_cannot_be_looked_at_is_named_not_passed_over(tmp_path, monkeypatch):
    logs = tmp_path / "logs"
    layout(logs)
    Path(os.fsdecode(os.fsencode(logs) + b"/\xff.json")).write_bytes(b"{}")
    with monkeypatch.context() as there:  # a folder deeper than a path can tell: nobody can list it, not even root
        there.chdir(logs)
        for _ in range(18):
            os.mkdir("d" * 250)
            os.chdir("d" * 250)
    told = run(logs, tmp_path / "data")
    assert "imported 80 events from 8 files" in told.stdout
    assert told.exit_code == 1
    assert "NOT taken, or not whole: 2 files" in told.stderr
    assert "its name is no UTF-8" in told.stderr
    assert "the folder cannot be listed: File name too long" in told.stderr


def test_a_pipe_is_not_waited_for(tmp_path):
    (tmp_path / "x.json").write_bytes(log_file([event(0)]))
    os.mkfifo(tmp_path / "pipe.json")
    assert [file.name for file in listed(LocalFiles(tmp_path))] == [str(tmp_path / "x.json")]


def test_digests_are_passed_over_wherever_they_lie(tmp_path):
    (tmp_path / "x.json").write_bytes(log_file([event(0)]))
    name = "111122223333_CloudTrail-Digest_us-east-1_t_us-east-1_20261121T143000Z.json.gz"
    (tmp_path / name).write_bytes(gzip.compress(b'{"awsAccountId":"1"}'))
    assert [file.name for file in listed(LocalFiles(tmp_path))] == [str(tmp_path / "x.json")]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nowhere", "there is no"),
        ("s3:///x", "names no bucket"),
        ("s3://bucket/x", "no access key"),
        (".", "there are no log files"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path, place, message):
    told = run(place if place.startswith("s3") else tmp_path / place, tmp_path / "data", AWS_ACCESS_KEY_ID="")
    assert told.exit_code == 2
    assert message in told.stderr


def test_a_history_of_another_version_is_not_touched(tmp_path):
    store = ImportStore(tmp_path / "data")
    store._file.set_meta("format", 4)
    store.close()
    (tmp_path / "a.json").write_bytes(log_file([event(1)]))
    before = (tmp_path / "data" / "imported.db").read_bytes()
    told = run(tmp_path / "a.json", tmp_path / "data")
    assert (told.exit_code, "move it away and import its log files again" in " ".join(told.stderr.split())) == (2, True)
    assert (tmp_path / "data" / "imported.db").read_bytes() == before


def test_two_imports_at_once_are_one_too_many(tmp_path):
    store = ImportStore(tmp_path / "data")
    (tmp_path / "a.json").write_bytes(b'{"Records":[]}')
    told = run(tmp_path / "a.json", tmp_path / "data")
    assert (told.exit_code, "another import" in told.stderr) == (2, True)
    store.close()


def test_a_search_after_many_batches_finds_all_once(tmp_path, monkeypatch):
    monkeypatch.setattr(import_workers, "EVENTS_MAX", 20)  # twins are made side by side and found out when kept
    paths = layout(tmp_path / "logs", per_file=23, files=9)
    paths[4].write_bytes(log_file([event(n, ACCOUNTS[0]) for n in range(0, 400, 2)]))  # larger than a segment
    told = run(tmp_path / "logs", tmp_path / "data")
    assert told.exit_code == 0
    wanted = {(record["recipientAccountId"], record["eventID"]): record["eventTime"] for path in paths
              for record in json.loads(gzip.decompress(path.read_bytes()))["Records"]}  # fmt: skip
    found = [json.loads(record) for record in kept(tmp_path / "data")]
    assert {(r["recipientAccountId"], r["eventID"]): r["eventTime"] for r in found} == wanted
    assert len(found) == len(wanted)
    assert [r["eventTime"] for r in found] == sorted((r["eventTime"] for r in found), reverse=True)


SLOW_IMPORT = """
import time
from opentrail.server import import_workers
from opentrail.server.cli import main
from opentrail.stores.history_import import ImportStore

keep = ImportStore.keep

def keep_and_rest(store, batch):
    kept = keep(store, batch)
    time.sleep(0.15)
    return kept

ImportStore.keep = keep_and_rest
import_workers.EVENTS_MAX = 200
main()
"""
"""An import of small batches with a pause after each, so that whoever looks now and then sees it half done."""


@pytest.mark.slow
def test_an_import_that_is_killed_goes_on_where_it_was(tmp_path):
    layout(tmp_path / "logs", per_file=50, files=30)
    data = tmp_path / "data"
    command = [sys.executable, "-c", SLOW_IMPORT, "import", str(tmp_path / "logs"), "--data-dir", str(data)]
    for least in (1, 800):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as killed:
            while killed.poll() is None and not (
                data.exists() and len(HistoryReader(data).find(EVERYTHING, 9_999)) > least
            ):
                time.sleep(0.01)
            killed.send_signal(signal.SIGKILL)
    between = len(kept(data))
    assert 800 < between < 3_000
    told = run(tmp_path / "logs", data)
    assert told.exit_code == 0
    assert "imported before" in told.stdout
    assert "known already" not in told.stdout
    found = ids(data)
    assert (len(found), len(set(found))) == (3_000, 3_000)


def test_an_import_that_is_interrupted_says_so_and_goes_on_where_it_was(tmp_path):
    layout(tmp_path / "logs", per_file=50, files=30)
    data = tmp_path / "data"
    command = [sys.executable, "-c", SLOW_IMPORT, "import", str(tmp_path / "logs"), "--data-dir", str(data)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, process_group=0) as stopped:
        while stopped.poll() is None and not (data.exists() and HistoryReader(data).find(EVERYTHING, 9_999)):
            time.sleep(0.01)
        os.killpg(stopped.pid, signal.SIGINT)  # as Ctrl-C does: to all of the terminal's processes
        _, told = stopped.communicate()
    assert (stopped.returncode, told) == (1, "interrupted; start it again, and it goes on where it was\n")
    assert 0 < len(kept(data)) < 3_000
    assert run(tmp_path / "logs", data).exit_code == 0
    assert len(set(ids(data))) == len(ids(data)) == 3_000


@pytest.mark.slow
def test_a_bucket_is_imported_while_the_server_runs_and_looked_up_there(tmp_path):
    now = int(time.time())
    recent = [event(n, "000000000000", eventTime=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 600 + n)))
              for n in range(30)]  # fmt: skip
    server = ServerProcess(tmp_path).start()
    try:
        server.client("s3").create_bucket(Bucket="elsewhere")
        for n in range(3):
            key = f"AWSLogs/000000000000/CloudTrail/eu-west-1/x_CloudTrail_eu-west-1_20231114T22{n:02}Z_{n} é.json.gz"
            server.client("s3").put_object(Bucket="elsewhere", Key=key, Body=log_file(recent[n * 10 : n * 10 + 10]))
        server.client("s3").put_object(Bucket="elsewhere", Key="AWSLogs/bad/CloudTrail/x.json.gz", Body=b"\x1f\x8b")
        environment = {
            "AWS_ACCESS_KEY_ID": server.access_key_id,
            "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
            "AWS_ENDPOINT_URL": server.url,
        }
        told = run("s3://elsewhere/AWSLogs/", tmp_path / "data", **environment)
        assert (told.exit_code, "imported 30 events from 3 files" in told.stdout) == (1, True)
        assert "s3://elsewhere/AWSLogs/bad/CloudTrail/x.json.gz: it is cut off" in told.stderr
        client = server.client("cloudtrail", region="eu-west-1")
        pages = client.get_paginator("lookup_events").paginate(PaginationConfig={"PageSize": 7})
        found = [each for page in pages for each in page["Events"]]
        assert [each["EventId"] for each in found] == [each["eventID"] for each in reversed(recent)]
        assert json.loads(found[0]["CloudTrailEvent"]) == recent[-1]
    finally:
        server.stop()


@pytest.mark.skipif(not DATA, reason="OPENTRAIL_REFERENCE_DATA names no directory")
def test_real_files_of_many_versions(tmp_path):
    told = run(Path(DATA, "cloudtrail"), tmp_path)
    records = [record for path in Path(DATA, "cloudtrail").glob("*.json.gz")
               for record in json.loads(gzip.decompress(path.read_bytes()))["Records"]]  # fmt: skip
    placed = {
        known_by(json.dumps(r).encode()) for r in records if str(r.get("eventTime") or r.get("@timestamp"))[:2] == "20"
    }
    assert (
        len(kept(tmp_path)) >= len(placed) - 60
    )  # records without an id are known by their bytes, written otherwise here
    assert len(kept(tmp_path)) > 3_300
    assert told.exit_code == 1  # some are fixtures without a time
