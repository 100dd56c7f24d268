"""`opentrail account` against a real server: what it prints works, and every step left its record."""

from __future__ import annotations

import json
import re
import subprocess
import uuid

import pytest

from tests.clients.server_process import ACCOUNT, key_of, user_key

pytestmark = pytest.mark.slow


def exports(text: str) -> dict[str, str]:
    """What a shell that reads the output has in its environment."""
    script = f"{text}\nenv -0"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env={}, check=True)
    return dict(each.split("=", 1) for each in done.stdout.split("\0") if each)


def fresh() -> str:
    return f"{uuid.uuid4().hex[:10]}@example.com"


def create(run, *more: str, email: str = "", **options):
    return run("account", "create", "--name", "staging", "--email", email or fresh(), *more, **options)


def test_what_is_printed_is_an_administrator_of_the_new_account(run, server):
    outcome = create(run, "--account-id", "444455556666")
    assert outcome.exit_code == 0, outcome.output
    assert "account 444455556666 (staging) is made" in outcome.stderr
    found = exports(outcome.stdout)
    assert (found["AWS_ENDPOINT_URL"], found["AWS_DEFAULT_REGION"]) == (server.url, "us-east-1")
    key = (found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"])
    assert server.client("sts", key).get_caller_identity()["Arn"] == "arn:aws:iam::444455556666:user/admin"
    server.client("s3", key).create_bucket(Bucket=f"b-{uuid.uuid4().hex}")
    listed = json.loads(run("account", "list", "--json").stdout)["Accounts"]
    assert {account["Id"] for account in listed} >= {ACCOUNT, "444455556666"}
    assert "444455556666" in run("account", "list").stdout
    again = create(run, "--account-id", "444455556666")
    assert (again.exit_code, again.stdout) == (2, "")
    assert "exists already; choose another account id" in again.stderr


def test_nothing_is_left_behind_in_the_root_account_and_every_step_is_recorded(run, server):
    assert create(run).exit_code == 0
    users = [user["UserName"] for user in server.client("iam").list_users()["Users"]]
    assert not [name for name in users if name.startswith("opentrail-account-create")]
    names: set[str] = set()
    pages = server.client("cloudtrail").get_paginator("lookup_events").paginate()
    for page in pages:
        names |= {event["EventName"] for event in page["Events"]}
    assert names >= {"CreateOrganization", "CreateAccount", "AssumeRole", "CreateUser", "CreateAccessKey", "DeleteUser"}


def test_an_administrator_needs_no_passing_user(run, server):
    iam = server.client("iam")
    name = f"boss-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    iam.attach_user_policy(UserName=name, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    key = user_key(iam.create_access_key(UserName=name))
    outcome = create(run, key=key)
    assert outcome.exit_code == 0, outcome.output
    record = server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "AssumeRole"}], MaxResults=1
    )["Events"][0]
    assert record["Username"] == name


def test_a_used_email_is_told(run):
    email = fresh()
    assert create(run, email=email).exit_code == 0
    outcome = create(run, email=email.upper())
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "another account has this e-mail address" in outcome.stderr


@pytest.mark.parametrize("more", [("--account-id", "12"), ("--name", ""), ("--email", "nobody"), ("--name", "é" * 9)])
def test_what_cannot_be_is_refused(run, more):
    outcome = create(run, *more)
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "InvalidInputException" in outcome.stderr


def test_a_user_without_rights_is_told_what_to_do(run, server):
    iam = server.client("iam")
    name = f"clerk-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    outcome = create(run, key=user_key(iam.create_access_key(UserName=name)))
    assert outcome.exit_code == 2
    assert "AccessDenied" in outcome.stderr
    assert "Use a key that may do this" in outcome.stderr


def test_an_account_without_administrator_is_named(run, server):
    """A user who may make accounts but enter none."""
    iam = server.client("iam")
    name = f"half-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    allowed = {"Effect": "Allow", "Action": "organizations:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    outcome = create(run, key=user_key(iam.create_access_key(UserName=name)))
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert re.search(r"The account \d{12} is there, but has no administrator yet", outcome.stderr)
    assert "role/OrganizationAccountAccessRole" in outcome.stderr


def test_temporary_credentials_work_and_are_unset_afterwards(run, server):
    iam = server.client("iam")
    name = f"temp-{uuid.uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.create_user(UserName=name)
    iam.attach_user_policy(UserName=name, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    user = user_key(iam.create_access_key(UserName=name))
    session = key_of(server.client("sts", user).assume_role(RoleArn=role, RoleSessionName="in"))
    outcome = create(run, key=session)
    assert outcome.exit_code == 0, outcome.output
    assert "AWS_SESSION_TOKEN" not in exports(f"export AWS_SESSION_TOKEN=x\n{outcome.stdout}")


def test_a_wrong_secret_and_an_unknown_key_are_told_apart(run):
    wrong = run("account", "list", AWS_SECRET_ACCESS_KEY="wrong")
    assert wrong.exit_code == 2
    assert "export both again" in wrong.stderr
    unknown = run("account", "list", AWS_ACCESS_KEY_ID="AKIAAAAAAAAAAAAAAAAA")
    assert unknown.exit_code == 2
    assert "does not know this access key" in unknown.stderr


def test_without_key_or_server_the_next_step_is_told(run):
    assert "export AWS_ACCESS_KEY_ID" in run("account", "list", AWS_ACCESS_KEY_ID="").stderr
    nobody = run("account", "list", "--endpoint-url", "http://127.0.0.1:1")
    assert nobody.exit_code == 2
    assert "Start a server with `opentrail serve`" in nobody.stderr
    for url in ("127.0.0.1:4580", "ftp://x", "http://x:port", "http://", "http://x/path", "http://[::1"):
        outcome = run("account", "list", "--endpoint-url", url)
        assert outcome.exit_code == 2, url
        assert "Error: " in outcome.stderr, url
