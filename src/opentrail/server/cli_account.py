"""`opentrail account`: more accounts on a running server, made through Organizations, IAM and STS like anybody would.

Every step is an ordinary call and leaves its record. The root cannot assume a role, here as on AWS; for a root caller a
user is made that may do just that, and deleted again.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from shlex import quote
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from opentrail.call import Shape
from opentrail.errors import AwsError
from opentrail.server.cli_client import CannotDo, connect, connection_options, explained
from opentrail.server.client import Client
from opentrail.wire.outgoing import Key

ACCOUNT_ID_TAG = "opentrail:account-id"
ROLE_NAME = "OrganizationAccountAccessRole"
ADMIN = "admin"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
SESSION = "opentrail-account-create"
POLICY = "assume-role"
NOT_IN_USE = "AWSOrganizationsNotInUseException"
FAILURES = {
    "EMAIL_ALREADY_EXISTS": "another account has this e-mail address; every account needs one of its own",
    "ACCOUNT_LIMIT_EXCEEDED": "the organization has as many accounts as it can have",
}


@click.group()
def account() -> None:
    """Make and list accounts of a running server.

    Uses the key in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, as the AWS CLI does.
    """


@account.command()
@click.option("--name", required=True, help="Name of the account, up to 50 characters.")
@click.option("--email", required=True, help="E-mail address, which no other account has.")
@click.option(
    "--account-id",
    metavar="DIGITS",
    help=f"Twelve digits; by default a free id is taken. Sent as the tag {ACCOUNT_ID_TAG} of CreateAccount.",
)
@connection_options
def create(name: str, email: str, account_id: str | None, endpoint_url: str | None, region: str | None) -> None:
    """Make an account with an administrator, and print how to act as that administrator.

    \b
    Examples:
      opentrail account create --name staging --email staging@example.com
      eval "$(opentrail account create --name dev --email dev@example.com --account-id 111122223333)"

    The first account made turns the caller's account into the management account of an organization, as AWS has it. The
    new account gets the role OrganizationAccountAccessRole, which the management account may assume, and the user
    `admin` with AdministratorAccess. The secret of its key is printed this once; the exports go to standard output,
    everything else to standard error.
    """
    client = connect(endpoint_url, region, os.environ)
    with explained():
        made = _create_account(client, name, email, account_id)
        click.echo(f"account {made} ({name}) is made", err=True)
        with _unfinished(made):
            key = _administrator(client, made)
    click.echo(f"user {ADMIN} may do everything in it; act as that user with these variables:", err=True)
    click.echo(_exports(client, key))


def _create_account(client: Client, name: str, email: str, account_id: str | None) -> str:
    """The new account's id."""
    try:
        client.call("organizations", "DescribeOrganization")
    except AwsError as error:
        if error.code != NOT_IN_USE:
            raise
        client.call("organizations", "CreateOrganization", {"FeatureSet": "ALL"})
    given: Shape = {"AccountName": name, "Email": email}
    if account_id is not None:
        given["Tags"] = [{"Key": ACCOUNT_ID_TAG, "Value": account_id}]
    status = client.call("organizations", "CreateAccount", given)["CreateAccountStatus"]
    if status["State"] != "SUCCEEDED":
        reason = status.get("FailureReason", status["State"])
        raise CannotDo(f"the account was not made: {FAILURES.get(reason, reason)}")
    made: str = status["AccountId"]
    return made


@contextmanager
def _unfinished(account_id: str) -> Iterator[None]:
    """Says what there is already when a later step fails."""
    try:
        yield
    except AwsError as error:
        message = f"{error.message}\nThe account {account_id} is there, but has no administrator yet: assume its role"
        raise AwsError(error.code, f"{message} {_role_arn(account_id)} to make one.", error.status) from error


def _role_arn(account_id: str) -> str:
    return f"arn:aws:iam::{account_id}:role/{ROLE_NAME}"


def _administrator(client: Client, account_id: str) -> Key:
    """Enter the account by its role, and make the administrator there."""
    caller = client.call("sts", "GetCallerIdentity")
    if caller["Arn"].endswith(":root"):
        with _passing_user(client, account_id) as user:
            entered = _assume(user, account_id)
    else:
        entered = _assume(client, account_id)
    inside = client.acting_as(entered)
    inside.call("iam", "CreateUser", {"UserName": ADMIN})
    inside.call("iam", "AttachUserPolicy", {"UserName": ADMIN, "PolicyArn": ADMINISTRATOR})
    made = inside.call("iam", "CreateAccessKey", {"UserName": ADMIN})["AccessKey"]
    inside.close()
    return Key(made["AccessKeyId"], made["SecretAccessKey"])


def _assume(client: Client, account_id: str) -> Key:
    given = {"RoleArn": _role_arn(account_id), "RoleSessionName": SESSION}
    found = client.call("sts", "AssumeRole", given)["Credentials"]
    return Key(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])


@contextmanager
def _passing_user(client: Client, account_id: str) -> Iterator[Client]:
    """A user of the root's account who may assume the new account's role, and is gone afterwards."""
    name = f"{SESSION}-{secrets.token_hex(4)}"
    client.call("iam", "CreateUser", {"UserName": name})
    try:
        statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": _role_arn(account_id)}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        client.call("iam", "PutUserPolicy", {"UserName": name, "PolicyName": POLICY, "PolicyDocument": document})
        made = client.call("iam", "CreateAccessKey", {"UserName": name})["AccessKey"]
        user = client.acting_as(Key(made["AccessKeyId"], made["SecretAccessKey"]))
        yield user
        user.close()
    finally:
        _remove_user(client, name)


def _remove_user(client: Client, name: str) -> None:
    for key in client.call("iam", "ListAccessKeys", {"UserName": name}).get("AccessKeyMetadata", ()):
        client.call("iam", "DeleteAccessKey", {"UserName": name, "AccessKeyId": key["AccessKeyId"]})
    for policy in client.call("iam", "ListUserPolicies", {"UserName": name}).get("PolicyNames", ()):
        client.call("iam", "DeleteUserPolicy", {"UserName": name, "PolicyName": policy})
    client.call("iam", "DeleteUser", {"UserName": name})


def _exports(client: Client, key: Key) -> str:
    lines = [
        f"export AWS_ACCESS_KEY_ID={quote(key.access_key_id)}",
        f"export AWS_SECRET_ACCESS_KEY={quote(key.secret)}",
        f"export AWS_ENDPOINT_URL={quote(client.endpoint)} AWS_DEFAULT_REGION={quote(client.region)}",
    ]
    if os.environ.get("AWS_SESSION_TOKEN"):
        lines.append("unset AWS_SESSION_TOKEN")
    return "\n".join(lines)


@account.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the accounts as AWS's JSON.")
@connection_options
def list_accounts(as_json: bool, endpoint_url: str | None, region: str | None) -> None:
    """List the accounts of the organization.

    \b
    Examples:
      opentrail account list
      opentrail account list --json | jq -r '.Accounts[].Id'
    """
    client = connect(endpoint_url, region, os.environ)
    with explained():
        accounts = _accounts(client)
    if as_json:
        click.echo(json.dumps({"Accounts": accounts}, default=str, indent=2))
        return
    table = Table("Account", "Name", "E-mail", "Status", "Joined", box=None, pad_edge=False)
    for each in accounts:
        joined = each.get("JoinedTimestamp")
        shown = (
            each["Id"],
            each["Name"],
            each.get("Email", ""),
            each["Status"],
            f"{joined:%Y-%m-%d}" if joined else "",
        )
        table.add_row(*shown)
    Console(markup=False, highlight=False).print(table)


def _accounts(client: Client) -> list[dict[str, Any]]:
    """Every account; the caller's alone where there is no organization."""
    accounts: list[dict[str, Any]] = []
    token = ""
    try:
        while True:
            page = client.call("organizations", "ListAccounts", {"NextToken": token} if token else {})
            accounts += page["Accounts"]
            token = page.get("NextToken", "")
            if not token:
                return accounts
    except AwsError as error:
        if error.code != NOT_IN_USE:
            raise
    click.echo("There is no organization yet: the first `opentrail account create` makes one.", err=True)
    own = client.call("sts", "GetCallerIdentity")["Account"]
    return [{"Id": own, "Name": "", "Status": "ACTIVE"}]
