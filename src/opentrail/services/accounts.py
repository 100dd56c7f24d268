"""Accounts and their roots: how they begin, and the keys that they are given. Knows no operation and no wire."""

from __future__ import annotations

from opentrail.call import ACCOUNT_ID
from opentrail.errors import AwsError
from opentrail.rows.iam import (
    ACCESS_KEYS,
    ACCOUNTS,
    KEY_SEALED_FOR,
    USER_KEYS,
    AccessKey,
    Account,
    KeyOfUser,
    account_of_email,
    keys_of,
    new_key_id,
    new_secret,
    put_account,
)
from opentrail.settings import Settings
from opentrail.state import Unit


def create_account(unit: Unit, account_id: str, name: str, email: str) -> Account:
    """A new account, without keys. Raises AwsError ValidationError 400 or EntityAlreadyExists 409."""
    if not ACCOUNT_ID.fullmatch(account_id):
        raise AwsError("ValidationError", "An account id has twelve digits.", 400)
    if ACCOUNTS.get(unit, account_id) is not None:
        raise AwsError("EntityAlreadyExists", f"Account {account_id} already exists.", 409)
    if email and account_of_email(unit, email) is not None:
        raise AwsError("EntityAlreadyExists", f"An account with the email {email} already exists.", 409)
    account = Account(account_id, name, email, unit.now)
    put_account(unit, account)
    return account


def create_key(unit: Unit, account_id: str, user_name: str = "", key_id: str = "", secret: str = "") -> tuple[str, str]:
    """A new long-term key of a user, or of the root; (id, secret), generated unless given."""
    clock = unit.house.clock
    while not key_id or (not secret and ACCESS_KEYS.get(unit, key_id) is not None):
        key_id = new_key_id(clock, "AKIA", account_id)
    secret = secret or new_secret(clock)
    sealed = unit.house.seal.seal(secret.encode(), KEY_SEALED_FOR)
    ACCESS_KEYS.put(unit, AccessKey(account_id, user_name, sealed, unit.now), key_id)
    USER_KEYS.put(unit, KeyOfUser(unit.now), account_id, user_name.lower(), key_id)
    return key_id, secret


def ensure_root(unit: Unit, settings: Settings) -> tuple[str, str, bool]:
    """The root's key of the server's own account: (id, secret, whether it is new). The settings' key wins.

    Raises AwsError EntityAlreadyExists if the key id that the settings name belongs to somebody else.
    """
    account_id = settings.account_id
    if ACCOUNTS.get(unit, account_id) is None:
        create_account(unit, account_id, "root", "")
    wanted = settings.root_access_key_id
    if not wanted:
        for key_id, own in root_keys(unit, account_id):
            return key_id, unit.house.seal.open(own.secret, KEY_SEALED_FOR).decode(), False
        return (*create_key(unit, account_id, secret=settings.root_secret_access_key), True)
    key = ACCESS_KEYS.get(unit, wanted)
    if key is None:
        return (*create_key(unit, account_id, "", wanted, settings.root_secret_access_key), True)
    if key.user_name or key.account_id != account_id:
        raise AwsError("EntityAlreadyExists", f"Access key {wanted} belongs to somebody else.", 409)
    secret = unit.house.seal.open(key.secret, KEY_SEALED_FOR).decode()
    if settings.root_secret_access_key not in ("", secret):
        secret = create_key(unit, account_id, "", wanted, settings.root_secret_access_key)[1]
    return wanted, secret, False


def root_keys(unit: Unit, account_id: str) -> list[tuple[str, AccessKey]]:
    """(id, row) of the active keys of an account's root, by id."""
    return [(key_id, key) for key_id, key in keys_of(unit, account_id, "") if key.active]
