"""MFA by boto3 and the AWS CLI: a device from its making to MFA Delete, and what the log files tell of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.server_process import ACCOUNT, ServerProcess, key_of, user_key
from tests.clients.trail_log import TrailLog
from tests.fakes.authenticator import Authenticator, tells
from tests.fakes.qr_reader import read_picture


def make_device(iam: Any, user: str, name: str) -> Authenticator:
    app = Authenticator(iam.create_virtual_mfa_device(VirtualMFADeviceName=name)["VirtualMFADevice"])
    iam.enable_mfa_device(UserName=user, SerialNumber=app.serial, **app.pair(time.time()))
    return app


@pytest.fixture
def root_device(iam: Any, name: str) -> Iterator[Authenticator]:
    """A device of the root's."""
    app = make_device(iam, "root", name)
    yield app
    iam.deactivate_mfa_device(SerialNumber=app.serial)
    iam.delete_virtual_mfa_device(SerialNumber=app.serial)


def refused(call: Any, **given: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as error:
        call(**given)
    answer: dict[str, Any] = error.value.response
    return answer["Error"] | {"Status": answer["ResponseMetadata"]["HTTPStatusCode"]}


def test_a_user_with_a_device(server: ServerProcess, iam: Any, sts: Any, trail: TrailLog, name: str) -> None:
    iam.create_user(UserName=name)
    with_code = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    statement = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*", "Condition": with_code}
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    key = user_key(iam.create_access_key(UserName=name))
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName=name)
    app = Authenticator(made["VirtualMFADevice"])
    pair = app.pair(time.time())
    enabled = iam.enable_mfa_device(UserName=name, SerialNumber=app.serial, **pair)
    assert refused(server.client("s3", key).list_buckets)["Code"] == "AccessDenied"
    code = app.next(time.time())
    session = server.client("sts", key).get_session_token(SerialNumber=app.serial, TokenCode=code)
    listed = server.client("s3", key_of(session)).list_buckets()
    told = refused(server.client("sts", key).get_session_token, SerialNumber=app.serial, TokenCode=code)
    assert (told["Code"], told["Status"]) == ("AccessDenied", 403)
    assert told["Message"] == "MultiFactorAuthentication failed with invalid MFA one time pass code."
    assert refused(iam.delete_user, UserName=name)["Code"] == "DeleteConflict"

    record = trail.of(made)
    assert record["requestParameters"] == {"virtualMFADeviceName": name}
    assert record["responseElements"] == {"virtualMFADevice": {"serialNumber": app.serial}}
    record = trail.of(enabled)
    assert record["requestParameters"] == {"userName": name, "serialNumber": app.serial}
    assert record["responseElements"] is None
    record = trail.of(session)
    assert record["requestParameters"] == {"serialNumber": app.serial}
    context = trail.of(listed)["userIdentity"]["sessionContext"]
    assert context["attributes"]["mfaAuthenticated"] == "true"
    text = json.dumps([trail.of(answer) for answer in (made, enabled, session, listed)])
    for secret in (made["VirtualMFADevice"]["Base32StringSeed"].decode(), code, *pair.values()):
        assert not tells(text, secret)


def test_mfa_delete(server: ServerProcess, s3: Any, trail: TrailLog, root_device: Authenticator, bucket: str) -> None:
    app = root_device
    setting = "Status=Enabled,MFADelete=Enabled"
    command = ("s3api", "put-bucket-versioning", "--bucket", bucket, "--versioning-configuration", setting)
    assert "Mfa Authentication must be used for this request" in server.aws(*command, status=255)
    shown = f"{app.serial} {app.next(time.time())}"
    assert server.aws(*command, "--mfa", shown) == ""
    assert s3.get_bucket_versioning(Bucket=bucket)["MFADelete"] == "Enabled"
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"]
    given = {"Bucket": bucket, "Key": "k", "VersionId": version}
    assert refused(s3.delete_object, **given)["Message"] == "Mfa Authentication must be used for this request"
    assert refused(s3.delete_object, **given, MFA=shown)["Code"] == "AccessDenied"
    again = f"{app.serial} {app.next(time.time())}"
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "VersionId": version}]}, MFA=again)
    assert done["Deleted"] == [{"Key": "k", "VersionId": version}]
    record = trail.of(done)
    assert record["eventName"] == "DeleteObjects"
    trail.refresh()
    put = trail.find(eventName="PutBucketVersioning")
    for line in [record, *put]:
        text = json.dumps(line)
        assert app.serial not in text
        assert not any(tells(text, header.rpartition(" ")[2]) for header in (shown, again))
        assert "x-amz-mfa" not in text.lower()


def test_the_cli_writes_the_seed_into_a_file(server: ServerProcess, iam: Any, name: str, tmp_path: Path) -> None:
    """The picture, for the app to scan."""
    picture = tmp_path / "seed.png"
    command = ("iam", "create-virtual-mfa-device", "--virtual-mfa-device-name", name)
    told = server.aws(*command, "--bootstrap-method", "QRCodePNG", "--outfile", str(picture))
    assert json.loads(told) == {"VirtualMFADevice": {"SerialNumber": f"arn:aws:iam::{ACCOUNT}:mfa/{name}"}}
    start, _equals, seed = read_picture(picture.read_bytes()).decode().partition("=")
    assert start == f"otpauth://totp/{name}@{ACCOUNT}?secret"
    app = Authenticator({"SerialNumber": f"arn:aws:iam::{ACCOUNT}:mfa/{name}", "Base32StringSeed": seed})
    iam.create_user(UserName=name)
    iam.enable_mfa_device(UserName=name, SerialNumber=app.serial, **app.pair(time.time()))


def test_the_roots_devices(iam: Any, root_device: Authenticator) -> None:
    assert iam.get_account_summary()["SummaryMap"]["AccountMFAEnabled"] == 1
    serials = [each["SerialNumber"] for each in iam.list_mfa_devices()["MFADevices"]]
    assert root_device.serial in serials
    assigned = iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"]
    (mine,) = [each for each in assigned if each["SerialNumber"] == root_device.serial]
    assert mine["User"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
