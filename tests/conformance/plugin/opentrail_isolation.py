"""A pytest plugin for ceph/s3-tests: no test is another one's victim, and the report knows each test's markers.

The suite names all buckets of a run alike and empties them before and after each test, always with
BypassGovernanceRetention, which S3 refuses on buckets without object lock. One bucket that stays would then fail every
test behind it. Here each test has names of its own, each worker has accounts of its own, buckets are emptied as S3 wants
it, and what cannot be deleted even so stays until the server goes.
"""

from __future__ import annotations

import os
import secrets
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

# Workers count from gw0. Their configurations lie beside the first; the suite reads the name when its fixtures start.
# The name is kept under a name of our own: workers inherit what is set here by the process that starts them.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
os.environ["S3TEST_CONF"] = os.environ["OPENTRAIL_S3TEST_CONF"].replace("{worker}", _WORKER)

NEEDS_EMPTY_ACCOUNT = "test_list_buckets_paginated"

from s3tests import functional  # noqa: E402  (it may read the configuration when it is imported)


def _empty(client: Any, bucket: str) -> None:
    try:
        locked = bool(client.get_object_lock_configuration(Bucket=bucket))
    except ClientError:
        locked = False
    bypass = {"BypassGovernanceRetention": True} if locked else {}
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for each in page.get("Versions", []) + page.get("DeleteMarkers", []):
            client.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"], **bypass)
    client.delete_bucket(Bucket=bucket)


def _empty_leniently(client: Any, bucket: str) -> None:
    try:
        _empty(client, bucket)
    except (BotoCoreError, ClientError) as error:
        print(f"{bucket} stays: {error}")


def _remove_leniently(prefix: str, client: Any = None) -> None:
    client = client or functional.get_client()
    try:
        buckets = functional.get_buckets_list(client, prefix)
    except (BotoCoreError, ClientError) as error:
        print(f"no list of buckets: {error}")
        return
    for bucket in buckets:
        _empty_leniently(client, bucket)


functional.nuke_bucket = _empty_leniently
functional.nuke_prefixed_buckets = _remove_leniently


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Any:
    """A prefix of its own for each test, before the suite's own fixture looks for left-overs of that name."""
    if fixturedef.argname == "setup_teardown":
        functional.prefix = f"ot-{secrets.token_hex(5)}-"
    return (yield)


def _check_grants(got: list[dict[str, Any]], want: list[dict[str, Any]]) -> None:
    """The same grants in any order, which is what the suite's own says of itself; it sorts None among strings, though,
    and so ends in a TypeError where an owner comes before a group, as in S3's answers."""
    members = ("Permission", "DisplayName", "ID", "Type", "URI", "EmailAddress")

    def flat(grant: dict[str, Any]) -> tuple[str, ...]:
        return tuple(str(grant.get(member)) for member in members)

    shown = [{"Permission": each["Permission"], **each["Grantee"]} for each in got]
    assert all(each.keys() <= {*members} for each in shown)
    assert sorted(map(flat, shown)) == sorted(map(flat, want))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Write the markers of each test into the report; what wants an account without buckets goes first."""
    items.sort(key=lambda item: item.name != NEEDS_EMPTY_ACCOUNT)
    for module in {item.module for item in items if hasattr(item.module, "check_grants")}:
        module.check_grants = _check_grants
    for item in items:
        item.user_properties += [("marker", name) for name in sorted({mark.name for mark in item.iter_markers()})]
