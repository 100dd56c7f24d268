"""OpenTrail as the benchmark runs it: the ordinary command, an ordinary user with an ordinary policy, a disk.

The caller is an IAM user whose identity policy allows S3, so that every call is authorised for real.
"""

from __future__ import annotations

import json
import secrets
import string
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.clients import Key, client
from bench.processes import LOOPBACK, CannotRun, Processes, free_port

ACCOUNT = "000000000000"
USER_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": ["arn:aws:s3:::bench", "arn:aws:s3:::bench/*"]}],
}


@dataclass(frozen=True, slots=True)
class OpenTrail:
    """A server that runs. `s3` is the user's boto3 client, `key` the root user's."""

    name: str
    url: str
    s3: Any
    pid: int
    key: Key
    options: tuple[str, ...] = ()

    def client(self, service: str) -> Any:
        """A client of the root user."""
        return client(service, self.url, self.key)


def start_opentrail(processes: Processes, name: str = "opentrail", options: Sequence[str] = ()) -> OpenTrail:
    """A server on a fresh data directory, with its user."""
    port, key = free_port(), new_key()
    pid = start_again(processes, name, options, port, key)
    url = f"http://{LOOPBACK}:{port}"
    return OpenTrail(name, url, client("s3", url, _user(url, key)), pid, key, tuple(options))


def restart_opentrail(processes: Processes, server: OpenTrail) -> OpenTrail:
    """The same server again after `processes.stop`: its data, its user, another port."""
    port = free_port()
    pid, url = start_again(processes, server.name, server.options, port, server.key), f"http://{LOOPBACK}:{port}"
    credentials = server.s3._request_signer._credentials
    return replace(server, url=url, pid=pid, s3=client("s3", url, (credentials.access_key, credentials.secret_key)))


def start_again(processes: Processes, name: str, options: Sequence[str], port: int, key: Key) -> int:
    """A server on the data directory that is there, or on a fresh one; its process id."""
    program = Path(sys.executable).with_name("opentrail")
    if not program.exists():
        raise CannotRun("opentrail is not installed beside this Python; `make bench` sets it up")
    command = [str(program), "serve", "--data-dir", str(processes.directory / name), "--host", LOOPBACK]
    root = {"OPENTRAIL_ROOT_ACCESS_KEY_ID": key[0], "OPENTRAIL_ROOT_SECRET_ACCESS_KEY": key[1]}
    return processes.start(name, [*command, "--port", str(port), *options], port, root)


def new_key() -> Key:
    """An access key as AWS writes them."""
    letters = string.ascii_uppercase + "234567"
    return "AKIA" + "".join(secrets.choice(letters) for _ in range(16)), secrets.token_urlsafe(30)


def _user(url: str, root: Key) -> Key:
    iam = client("iam", url, root)
    iam.create_user(UserName="bench")
    iam.put_user_policy(UserName="bench", PolicyName="s3", PolicyDocument=json.dumps(USER_POLICY))
    made = iam.create_access_key(UserName="bench")["AccessKey"]
    return made["AccessKeyId"], made["SecretAccessKey"]
