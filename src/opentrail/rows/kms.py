"""What KMS keeps: keys with their sealed material, aliases, grants, and what is due when.

    kms.key     account region key-id            the key, its policy, its material (sealed under the server's key)
    kms.alias   account region alias-name        which key an alias stands for
    kms.grant   account region key-id grantee grant-id   a grant
    kms.grant-place   grant-id, or its token     where a grant lies
    kms.due     seconds account region key-id    when a key is to be deleted or rotated; seconds with twelve digits

Knows no permissions and no ciphertexts.
"""

from __future__ import annotations

from typing import NamedTuple

from opentrail.model.facts import partition
from opentrail.state import Row, Table, Unit

DUE_DIGITS = 12
ENABLED, DISABLED, PENDING = "Enabled", "Disabled", "PendingDeletion"
CUSTOMER, AWS = "CUSTOMER", "AWS"
AWS_ALIAS = "alias/aws/"
"""Aliases of the keys that AWS manages begin so."""


class Material(Row, frozen=True):
    """Key material of one rotation. `made_at` is epoch seconds, `kind` what made it: empty, `AUTOMATIC`, `ON_DEMAND`."""

    id: str
    sealed: bytes
    made_at: float
    kind: str = ""


class Place(NamedTuple):
    """Where a key lies."""

    account_id: str
    region: str
    key_id: str

    @property
    def arn(self) -> str:
        return f"arn:{partition(self.region)}:kms:{self.region}:{self.account_id}:key/{self.key_id}"


class Key(Row, frozen=True):
    """A KMS key. Times are epoch seconds, 0 for never."""

    account_id: str
    region: str
    key_id: str
    created_at: float
    policy: str
    materials: tuple[Material, ...]
    """Oldest first; the last one encrypts, all of them decrypt."""
    state: str = ENABLED
    description: str = ""
    manager: str = CUSTOMER
    aliases: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    delete_at: float = 0.0
    rotation_days: int = 0
    """Days between rotations; 0 while automatic rotation is off."""
    rotate_at: float = 0.0

    @property
    def place(self) -> Place:
        return Place(self.account_id, self.region, self.key_id)

    @property
    def arn(self) -> str:
        return self.place.arn


class Alias(Row, frozen=True):
    key_id: str
    created_at: float
    updated_at: float


class Grant(Row, frozen=True):
    """A grant. `subset` and `equals` are its encryption context constraints; None where there is none."""

    grant_id: str
    grantee: str
    operations: tuple[str, ...]
    token: str
    issuer: str
    """ARN of the account that made it."""
    created_at: float
    retiring: str = ""
    name: str = ""
    subset: dict[str, str] | None = None
    equals: dict[str, str] | None = None


class GrantPlace(Row, frozen=True):
    """Where a grant lies."""

    account_id: str
    region: str
    key_id: str
    grantee: str
    grant_id: str

    @property
    def parts(self) -> tuple[str, ...]:
        return self.account_id, self.region, self.key_id, self.grantee, self.grant_id


class Due(Row, frozen=True):
    """Something is due for a key; what, its row says."""


KEYS: Table[Key] = Table("kms.key", Key)
ALIASES: Table[Alias] = Table("kms.alias", Alias)
GRANTS: Table[Grant] = Table("kms.grant", Grant)
GRANT_PLACES: Table[GrantPlace] = Table("kms.grant-place", GrantPlace)
DUES: Table[Due] = Table("kms.due", Due)


def alias_arn(account_id: str, region: str, name: str) -> str:
    return f"arn:{partition(region)}:kms:{region}:{account_id}:{name}"


def put_key(unit: Unit, key: Key, old: Key | None = None) -> None:
    """Write a key, with its places among what is due moved to where they belong now."""
    before, after = set() if old is None else _dues(old), _dues(key)
    for when in before - after:
        DUES.delete(unit, when, *key.place)
    for when in after - before:
        DUES.put(unit, Due(), when, *key.place)
    KEYS.put(unit, key, *key.place)


def drop_key(unit: Unit, key: Key) -> None:
    """Remove a key, its aliases and its grants. What it encrypted nobody can read any more."""
    for when in _dues(key):
        DUES.delete(unit, when, *key.place)
    for name in key.aliases:
        ALIASES.delete(unit, key.account_id, key.region, name)
    for parts, grant in list(GRANTS.all(unit, *key.place)):
        drop_grant(unit, parts, grant)
    KEYS.delete(unit, *key.place)


def drop_grant(unit: Unit, parts: tuple[str, ...], grant: Grant) -> None:
    GRANTS.delete(unit, *parts)
    GRANT_PLACES.delete(unit, grant.grant_id)
    GRANT_PLACES.delete(unit, grant.token)


def _dues(key: Key) -> set[str]:
    return {due_part(when) for when in (key.delete_at, key.rotate_at) if when}


def due_part(when: float) -> str:
    """A moment as the first part of a key of `DUES`: sorts by time, rounded up to the second."""
    return f"{int(-(-when // 1)):0{DUE_DIGITS}d}"
