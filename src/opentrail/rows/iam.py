"""Accounts and identities as rows: what IAM's operations write, and what the gate reads on every call.

A user, group or role holds its inline policies and the ARNs of its managed ones, so that finding out what an identity
may do reads few rows. Names are unique without regard to case and keyed that way. Knows nothing of operations.
"""

from __future__ import annotations

from opentrail.access.acl import canonical_id
from opentrail.access.document import Policy
from opentrail.access.policy import named_arns
from opentrail.ports import Clock
from opentrail.state import Row, Table, Unit

ID_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
ID_LENGTH = 17
"""Characters behind the four letters of a unique id."""
SECRET_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
SECRET_LENGTH = 40
KEY_DIGITS = 16
"""Characters behind AKIA and ASIA. The first nine hold the account, as in AWS's own keys."""
ACCOUNT_BITS = 40
KEY_SEALED_FOR = "access-key"
"""Purpose that secrets of access keys are sealed for."""
AWS_POLICY_PREFIX = "arn:aws:iam::aws:policy/"

Pairs = tuple[tuple[str, str], ...]


class Account(Row, frozen=True):
    """An account. Keyed by its id. `alias` is empty or the account's one alias."""

    account_id: str
    name: str
    email: str
    created_at: float
    alias: str = ""


class AccountName(Row, frozen=True):
    """Points from a canonical id, an e-mail address (lower case) or an alias to the account."""

    account_id: str


class AccessKey(Row, frozen=True):
    """A long-term key. Keyed by its id. `user_name` empty: the root's."""

    account_id: str
    user_name: str
    secret: bytes
    """Sealed for KEY_SEALED_FOR."""
    created_at: float
    active: bool = True


class KeyOfUser(Row, frozen=True):
    """Marks that a key belongs to a user. Keyed by account, user (lower case, empty for root) and key id."""

    created_at: float


class User(Row, frozen=True):
    """Keyed by account and name (lower case)."""

    id: str
    account_id: str
    name: str
    path: str
    created_at: float
    boundary: str = ""
    """ARN of the managed policy."""
    inline: Pairs = ()
    """(name, document), sorted by name."""
    attached: tuple[str, ...] = ()
    """ARNs of managed policies, sorted."""
    groups: tuple[str, ...] = ()
    """Names of its groups, sorted."""
    tags: Pairs = ()

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account_id}:user{self.path}{self.name}"


class Group(Row, frozen=True):
    """Keyed by account and name (lower case)."""

    id: str
    account_id: str
    name: str
    path: str
    created_at: float
    inline: Pairs = ()
    attached: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    """Names of its users, sorted."""

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account_id}:group{self.path}{self.name}"


class Role(Row, frozen=True):
    """Keyed by account and name (lower case)."""

    id: str
    account_id: str
    name: str
    path: str
    created_at: float
    trust: str
    description: str = ""
    max_session: int = 3600
    """Seconds."""
    boundary: str = ""
    inline: Pairs = ()
    attached: tuple[str, ...] = ()
    tags: Pairs = ()

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account_id}:role{self.path}{self.name}"


class ManagedPolicy(Row, frozen=True):
    """A customer's managed policy. Keyed by account and name (lower case); `document` is that of the default version."""

    id: str
    account_id: str
    name: str
    path: str
    created_at: float
    updated_at: float
    document: str
    default: int = 1
    newest: int = 1
    """Number of the version made last; numbers are never used again."""
    description: str = ""
    tags: Pairs = ()
    attachments: int = 0
    boundary_uses: int = 0

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account_id}:policy{self.path}{self.name}"


class PolicyVersion(Row, frozen=True):
    """Keyed by account, policy name (lower case) and number (four digits)."""

    number: int
    document: str
    created_at: float


class InstanceProfile(Row, frozen=True):
    """Keyed by account and name (lower case). `role` is empty or the name of its one role."""

    id: str
    account_id: str
    name: str
    path: str
    created_at: float
    role: str = ""
    tags: Pairs = ()

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account_id}:instance-profile{self.path}{self.name}"


AMAZON_ACCOUNT = "000000000001"
"""Owns what at AWS belongs to Amazon (`services.s3.policy_templates`); no account can be made with this id."""

ACCOUNTS = Table("iam-account", Account)
CANONICAL_IDS = Table("iam-canonical-id", AccountName)
EMAILS = Table("iam-email", AccountName)
ALIASES = Table("iam-alias", AccountName)
ACCESS_KEYS = Table("iam-access-key", AccessKey)
USER_KEYS = Table("iam-key-of-user", KeyOfUser)
USERS = Table("iam-user", User)
GROUPS = Table("iam-group", Group)
ROLES = Table("iam-role", Role)
POLICIES = Table("iam-policy", ManagedPolicy)
POLICY_VERSIONS = Table("iam-policy-version", PolicyVersion)
INSTANCE_PROFILES = Table("iam-instance-profile", InstanceProfile)


def account_of_canonical_id(unit: Unit, canonical: str) -> Account | None:
    """The account whose canonical user id this is."""
    found = CANONICAL_IDS.get(unit, canonical)
    return None if found is None else ACCOUNTS.get(unit, found.account_id)


def account_of_email(unit: Unit, email: str) -> Account | None:
    """The account registered under an e-mail address."""
    found = EMAILS.get(unit, email.lower())
    return None if found is None else ACCOUNTS.get(unit, found.account_id)


def keys_of(unit: Unit, account_id: str, user_name: str) -> list[tuple[str, AccessKey]]:
    """(id, row) of the access keys of a user (of the root when the name is empty)."""
    found = []
    for parts, _mark in USER_KEYS.all(unit, account_id, user_name.lower()):
        key = ACCESS_KEYS.get(unit, parts[-1])
        if key is not None:
            found.append((parts[-1], key))
    return found


def find_arn(unit: Unit, arn: str) -> User | Role | None:
    """The user or role with this very ARN."""
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[2] != "iam":
        return None
    kind, _, rest = parts[5].partition("/")
    name = rest.rpartition("/")[2].lower()
    row: User | Role | None = None
    if kind == "user":
        row = USERS.get(unit, parts[4], name)
    elif kind == "role":
        row = ROLES.get(unit, parts[4], name)
    return row if row is not None and row.arn == arn else None


def missing_principal(unit: Unit, policy: Policy) -> str:
    """The first user or role ARN that a policy names and that does not exist; empty if there is none.

    Only accounts that live here are looked into: what another system's accounts hold, nobody here can know.
    """
    for arn in sorted(named_arns(policy)):
        parts = arn.split(":", 5)
        known = len(parts) == 6 and parts[2] == "iam" and ACCOUNTS.get(unit, parts[4]) is not None
        if known and find_arn(unit, arn) is None:
            return arn
    return ""


def put_account(unit: Unit, account: Account) -> None:
    """Write an account with the names that lead to it."""
    name = AccountName(account.account_id)
    ACCOUNTS.put(unit, account, account.account_id)
    CANONICAL_IDS.put(unit, name, canonical_id(account.account_id))
    if account.email:
        EMAILS.put(unit, name, account.email.lower())


def unique_id(clock: Clock, kind: str) -> str:
    """A unique id: AIDA (user), AGPA (group), AROA (role), ANPA (policy), AIPA (instance profile)."""
    return kind + clock.token(ID_LENGTH, ID_ALPHABET)


def new_secret(clock: Clock) -> str:
    return clock.token(SECRET_LENGTH, SECRET_ALPHABET)


def new_key_id(clock: Clock, kind: str, account_id: str) -> str:
    """AKIA or ASIA and sixteen characters, of which the first nine tell the account (`account_of_key_id`)."""
    random = clock.token(KEY_DIGITS, ID_ALPHABET)
    number = (1 << ACCOUNT_BITS) | int(account_id)
    head = number << 4 | ID_ALPHABET.index(random[0]) >> 1
    digits = [ID_ALPHABET[head >> shift & 31] for shift in range(40, -1, -5)]
    return kind + "".join(digits) + random[len(digits) :]


def account_of_key_id(key_id: str) -> str:
    """The account that a key id tells, twelve digits; empty if the text is no key id."""
    digits = [ID_ALPHABET.find(letter) for letter in key_id[4:13]]
    if len(key_id) != 4 + KEY_DIGITS or min(digits, default=-1) < 0:
        return ""
    number = 0
    for digit in digits:
        number = number << 5 | digit
    account = number >> 4 & ((1 << ACCOUNT_BITS) - 1)
    return f"{account:012d}" if account < 10**12 else ""
