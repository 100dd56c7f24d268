"""Tools that read and write tables over S3: the SDK for JavaScript, s3fs, PyArrow's file system, DuckDB's S3 reader."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import duckdb_extension_httpfs
import pyarrow
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet
import pytest

from tests.clients.environments import Unavailable, javascript_clients, python_clients
from tests.clients.server_process import REGION, ROOT_KEY, ROOT_SECRET, ServerProcess
from tests.clients.waiting import COMMAND_SECONDS_MAX


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_javascript(server: ServerProcess, name: str) -> None:
    try:
        folder = javascript_clients()
    except Unavailable as reason:
        pytest.skip(str(reason))
    environment = server.environment(AWS_REGION=REGION)
    assert run([shutil.which("node") or "node", str(folder / "roundtrip.mjs"), name], environment) == "done\n"


@pytest.mark.slow
def test_s3fs(server: ServerProcess, name: str) -> None:
    script = Path(__file__).parent / "s3fs_roundtrip.py"
    run([str(python_clients() / "python"), str(script), name], server.environment())


@pytest.fixture
def arrow(server: ServerProcess) -> Any:
    return pyarrow.fs.S3FileSystem(
        access_key=ROOT_KEY,
        secret_key=ROOT_SECRET,
        region=REGION,
        endpoint_override=server.host,
        scheme="http",
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
    )


@pytest.mark.slow
def test_pyarrow(arrow: Any, name: str) -> None:
    table = pyarrow.table(
        {"id": range(5_000), "name": [f"n{each}" for each in range(5_000)], "p": [each % 3 for each in range(5_000)]}
    )
    arrow.create_dir(name)
    pyarrow.parquet.write_table(table, f"{name}/one.parquet", filesystem=arrow)
    assert pyarrow.parquet.read_table(f"{name}/one.parquet", filesystem=arrow).equals(table)
    found = pyarrow.parquet.read_table(
        f"{name}/one.parquet", filesystem=arrow, columns=["id"], filters=[("id", ">", 4_997)]
    )
    assert found["id"].to_pylist() == [4_998, 4_999]
    pyarrow.dataset.write_dataset(table, f"{name}/parts", filesystem=arrow, format="parquet", partitioning=["p"])
    parts = pyarrow.dataset.dataset(f"{name}/parts", filesystem=arrow, format="parquet", partitioning=["p"])
    assert parts.count_rows(filter=pyarrow.dataset.field("p") == 1) == 1_667
    listed = arrow.get_file_info(pyarrow.fs.FileSelector(f"{name}/parts", recursive=True))
    assert sorted(each.path for each in listed if each.is_file) == [
        f"{name}/parts/{p}/part-0.parquet" for p in range(3)
    ]
    large = bytes(range(256)) * 4096 * 23
    with arrow.open_output_stream(f"{name}/large") as out:
        for start in range(0, len(large), 5_000_000):
            out.write(large[start : start + 5_000_000])
    with arrow.open_input_file(f"{name}/large") as file:
        assert file.size() == len(large)
        assert file.read_at(100, 10_485_700) == large[10_485_700:10_485_800]
        assert file.read() == large
    arrow.copy_file(f"{name}/large", f"{name}/copied")
    arrow.move(f"{name}/copied", f"{name}/moved")
    assert arrow.get_file_info(f"{name}/copied").type == pyarrow.fs.FileType.NotFound
    arrow.delete_dir(name)
    assert arrow.get_file_info(name).type == pyarrow.fs.FileType.NotFound


@pytest.fixture
def duck(server: ServerProcess) -> Any:
    """DuckDB with its S3 reader, as PyPI has it: the extension is a file of the package."""
    [extension] = Path(duckdb_extension_httpfs.__file__).parent.glob("extensions/**/httpfs.duckdb_extension")
    connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"})
    connection.execute(f"LOAD '{extension}'")
    connection.execute("SET s3_uploader_max_filesize = '50GB'")  # from this it reckons how large parts are: 5 MiB
    connection.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{ROOT_KEY}', SECRET '{ROOT_SECRET}', REGION '{REGION}', "
        f"ENDPOINT '{server.host}', URL_STYLE 'path', USE_SSL false)"
    )
    yield connection
    connection.close()


@pytest.mark.slow
def test_duckdb(duck: Any, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="in/a.csv", Body=b"id,name\n1,ann\n2,bob\n")
    s3.put_object(Bucket=bucket, Key="in/b.csv", Body=b"id,name\n3,cy\n")
    assert duck.execute(f"SELECT name FROM read_csv('s3://{bucket}/in/*.csv') ORDER BY id").fetchall() == [
        ("ann",), ("bob",), ("cy",),
    ]  # fmt: skip
    duck.execute(
        "CREATE TABLE numbers AS SELECT range AS id, range % 7 AS p, sha256(range::VARCHAR) AS x FROM range(150_000)"
    )
    duck.execute(
        f"COPY numbers TO 's3://{bucket}/out.parquet' (FORMAT parquet, COMPRESSION uncompressed, ROW_GROUP_SIZE 20_000)"
    )
    assert s3.head_object(Bucket=bucket, Key="out.parquet")["ETag"].rstrip('"').count("-") == 1  # in parts
    same = duck.execute(f"SELECT count(*), sum(id), max(x) FROM 's3://{bucket}/out.parquet'").fetchall()
    assert same == duck.execute("SELECT count(*), sum(id), max(x) FROM numbers").fetchall()
    duck.execute(f"COPY (FROM numbers LIMIT 700) TO 's3://{bucket}/parts' (FORMAT csv, PARTITION_BY p)")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket, Prefix="parts/")["Contents"]]
    assert [key.split("/")[1] for key in keys] == [f"p={p}" for p in range(7)]
    read = f"SELECT count(*) FROM read_csv('s3://{bucket}/parts/*/*.csv', hive_partitioning = true) WHERE p = 3"
    assert duck.execute(read).fetchall() == [(100,)]
    with pytest.raises(duckdb.Error, match="404"):
        duck.execute(f"FROM read_csv('s3://{bucket}/nothing.csv')")
