"""Which account belonged to which organization: told by the records of Organizations' own operations.

The checker's own judge of membership, as `verify_trails` is of trails. Knows no trails and reads no rows. Source:
Organizations API reference, for where each operation tells whom it concerns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ORGANIZATIONS = "organizations.amazonaws.com"
CLOUDTRAIL = "cloudtrail.amazonaws.com"
CHANGES = (
    "CreateOrganization",
    "CreateAccount",
    "AcceptHandshake",
    "LeaveOrganization",
    "RemoveAccountFromOrganization",
    "DeleteOrganization",
    "DisableAWSServiceAccess",
)
"""Operations after which an account belongs elsewhere, or CloudTrail may act no more for an organization."""


class Members:
    """All organizations, replayed record by record, in the ledger's order."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}

    def organization_of(self, account: str) -> str:
        """The id of the organization that the account belongs to by now; empty if to none."""
        return self._of.get(account, "")

    def change(self, name: str, account: str, given: Mapping[str, Any], made: Mapping[str, Any]) -> str:
        """Take over what a successful operation (one of CHANGES) by `account` did. The organization that has no
        organization trails from here on, if it ended that; else empty."""
        own = self.organization_of(account)
        if name == "CreateOrganization":
            self._join(account, _text(made, "organization", "id"))
        elif name == "CreateAccount":
            self._join(_text(made, "createAccountStatus", "accountId"), own)
        elif name == "AcceptHandshake":  # its parties are hidden; the ARN is …:handshake/ORGANIZATION/invite/ID
            _, _, rest = _text(made, "handshake", "arn").partition(":handshake/")
            self._join(account, rest.partition("/")[0])
        elif name == "RemoveAccountFromOrganization":
            self._of.pop(_text(given, "accountId"), None)
        elif name in ("LeaveOrganization", "DeleteOrganization"):
            self._of.pop(account, None)
        ends = name == "DeleteOrganization" or _text(given, "servicePrincipal") == CLOUDTRAIL
        return own if ends else ""

    def _join(self, account: str, organization: str) -> None:
        if account and organization:  # a request for an account may have failed
            self._of[account] = organization


def _text(value: Any, *path: str) -> str:  # noqa: ANN401  (what JSON holds)
    """The text that lies there in nested objects; empty if there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""
