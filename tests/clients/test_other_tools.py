"""s3cmd, in an environment of its own, and rclone, where it is installed, with the configuration that the README shows."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.environments import python_clients
from tests.clients.server_process import ROOT_KEY, ROOT_SECRET, ServerProcess
from tests.clients.waiting import COMMAND_SECONDS_MAX

Run = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Some files: with spaces, beyond ASCII, empty, large enough for several parts."""
    made = tmp_path / "from"
    (made / "sub folder").mkdir(parents=True)
    (made / "a.txt").write_bytes(b"text")
    (made / "empty").write_bytes(b"")
    (made / "sub folder" / "ünï+code&.txt").write_bytes(b"odd name")
    (made / "large").write_bytes(bytes(range(256)) * 4 * 1024 * 17)
    return made


def tree(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def s3cmd_config(server: ServerProcess, *, old_signature: bool) -> str:
    return "\n".join(
        [
            "[default]",
            f"access_key = {ROOT_KEY}",
            f"secret_key = {ROOT_SECRET}",
            f"host_base = 127.0.0.1:{server.port}",
            f"host_bucket = 127.0.0.1:{server.port}",
            "use_https = False",
            f"signature_v2 = {old_signature}",
            "bucket_location = us-east-1",
            "acl_public = False",  # else its cp and mv set an ACL, which new buckets do not allow
        ]
    )


@pytest.fixture(params=["SigV4", "SigV2"])
def s3cmd(server: ServerProcess, tmp_path: Path, request: pytest.FixtureRequest) -> Run:
    programs = python_clients()
    config = tmp_path / "s3cfg"
    config.write_text(s3cmd_config(server, old_signature=request.param == "SigV2"))
    return lambda *arguments: run(
        [str(programs / "python"), str(programs / "s3cmd"), "-c", str(config), "--no-progress", *arguments],
        server.environment(),
    )


def test_s3cmd(s3cmd: Run, folder: Path, tmp_path: Path, name: str) -> None:
    bucket = f"s3://{name}"
    s3cmd("mb", bucket)
    s3cmd("put", str(folder / "a.txt"), f"{bucket}/one file.txt")
    assert f"{bucket}/one file.txt" in s3cmd("ls", bucket)
    s3cmd("get", f"{bucket}/one file.txt", str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == b"text"
    s3cmd("sync", f"{folder}/", f"{bucket}/all/")
    back = tmp_path / "back"
    back.mkdir()
    s3cmd("sync", f"{bucket}/all/", f"{back}/")
    assert tree(back) == tree(folder)
    s3cmd("cp", f"{bucket}/all/a.txt", f"{bucket}/copied.txt")
    s3cmd("mv", f"{bucket}/copied.txt", f"{bucket}/moved.txt")
    assert "text/plain" in s3cmd("info", f"{bucket}/moved.txt")
    s3cmd("del", f"{bucket}/moved.txt")
    s3cmd("del", "--recursive", "--force", bucket)
    assert s3cmd("ls", bucket) == ""
    s3cmd("rb", bucket)
    assert bucket not in s3cmd("ls")


RCLONE_CONFIG = {
    "RCLONE_CONFIG_TRAIL_TYPE": "s3",
    "RCLONE_CONFIG_TRAIL_PROVIDER": "Other",
    "RCLONE_CONFIG_TRAIL_ENV_AUTH": "true",
    "RCLONE_CONFIG_TRAIL_REGION": "us-east-1",
}


@pytest.fixture
def rclone(server: ServerProcess, tmp_path: Path) -> Run:
    program = shutil.which("rclone")
    if program is None:
        pytest.skip("rclone is not installed")
    own = {**RCLONE_CONFIG, "RCLONE_CONFIG_TRAIL_ENDPOINT": server.url, "RCLONE_CONFIG": str(tmp_path / "none.conf")}
    return lambda *arguments: run([program, "--retries", "1", *arguments], server.environment(**own))


def test_rclone(rclone: Run, folder: Path, tmp_path: Path, name: str) -> None:
    bucket = f"trail:{name}"
    rclone("mkdir", bucket)
    rclone("copyto", str(folder / "a.txt"), f"{bucket}/one file.txt")
    assert rclone("cat", f"{bucket}/one file.txt") == "text"
    rclone("sync", "--s3-upload-cutoff", "8M", "--s3-chunk-size", "6M", str(folder), f"{bucket}/all")
    listed = rclone("lsf", "--recursive", "--files-only", f"{bucket}/all").splitlines()
    assert sorted(listed) == sorted(tree(folder))
    rclone("check", "--download", str(folder), f"{bucket}/all")
    rclone("check", str(folder), f"{bucket}/all")
    back = tmp_path / "back"
    rclone("sync", f"{bucket}/all", str(back))
    assert tree(back) == tree(folder)
    (back / "a.txt").unlink()
    rclone("sync", str(back), f"{bucket}/all")
    assert "a.txt" not in rclone("lsf", f"{bucket}/all")
    rclone("moveto", f"{bucket}/one file.txt", f"{bucket}/moved.txt")
    rclone("deletefile", f"{bucket}/moved.txt")
    rclone("purge", bucket)
    assert name not in rclone("lsd", "trail:")
