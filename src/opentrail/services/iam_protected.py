"""Roles that belong to a service: made and deleted through it, otherwise left alone."""

from __future__ import annotations

from opentrail.errors import AwsError
from opentrail.rows.iam import Group, Role, User

SERVICE_PATH = "/aws-service-role/"


def refuse_protected(row: User | Group | Role) -> None:
    """UnmodifiableEntity for a service-linked role."""
    if isinstance(row, Role) and row.path.startswith(SERVICE_PATH):
        message = (
            f"Cannot perform the operation on the protected role '{row.name}' - this role is only modifiable by AWS"
        )
        raise AwsError("UnmodifiableEntity", message, 400)
