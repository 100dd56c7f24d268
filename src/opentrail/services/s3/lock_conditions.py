"""The condition keys that speak of Object Lock: what the request would lock, and for how long.

Source: service authorization reference, "Actions, resources, and condition keys for Amazon S3".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

PREFIX = "s3:object-lock-"
DAY_SECONDS = 86_400.0


def value(given: Mapping[str, Any], now: float, key: str) -> tuple[str, ...] | None:
    """The value of the key (lower case) for a request's input at epoch second `now`; None when it says nothing of it."""
    name = key[len(PREFIX) :]
    if name == "legal-hold":
        status = given.get("ObjectLockLegalHoldStatus") or (given.get("LegalHold") or {}).get("Status")
        return (str(status),) if status else None
    retention = given.get("Retention") or {}
    if name == "mode":
        mode = given.get("ObjectLockMode") or retention.get("Mode")
        return (str(mode),) if mode else None
    until = given.get("ObjectLockRetainUntilDate") or retention.get("RetainUntilDate")
    if not isinstance(until, datetime):
        return None
    if name == "retain-until-date":
        return (until.isoformat().replace("+00:00", "Z"),)
    if name == "remaining-retention-days":
        return (str(math.ceil((until.timestamp() - now) / DAY_SECONDS)),)
    return None
