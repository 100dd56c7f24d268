"""A server with an organization: a management account with an admin, members, and a trail that logs everything for all of
them; also some VPC endpoints. Nothing in it is anybody else's, so tests may look at whole accounts."""

from __future__ import annotations

import gzip
import json
import socket
import uuid
from pathlib import Path
from typing import Any

from tests.clients.server_process import ACCOUNT, REGION, ServerProcess, key_of, user_key
from tests.clients.waiting import until

CLOUDTRAIL = "cloudtrail.amazonaws.com"
NAME = "all-accounts"
ARN = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/{NAME}"
BUCKET = "company-logs"
OTHER = "444455556666"
"""A member that is there from the start."""
OPEN, NARROW, BOUND = "vpce-0aaaaaaaaaaaaaaaa", "vpce-0bbbbbbbbbbbbbbbb", "vpce-0cccccccccccccccc"
"""VPC endpoints: one without a policy, one for reads only, one with a listener of its own."""
HEADER = "x-forwarded-vpce"
Record = dict[str, Any]
READS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}],
}
EVERYTHING = [
    [{"Field": "eventCategory", "Equals": ["Management"]}],
    [{"Field": "eventCategory", "Equals": ["Data"]}, {"Field": "resources.type", "Equals": ["AWS::S3::Object"]}],
    [
        {"Field": "eventCategory", "Equals": ["NetworkActivity"]},
        {"Field": "eventSource", "Equals": ["s3.amazonaws.com"]},
        {"Field": "errorCode", "Equals": ["VpceAccessDenied"]},
    ],
]


def bucket_policy(*folders: str) -> str:
    """The documented policy of an organization trail's bucket."""
    service = {"Service": CLOUDTRAIL}
    arns = [ARN, ARN.replace(NAME, "by-delegate")]
    condition = {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control", "aws:SourceArn": arns}}
    write = [f"arn:aws:s3:::{BUCKET}/AWSLogs/{folder}/*" for folder in folders]
    look = {"Effect": "Allow", "Principal": service, "Action": "s3:GetBucketAcl", "Resource": f"arn:aws:s3:::{BUCKET}"}
    put = {"Effect": "Allow", "Principal": service, "Action": "s3:PutObject", "Resource": write, "Condition": condition}
    return json.dumps({"Version": "2012-10-17", "Statement": [look, put]})


class Company:
    """The server and its organization. `refusals` makes the trail."""

    def __init__(self, directory: Path) -> None:
        self.server = ServerProcess(
            directory,
            vpc_endpoints=str(directory / "endpoints.json"),
            vpc_endpoint_header="X-Forwarded-Vpce",
            vpc_endpoint_peers="127.0.0.0/8",
            access_log_interval="100ms",
        )
        self._read: dict[str, list[Record]] = {}

    def found(self) -> None:
        """Start, and found the organization."""
        until(self._started)
        iam = self.server.client("iam")
        iam.create_user(UserName="admin")
        iam.attach_user_policy(UserName="admin", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
        self.admin = user_key(iam.create_access_key(UserName="admin"))
        self.organizations = self.client("organizations")
        self.id = self.organizations.create_organization()["Organization"]["Id"]
        self.cloudtrail, self.s3 = self.client("cloudtrail"), self.client("s3")
        _, self.other = self.account([{"Key": "opentrail:account-id", "Value": OTHER}])

    def _started(self) -> bool:
        """With a port for the endpoint's own listener. A port that was free a moment ago may be somebody's by now."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.bound_url = f"http://127.0.0.1:{port}"
        entries = [
            {"id": OPEN, "account": ACCOUNT},
            {"id": NARROW, "account": ACCOUNT, "vpc": "vpc-1", "policy": READS},
            {"id": BOUND, "account": OTHER, "listen": f"127.0.0.1:{port}"},
        ]
        (self.server.directory / "endpoints.json").write_text(json.dumps({"endpoint": entries}))
        try:
            self.server.start()
        except AssertionError:
            if "address already in use" not in self.server.log().lower():
                raise
            return False
        return True

    def client(self, service: str, key: tuple[str, ...] = (), **more: Any) -> Any:
        return self.server.client(service, key or self.admin, **more)

    def through(self, endpoint: str, key: tuple[str, ...] = ()) -> Any:
        """A client of S3 whose proxy names an endpoint."""
        client = self.client("s3", key)

        def name_it(request: Any, **_more: Any) -> None:
            request.headers[HEADER] = endpoint

        client.meta.events.register("before-sign.s3", name_it)
        return client

    def account(self, tags: list[dict[str, str]] | None = None) -> tuple[str, tuple[str, ...]]:
        """A new member, and a key in it."""
        email = f"{uuid.uuid4().hex[:10]}@example.com"
        made = self.organizations.create_account(AccountName="member", Email=email, Tags=tags or [])
        account_id = made["CreateAccountStatus"]["AccountId"]
        return account_id, self.enter(account_id)

    def enter(self, account_id: str) -> tuple[str, ...]:
        arn = f"arn:aws:iam::{account_id}:role/OrganizationAccountAccessRole"
        return key_of(self.client("sts").assume_role(RoleArn=arn, RoleSessionName="in"))

    def boss(self, account_id: str) -> tuple[str, str]:
        """A key of a user with all rights in a member, which stays when the account leaves."""
        iam = self.client("iam", self.enter(account_id))
        iam.create_user(UserName="boss")
        iam.attach_user_policy(UserName="boss", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
        return user_key(iam.create_access_key(UserName="boss"))

    def keys(self, account_id: str, kind: str = "CloudTrail") -> list[str]:
        """The files that the trail has delivered for an account, in order."""
        prefix = f"AWSLogs/{self.id}/{account_id}/{kind}/"
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", []) if each["Key"].endswith(".json.gz")]

    def documents(self, account_id: str, kind: str) -> list[Record]:
        """Their contents. Files already read are not read again."""
        return [self._document(key) for key in self.keys(account_id, kind)]

    def _document(self, key: str) -> Record:
        if key not in self._read:
            self._read[key] = json.loads(gzip.decompress(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()))
        return dict(self._read[key])

    def contents(self, key: str) -> list[Record]:
        """The records of a log file."""
        return list(self._document(key)["Records"])

    def records(self, account_id: str) -> list[Record]:
        return [record for document in self.documents(account_id, "CloudTrail") for record in document["Records"]]

    def delivered(self, answer: Record, account_id: str) -> Record:
        """The one record of an answered call in an account's log files, by the request id that the client got."""
        request_id = answer["ResponseMetadata"]["RequestId"]

        def found() -> list[Record]:
            return [each for each in self.records(account_id) if each.get("requestID") == request_id]

        [record] = until(found)
        return dict(record)

    def undelivered(self, answer: Record, account_id: str) -> bool:
        """No record of the call lies in an account's log files, although a later call's does."""
        self.delivered(
            self.client("sts", self.admin if account_id == ACCOUNT else self.other).get_caller_identity(), account_id
        )
        request_id = answer["ResponseMetadata"]["RequestId"]
        return request_id not in [each.get("requestID") for each in self.records(account_id)]
