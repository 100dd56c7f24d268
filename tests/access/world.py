"""Callers, policies and questions that the tests of the access room share."""

from __future__ import annotations

import json
from typing import Any

from opentrail.call import Issuer, Principal, Session

HOME, AWAY = "111111111111", "222222222222"
BUCKET = "arn:aws:s3:::photos"
OBJECT = "arn:aws:s3:::photos/cat.png"
ROLE_ARN = f"arn:aws:iam::{HOME}:role/path/reader"
SESSION_ARN = f"arn:aws:sts::{HOME}:assumed-role/reader/s1"
USER_ARN = f"arn:aws:iam::{HOME}:user/alice"

ROOT = Principal("Root", HOME, f"arn:aws:iam::{HOME}:root", HOME, access_key_id="AKIAROOT")
USER = Principal("IAMUser", HOME, USER_ARN, "AIDAALICEALICEALICE00", "alice", "AKIAALICE")
STRANGER = Principal("IAMUser", AWAY, f"arn:aws:iam::{AWAY}:user/mallory", "AIDAMALLORYMALLORY000", "mallory")
STRANGE_ROOT = Principal("Root", AWAY, f"arn:aws:iam::{AWAY}:root", AWAY)
SERVICE = Principal("AWSService", "", invoked_by="cloudtrail.amazonaws.com")


def role_session(*policies: str, tags: tuple[tuple[str, str], ...] = (), account: str = HOME) -> Principal:
    issuer = Issuer("Role", "AROAREADERREADERREADER", ROLE_ARN.replace(HOME, account), account, "reader")
    session = Session(issuer, 1_790_000_000, 1_790_003_600, policies=policies, tags=tags)
    arn = SESSION_ARN.replace(HOME, account)
    return Principal("AssumedRole", account, arn, "AROAREADERREADERREADER:s1", "", "ASIAX", session)


def federated(*policies: str) -> Principal:
    issuer = Issuer("IAMUser", USER.principal_id, USER_ARN, HOME, "alice")
    session = Session(issuer, 1_790_000_000, 1_790_003_600, policies=policies)
    return Principal(
        "FederatedUser", HOME, f"arn:aws:sts::{HOME}:federated-user/bob", f"{HOME}:bob", "", "ASIAY", session
    )


def policy(*statements: dict[str, Any], version: str = "2012-10-17") -> str:
    return json.dumps({"Version": version, "Statement": list(statements)})


def allow(action: Any = "s3:*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any = "s3:*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return allow(action, resource, **more) | {"Effect": "Deny"}


def named(*arns: str) -> dict[str, Any]:
    return {"Principal": {"AWS": list(arns)}}
