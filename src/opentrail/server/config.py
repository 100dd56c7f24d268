"""Where settings come from: built-in default, then the TOML file, then `OPENTRAIL_…` variables, then the command line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

from opentrail.call import ACCOUNT_ID
from opentrail.followers.post import Gatekeeper
from opentrail.server.endpoints import BadEndpoints, read_endpoints
from opentrail.server.remotes import BadRemotes, read_remotes
from opentrail.settings import Settings, setting_fields

PREFIX = "OPENTRAIL_"
HISTORY_DAYS_MIN, HISTORY_DAYS_MAX = 90, 36_500
"""What LookupEvents promises at the least, and a century."""
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)(ms|s|m|h|d)?", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_NUMBER = re.compile(r"[0-9]{1,9}")
EVENT_NAMES = ("recorded", "documented")
_ON, _OFF = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


class BadSetting(Exception):
    """A setting nobody can mean; the text says what to write instead."""


def flag(name: str) -> str:
    """The option of a setting."""
    return f"--{name.replace('_', '-')}"


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def resolve(options: Mapping[str, Any], environment: Mapping[str, str], file: Path | None) -> Settings:
    """The settings in force. `options` are those given on the command line. Raises BadSetting."""
    written = _read_file(file) if file is not None else {}
    values: dict[str, Any] = {}
    for name, default, _ in setting_fields():
        given = options.get(name)
        if given is None:
            given = environment.get(variable(name), written.get(name, default))
        values[name] = convert(name, given, default)
    return _checked(Settings(**values))


def _read_file(file: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(file.read_text())
    except OSError as error:
        raise BadSetting(f"cannot read {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"{file} is not TOML: {error}") from error
    known = {name for name, _, _ in setting_fields()}
    written = {key.replace("-", "_"): value for key, value in document.items()}
    unknown = sorted(set(written) - known)
    if unknown:
        raise BadSetting(f"{file}: no such setting: {', '.join(unknown)}; see opentrail serve --help")
    return written


def convert(name: str, given: Any, default: Any) -> Any:  # noqa: ANN401  (settings are of several types)
    """The value in the type of the setting's default. Raises BadSetting."""
    if isinstance(given, (dict, list)):
        raise BadSetting(f"{name} is {given!r}; write one value")
    if isinstance(default, bool):
        return _switch(name, str(given).lower())
    if isinstance(default, float):
        return given if isinstance(given, float) else duration(name, str(given))
    if isinstance(default, int):
        if not _NUMBER.fullmatch(str(given)):
            raise BadSetting(f"{name} is {given!r}; write a whole number")
        return int(given)
    if isinstance(default, Path):
        return _path(name, str(given))
    return str(given)


def _switch(name: str, text: str) -> bool:
    """A word nobody means must not quietly be a no: what it switches may be the recording."""
    if text not in _ON and text not in _OFF:
        raise BadSetting(f"{name} is {text!r}; write true or false")
    return text in _ON


def _path(name: str, text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise BadSetting(f"{name} is {text!r}; there is no such home directory") from error


def duration(name: str, text: str) -> float:
    """`90`, `30s`, `5m`, `1h` in seconds."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise BadSetting(f"{name} is {text!r}; write a duration such as 30s, 5m or 1h")
    return float(match[1]) * _SECONDS[match[2]]


def _checked(settings: Settings) -> Settings:
    if not ACCOUNT_ID.fullmatch(settings.account_id):
        raise BadSetting(f"account_id is {settings.account_id!r}; write twelve digits")
    if settings.port > 65535:
        raise BadSetting(f"port is {settings.port}; write a number up to 65535, or 0 for a free one")
    if settings.event_names not in EVENT_NAMES:
        raise BadSetting(f"event_names is {settings.event_names!r}; write {' or '.join(EVENT_NAMES)}")
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        raise BadSetting("tls_certificate and tls_key go together; give both or neither")
    try:
        Gatekeeper(settings.post_to)
    except ValueError as error:
        raise BadSetting(f"post_to is {settings.post_to!r}; write networks such as 10.0.0.0/8,192.0.2.7/32") from error
    try:
        read_remotes(settings.replication_endpoints)
    except BadRemotes as error:
        raise BadSetting(f"replication_endpoints: {error}") from error
    try:
        read_endpoints(settings)
    except BadEndpoints as error:
        raise BadSetting(str(error)) from error
    intervals = (settings.delivery_interval, settings.digest_interval, settings.access_log_interval)
    if not all(0.1 <= each < inf for each in intervals):
        raise BadSetting("delivery_interval, digest_interval and access_log_interval must be at least 100ms")
    if not HISTORY_DAYS_MIN <= settings.history_days <= HISTORY_DAYS_MAX:
        raise BadSetting(f"history_days must be {HISTORY_DAYS_MIN} to {HISTORY_DAYS_MAX}")
    if not 0.1 <= settings.lifecycle_day < inf:
        raise BadSetting("lifecycle_day must be at least 100ms")
    if bool(settings.root_access_key_id) != bool(settings.root_secret_access_key):
        raise BadSetting("root_access_key_id and root_secret_access_key go together; give both or neither")
    return settings
