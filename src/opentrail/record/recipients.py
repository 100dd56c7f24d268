"""Who gets a copy of a record, and how much of it.

The account that calls always gets one; so does the account that owns what was touched, when it is another one (S3 user
guide: the bucket owner always receives it; the older guide's condition on object permissions is not applied). Copies for
more than one account, calls of AWS services and anonymous calls carry a `sharedEventID`. An anonymous caller has no account:
only the owner gets a record, and a call on nobody's resource leaves none. Knows no JSON.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from opentrail.call import Call
from opentrail.errors import AwsError

ANONYMOUS_ACCOUNT: Final = "anonymous"
HIDDEN_OWNER: Final = "HIDDEN_DUE_TO_SECURITY_REASONS"
"""Shown to a refused caller in place of the account that owns the bucket."""
REFUSALS: Final = frozenset({"AccessDenied", "AllAccessDisabled", "AccountProblem"})
SECRETIVE: Final = frozenset({"kms"})
"""Services whose refused calls only the caller's account gets (KMS guide, "Logging AWS KMS API calls")."""
MAIL_GRANT: Final = "emailaddress"


class Recipient(msgspec.Struct, frozen=True):
    """One copy. `foreign`: the copy of an owner who is not the caller, with the reduced identity."""

    account_id: str
    foreign: bool
    shared: bool


def recipients_of(call: Call) -> tuple[Recipient, ...]:
    """The accounts that get this call's record, the caller's first."""
    principal = call.principal
    owner = call.evidence.owner_account_id
    if principal.type in ("Anonymous", "AWSService"):
        account = owner or call.account_id
        if not account or account == ANONYMOUS_ACCOUNT:
            return ()
        return (Recipient(account, foreign=False, shared=True),)
    caller = principal.account_id or call.account_id
    if not owner or owner == caller or (call.error is not None and _kept_quiet(call, call.error)):
        return (Recipient(caller, foreign=False, shared=False),)
    return (Recipient(caller, foreign=False, shared=True), Recipient(owner, foreign=True, shared=True))


def _kept_quiet(call: Call, error: AwsError) -> bool:
    return error.code == "AccessDeniedException" and call.operation.service.name in SECRETIVE


def shown_owner(call: Call, recipient: Recipient) -> str:
    """The account named beside the bucket: hidden from a foreign caller who was refused."""
    owner = call.evidence.owner_account_id
    if not owner:
        return recipient.account_id
    refused = call.error is not None and call.error.code in REFUSALS
    return HIDDEN_OWNER if refused and recipient.shared and owner != recipient.account_id else owner


def _names_mail(value: Any) -> bool:  # noqa: ANN401  (JSON of any shape)
    if isinstance(value, str):
        return MAIL_GRANT in value.lower() or "amazoncustomerbyemail" in value.lower()
    if isinstance(value, dict):
        return any(str(key).lower() == MAIL_GRANT or _names_mail(item) for key, item in value.items())
    if isinstance(value, list):
        return any(_names_mail(item) for item in value)
    return False


def _is_grant(name: str) -> bool:
    return name in ("AccessControlPolicy", "accessControlList") or name.startswith("x-amz-grant-")


def foreign_parameters(parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """requestParameters for the owner's copy: grants that name an e-mail address are left out, with what they grant."""
    if not parameters:
        return parameters
    grants = [name for name in parameters if _is_grant(name)]
    if not any(_names_mail(parameters[name]) for name in grants):
        return parameters
    return {name: value for name, value in parameters.items() if name not in grants}
