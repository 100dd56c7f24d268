"""Identities by boto3: who has no policy may do nothing, and sessions may do what is left of all policies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.server_process import (
    ACCOUNT,
    OTHER_ACCOUNT,
    OTHER_KEY,
    OTHER_SECRET,
    ServerProcess,
    key_of,
    user_key,
)


def policy(action: str | list[str], resource: str | list[str] = "*", effect: str = "Allow") -> str:
    statement = {"Effect": effect, "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def trust(principal: dict[str, str]) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def refused(call: Any, **given: Any) -> str:
    """The message of a refusal for want of permission."""
    with pytest.raises(ClientError) as error:
        call(**given)
    answer = error.value.response
    assert answer["Error"]["Code"] in ("AccessDenied", "AccessDeniedException"), answer
    return answer["Error"]["Message"]


@pytest.fixture
def user(iam: Any, name: str) -> tuple[str, str]:
    """The key of a new user without policies; the user's name is the test's."""
    iam.create_user(UserName=name)
    return user_key(iam.create_access_key(UserName=name))


def test_a_new_user_may_do_nothing(server: ServerProcess, user: tuple[str, str], bucket: str, name: str) -> None:
    assert server.client("sts", user).get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/{name}"
    s3 = server.client("s3", user)
    told = refused(s3.list_objects_v2, Bucket=bucket)
    assert f"arn:aws:iam::{ACCOUNT}:user/{name} is not authorized to perform: s3:ListBucket" in told
    refused(s3.list_buckets)
    refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x")
    refused(server.client("iam", user).list_users)
    refused(server.client("cloudtrail", user).describe_trails)
    refused(server.client("events", user).list_rules)
    refused(server.client("codepipeline", user).list_pipelines)


def test_policies_of_a_user(server: ServerProcess, iam: Any, user: tuple[str, str], bucket: str, name: str) -> None:
    s3 = server.client("s3", user)
    objects = f"arn:aws:s3:::{bucket}/mine/*"
    iam.put_user_policy(
        UserName=name, PolicyName="mine", PolicyDocument=policy(["s3:PutObject", "s3:GetObject"], objects)
    )
    s3.put_object(Bucket=bucket, Key="mine/k", Body=b"x")
    assert s3.get_object(Bucket=bucket, Key="mine/k")["Body"].read() == b"x"
    refused(s3.put_object, Bucket=bucket, Key="yours/k", Body=b"x")
    refused(s3.delete_object, Bucket=bucket, Key="mine/k")
    managed = iam.create_policy(PolicyName=name, PolicyDocument=policy("s3:*", objects))["Policy"]["Arn"]
    iam.attach_user_policy(UserName=name, PolicyArn=managed)
    s3.delete_object(Bucket=bucket, Key="mine/k")
    iam.put_user_policy(UserName=name, PolicyName="no", PolicyDocument=policy("s3:DeleteObject", "*", "Deny"))
    assert "explicit deny" in refused(s3.delete_object, Bucket=bucket, Key="mine/k")
    iam.detach_user_policy(UserName=name, PolicyArn=managed)
    iam.delete_user_policy(UserName=name, PolicyName="mine")
    refused(s3.get_object, Bucket=bucket, Key="mine/k")


def test_a_group_and_a_bucket_policy(
    server: ServerProcess, iam: Any, s3: Any, user: tuple[str, str], bucket: str, name: str
) -> None:
    mine = server.client("s3", user)
    iam.create_group(GroupName=name)
    iam.put_group_policy(
        GroupName=name, PolicyName="list", PolicyDocument=policy("s3:ListBucket", f"arn:aws:s3:::{bucket}")
    )
    refused(mine.list_objects_v2, Bucket=bucket)
    iam.add_user_to_group(GroupName=name, UserName=name)
    mine.list_objects_v2(Bucket=bucket)
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{name}"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statement}))
    mine.put_object(Bucket=bucket, Key="k", Body=b"x")
    refused(mine.get_object, Bucket=bucket, Key="k")


def test_keys_that_are_switched_off_or_deleted(
    server: ServerProcess, iam: Any, user: tuple[str, str], name: str
) -> None:
    sts = server.client("sts", user)
    sts.get_caller_identity()
    iam.update_access_key(UserName=name, AccessKeyId=user[0], Status="Inactive")
    with pytest.raises(ClientError) as error:
        sts.get_caller_identity()
    assert error.value.response["Error"]["Code"] == "InvalidClientTokenId"
    iam.update_access_key(UserName=name, AccessKeyId=user[0], Status="Active")
    sts.get_caller_identity()
    iam.delete_access_key(UserName=name, AccessKeyId=user[0])
    with pytest.raises(ClientError):
        sts.get_caller_identity()
    iam.delete_user(UserName=name)


def test_a_role(server: ServerProcess, iam: Any, user: tuple[str, str], bucket: str, name: str) -> None:
    me = {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{name}"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust({"Service": "codepipeline.amazonaws.com"}))[
        "Role"
    ]
    iam.put_role_policy(RoleName=name, PolicyName="s3", PolicyDocument=policy("s3:*"))
    sts = server.client("sts", user)
    refused(sts.assume_role, RoleArn=role["Arn"], RoleSessionName="session")
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust(me))
    assumed = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="session")
    assert assumed["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/session"
    key = key_of(assumed)
    server.client("s3", key).put_object(Bucket=bucket, Key="k", Body=b"by role")
    refused(server.client("iam", key).list_users)
    narrowed = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="session", Policy=policy("s3:GetObject"))
    session = server.client("s3", key_of(narrowed))
    assert session.get_object(Bucket=bucket, Key="k")["Body"].read() == b"by role"
    assert "session policy" in refused(session.put_object, Bucket=bucket, Key="k", Body=b"x")
    url = server.client("s3", key, signature_version="s3v4").generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": "k"}
    )
    assert "X-Amz-Security-Token" in url
    iam.delete_role_policy(RoleName=name, PolicyName="s3")
    refused(session.get_object, Bucket=bucket, Key="k")
    iam.delete_role(RoleName=name)
    with pytest.raises(ClientError):
        session.get_object(Bucket=bucket, Key="k")


def test_a_role_across_accounts(server: ServerProcess, iam: Any, bucket: str, name: str) -> None:
    there = server.client("iam", (OTHER_KEY, OTHER_SECRET))
    there.create_user(UserName=name)
    key = user_key(there.create_access_key(UserName=name))
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust({"AWS": OTHER_ACCOUNT}))["Role"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    sts = server.client("sts", key)
    refused(sts.assume_role, RoleArn=role, RoleSessionName="session")
    there.put_user_policy(UserName=name, PolicyName="assume", PolicyDocument=policy("sts:AssumeRole", role))
    session = key_of(sts.assume_role(RoleArn=role, RoleSessionName="session"))
    assert server.client("sts", session).get_caller_identity()["Account"] == ACCOUNT
    server.client("s3", session).put_object(Bucket=bucket, Key="k", Body=b"x")
    refused(server.client("s3", key).get_object, Bucket=bucket, Key="k")


def test_session_tokens(server: ServerProcess, iam: Any, user: tuple[str, str], bucket: str, name: str) -> None:
    iam.put_user_policy(UserName=name, PolicyName="s3", PolicyDocument=policy(["s3:*", "sts:*"]))
    sts = server.client("sts", user)
    session = key_of(sts.get_session_token(DurationSeconds=900))
    server.client("s3", session).put_object(Bucket=bucket, Key="k", Body=b"x")
    federated = sts.get_federation_token(Name="guest", Policy=policy("s3:GetObject"))
    assert federated["FederatedUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:federated-user/guest"
    guest = server.client("s3", key_of(federated))
    assert guest.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    refused(guest.put_object, Bucket=bucket, Key="k", Body=b"y")
    refused(server.client("sts", key_of(federated)).get_federation_token, Name="further")
    broken = (session[0], session[1], session[2][:-8] + "AAAAAAAA")
    with pytest.raises(ClientError) as error:
        server.client("s3", broken).list_buckets()
    assert error.value.response["Error"]["Code"] == "InvalidToken"
    with pytest.raises(ClientError):
        server.client("s3", (user[0], user[1], session[2])).list_buckets()


def test_pages(iam: Any, name: str) -> None:
    for number in range(7):
        iam.create_user(UserName=f"{name}-{number}", Path=f"/{name}/")
    pages = iam.get_paginator("list_users").paginate(PathPrefix=f"/{name}/", PaginationConfig={"PageSize": 3})
    assert [len(page["Users"]) for page in pages] == [3, 3, 1]
    with pytest.raises(iam.exceptions.EntityAlreadyExistsException):
        iam.create_user(UserName=f"{name}-0")
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_user(UserName=name)
    with pytest.raises(iam.exceptions.MalformedPolicyDocumentException):
        iam.create_policy(PolicyName=name, PolicyDocument="{}")
