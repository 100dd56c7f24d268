"""What never appears in a record: keys, passwords, tokens, signatures, customers' content.

AWS takes such values out at the service and shows one of a few marks in their place (real records: RDS and SSM show
`HIDDEN_DUE_TO_SECURITY_REASONS`, IAM and KMS leave the member out, CodePipeline shows `****`). Deliberate difference:
STS shows the `sessionToken` of the credentials it hands out; here it is `***`, because a record must never be enough to
act as somebody. This module knows names and shapes, not calls.
"""

from __future__ import annotations

from typing import Final, Literal

HIDDEN: Final = "HIDDEN_DUE_TO_SECURITY_REASONS"
MASKED: Final = "***"
MASKED_SETTING: Final = "****"

Mark = Literal["", "HIDDEN_DUE_TO_SECURITY_REASONS", "***", "****"]
"""What stands in place of a secret; the empty mark leaves the member out."""

OMITTING_SERVICES: Final = frozenset({"iam", "sts", "kms", "codepipeline", "cognito-identity", "sso"})
"""Services (botocore's names) that leave a secret member out instead of marking it."""

SECRET_NAMES: Final = frozenset(
    {
        "secretaccesskey",
        "sessiontoken",
        "password",
        "oldpassword",
        "newpassword",
        "masteruserpassword",
        "oauthtoken",
        "clientsecret",
        "apikeyvalue",
        "webidentitytoken",
        "samlassertion",
        "tokencode",
        "privatekey",
        "secretstring",
    }
)
"""Member names that are secret whatever the facts of an operation say (compared in lower case)."""

SECRET_QUERY: Final = frozenset(
    {
        "x-amz-credential",
        "x-amz-signature",
        "x-amz-security-token",
        "awsaccesskeyid",
        "signature",
        "authorization",
        "x-amz-mfa",
        "x-amz-server-side-encryption-customer-key",
        "x-amz-server-side-encryption-customer-key-md5",
        "x-amz-copy-source-server-side-encryption-customer-key",
        "x-amz-copy-source-server-side-encryption-customer-key-md5",
        "x-amz-server-side-encryption-context",
        "x-amz-tagging",
    }
)
"""S3: query parameters (lower case) that are left out: credentials, customers' keys and content."""
USER_METADATA: Final = "x-amz-meta-"
"""S3: prefix of user metadata, as a header, a form field or a query parameter."""


def is_secret_query(name: str) -> bool:
    """Whether S3's raw dialect leaves this query parameter or form field out."""
    lowered = name.lower()
    return lowered in SECRET_QUERY or lowered.startswith(USER_METADATA)


def is_secret_name(name: str) -> bool:
    """Whether a member of this name is a secret by its name alone."""
    return name.lower() in SECRET_NAMES


def mark_of(service: str, name: str, in_map: bool) -> Mark:
    """What stands in place of the secret member `name` of a service: CodePipeline masks settings inside a map."""
    if in_map and service == "codepipeline":
        return MASKED_SETTING
    if name.lower() == "sessiontoken":
        return MASKED
    return "" if service in OMITTING_SERVICES else HIDDEN
