"""The condition keys that speak of an object's tags and of its lock, looked up only when a policy asks for them.

`s3:ExistingObjectTag/KEY` (the tags the object has), `s3:RequestObjectTag/KEY` and `s3:RequestObjectTagKeys` (those the
request would give it). Source: service authorization reference, "Actions, resources, and condition keys for Amazon S3".
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl

from opentrail.call import Call
from opentrail.rows.s3 import Bucket
from opentrail.services.s3 import lock_conditions
from opentrail.services.s3.versions import find_version
from opentrail.state import Unit

EXISTING, REQUESTED, REQUESTED_KEYS = "s3:existingobjecttag/", "s3:requestobjecttag/", "s3:requestobjecttagkeys"
ACTIONS = frozenset(
    f"s3:{verb}Object{version}{what}"
    for verb in ("Get", "Put", "Delete")
    for version in ("", "Version")
    for what in ("Tagging", "Acl", "Annotation")
) | {"s3:GetObject", "s3:GetObjectVersion", "s3:ListObjectAnnotations", "s3:ListObjectVersionAnnotations"}
"""Actions on an object that exists; the others know no existing tags."""
FIELDS_MAX = 1_000
"""Pairs of a tagging header that are looked at; the handler refuses more than ten."""

Tags = Iterable[tuple[str, str]]


class ObjectKeys(dict[str, tuple[str, ...]]):
    """S3's condition keys of one request on one object: those at hand as items, the tags' on demand."""

    __slots__ = ("_action", "_bucket", "_call", "_key", "_unit", "_version_id")

    def about(self, call: Call, unit: Unit, bucket: Bucket, action: str, key: str, version_id: str) -> ObjectKeys:
        """Say which object is meant."""
        self._call, self._unit, self._bucket = call, unit, bucket
        self._action, self._key, self._version_id = action, key, version_id
        return self

    def get(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...] | None:  # type: ignore[override]
        """As of a dict."""
        if key.startswith(EXISTING):
            return _value(self._existing(), key[len(EXISTING) :])
        if key.startswith(REQUESTED):
            return _value(requested_tags(self._call), key[len(REQUESTED) :])
        if key == REQUESTED_KEYS:
            return tuple(name for name, _ in requested_tags(self._call)) or None
        if key.startswith(lock_conditions.PREFIX):
            return lock_conditions.value(self._call.input, self._unit.now, key)
        return dict.get(self, key, default)

    def _existing(self) -> Tags:
        if self._action not in ACTIONS:
            return ()
        version = find_version(self._unit, self._bucket, self._key, self._version_id)
        return () if version is None else version.tags


def _value(tags: Tags, name: str) -> tuple[str, ...] | None:
    return next(((value,) for key, value in tags if key.lower() == name), None)


def requested_tags(call: Call) -> Tags:
    """The tags a request brings, in its header or its document, as far as they can be read."""
    given = call.input.get("Tagging")
    if isinstance(given, str):
        try:
            return parse_qsl(given, keep_blank_values=True, max_num_fields=FIELDS_MAX)
        except ValueError:
            return ()
    tags = given.get("TagSet") or () if isinstance(given, dict) else ()
    return [(tag["Key"], tag["Value"]) for tag in tags if tag and "Key" in tag and "Value" in tag]
