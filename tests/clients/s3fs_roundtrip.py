"""s3fs against a server: run by the environment that tests/clients/environments.py makes, with a bucket's name."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import fsspec
import s3fs


def main(bucket: str) -> None:
    """Write, read, list, copy, move and delete; AssertionError for what is not as it should be."""
    files = s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"], anon=False)
    files.mkdir(bucket)
    large = bytes(range(256)) * 4096 * 12
    files.pipe({f"{bucket}/a/one.txt": b"one", f"{bucket}/a/ünï +&.txt": b"two", f"{bucket}/large": large})
    assert files.cat(f"{bucket}/a/one.txt") == b"one"
    assert files.cat(f"{bucket}/large", start=1_000_000, end=1_000_100) == large[1_000_000:1_000_100]
    with files.open(f"{bucket}/parts", "wb", block_size=5 * 1024 * 1024) as file:
        for start in range(0, len(large), 1_000_000):
            file.write(large[start : start + 1_000_000])
    with files.open(f"{bucket}/parts", "rb") as file:
        assert file.seek(5_242_870) == 5_242_870
        assert file.read(20) == large[5_242_870:5_242_890]
        assert file.seek(0) == 0
        assert file.read() == large
    assert sorted(files.find(bucket)) == sorted(
        f"{bucket}/{name}" for name in ("a/one.txt", "a/ünï +&.txt", "large", "parts")
    )
    assert sorted(files.ls(bucket)) == sorted(f"{bucket}/{name}" for name in ("a", "large", "parts"))
    assert [name.rsplit("/", 1)[1] for name in files.glob(f"{bucket}/a/o*")] == ["one.txt"]
    assert files.info(f"{bucket}/large")["size"] == len(large)
    files.copy(f"{bucket}/large", f"{bucket}/copy")
    files.mv(f"{bucket}/copy", f"{bucket}/moved")
    assert not files.exists(f"{bucket}/copy")
    with tempfile.TemporaryDirectory() as folder:
        files.get(f"{bucket}/a", folder + "/got", recursive=True)
        assert sorted(each.name for each in Path(folder, "got").iterdir()) == ["one.txt", "ünï +&.txt"]
    with fsspec.open(f"s3://{bucket}/a/one.txt", "rt", endpoint_url=os.environ["AWS_ENDPOINT_URL"]) as text:
        assert text.read() == "one"
    files.rm(bucket, recursive=True)
    assert not files.exists(bucket)


if __name__ == "__main__":
    main(sys.argv[1])
