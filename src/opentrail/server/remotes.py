"""Reads the file of buckets on other servers, to which this one may replicate. Knows neither rules nor the wire."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from opentrail.followers.replication_remote import Endpoint

REMOTES_MAX = 1_000
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)


class BadRemotes(ValueError):
    """The file says something nobody can mean; the text says what."""


def read_remotes(text: str) -> dict[str, Endpoint]:
    """The endpoints by the name that replication rules call their bucket; none without a file. Raises BadRemotes."""
    if not text:
        return {}
    file = Path(text).expanduser()
    try:
        document = tomllib.loads(file.read_text())
    except OSError as error:
        raise BadRemotes(f"cannot read {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRemotes(f"{file} is not TOML: {error}") from error
    if len(document) > REMOTES_MAX:
        raise BadRemotes(f"{file}: no more than {REMOTES_MAX} buckets")
    return {name: _endpoint(file, name, given) for name, given in document.items()}


def _endpoint(file: Path, name: str, given: object) -> Endpoint:
    try:
        found = msgspec.convert(given, Endpoint)
    except msgspec.ValidationError as error:
        raise BadRemotes(f"{file}: [{name}]: {error}") from error
    for each in (name, found.bucket or name):
        if not _NAME.fullmatch(each):
            raise BadRemotes(f"{file}: [{name}]: {each!r} is no name of a bucket")
    parts = urlsplit(found.endpoint)
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise BadRemotes(f"{file}: [{name}]: endpoint is {found.endpoint!r}; write https://HOST or https://HOST:PORT")
    if not found.access_key_id or not found.secret_access_key or not found.region:
        raise BadRemotes(f"{file}: [{name}]: access-key-id, secret-access-key and region must not be empty")
    return found
