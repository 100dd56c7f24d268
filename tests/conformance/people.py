"""The users that ceph/s3-tests wants, made through the API of a running server, and its configuration file."""

from __future__ import annotations

import configparser
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.server_process import REGION, ROOT_KEY, ROOT_SECRET, ServerProcess, key_of, user_key

ROLE = "OrganizationAccountAccessRole"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
ENTERING = "conformance"
LOCATION = "us-west-2"
"""Where a test asks for a bucket: AWS takes any region there but us-east-1, which has no name in CreateBucket."""
MEMBERS = {"s3 main": "main", "s3 alt": "alt", "s3 tenant": "tenant", "iam alt root": "other"}
"""Sections of the configuration and the account of each. Members' roots cannot have keys; administrators stand in."""
ROOT_SECTIONS = ("iam", "iam root")
"""The server's own root plays these."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who calls: a key, and what ACLs call the account."""

    key: tuple[str, str]
    account: str
    canonical_id: str
    name: str
    email: str


def make_people(server: ServerProcess, workers: int) -> list[dict[str, Person]]:
    """For each worker: an account with an administrator for each section, by section; the root for the rest."""
    server.client("organizations").create_organization(FeatureSet="ALL")
    doorkeeper = _doorkeeper(server)
    return [_people(server, doorkeeper, number) for number in range(workers)]


def _people(server: ServerProcess, doorkeeper: tuple[str, str], number: int) -> dict[str, Person]:
    root = (ROOT_KEY, ROOT_SECRET)
    people = {section: _member(server, doorkeeper, f"{name}{number}") for section, name in MEMBERS.items()}
    account = server.options["account-id"]
    organization = server.client("organizations").describe_organization()["Organization"]
    email = organization.get("MasterAccountEmail", "")
    people |= {each: Person(root, account, _canonical_id(server, root), "root", email) for each in ROOT_SECTIONS}
    return people


def _doorkeeper(server: ServerProcess) -> tuple[str, str]:
    """A user who may assume the roles of the new accounts; roots may not."""
    iam = server.client("iam")
    iam.create_user(UserName=ENTERING)
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=ENTERING, PolicyName=ENTERING, PolicyDocument=document)
    return user_key(iam.create_access_key(UserName=ENTERING))


def _member(server: ServerProcess, doorkeeper: tuple[str, str], name: str) -> Person:
    email = f"{name}@example.com"
    made = server.client("organizations").create_account(AccountName=name, Email=email)["CreateAccountStatus"]
    account: str = made["AccountId"]
    role = f"arn:aws:iam::{account}:role/{ROLE}"
    entered = key_of(server.client("sts", doorkeeper).assume_role(RoleArn=role, RoleSessionName=ENTERING))
    inside: Any = server.client("iam", entered)
    inside.create_user(UserName=name)
    inside.attach_user_policy(UserName=name, PolicyArn=ADMINISTRATOR)
    key = user_key(inside.create_access_key(UserName=name))
    return Person(key, account, _canonical_id(server, key), name, email)


def _canonical_id(server: ServerProcess, key: tuple[str, str]) -> str:
    owner: str = server.client("s3", key).list_buckets()["Owner"]["ID"]
    return owner


def _new_key(server: ServerProcess, person: Person) -> str:
    """The ARN of a key of the person's account, as S3's answers name it."""
    made: str = server.client("kms", person.key).create_key()["KeyMetadata"]["Arn"]
    return made


def write_configuration(path: Path, server: ServerProcess, people: dict[str, Person], day_seconds: int) -> None:
    """The suite's configuration. No storage classes are named: that would double the tests and change none."""
    made = configparser.RawConfigParser()
    host, port = server.host.rsplit(":", 1)
    made["DEFAULT"] = {"host": host, "port": port, "is_secure": "False", "ssl_verify": "False"}
    made["fixtures"] = {"bucket prefix": "conformance-{random}-", "iam name prefix": "s3-tests-"}
    for section, person in people.items():
        made[section] = {
            "display_name": person.name,
            "user_id": person.canonical_id,
            "email": person.email,
            "access_key": person.key[0],
            "secret_key": person.key[1],
            "tenant": person.account,
        }
    main = people["s3 main"]
    made["s3 main"].update({"kms_keyid": _new_key(server, main), "kms_keyid2": _new_key(server, main)})
    made["s3 main"].update({"api_name": LOCATION, "lc_debug_interval": str(day_seconds)})
    with path.open("w") as file:
        made.write(file)


def environment(server: ServerProcess, configuration: Path) -> dict[str, str]:
    """What the suite's process sees: nothing of the caller's own AWS configuration. The plugin puts each worker's name
    into the path of its configuration."""
    own = server.environment(OPENTRAIL_S3TEST_CONF=str(configuration), AWS_DEFAULT_REGION=REGION)
    # The suite names its endpoint and its keys itself; some of its clients must go without any.
    return {name: value for name, value in own.items() if not name.startswith("AWS_") or name in _KEPT}


_KEPT = frozenset({"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED", "AWS_DEFAULT_REGION"})
