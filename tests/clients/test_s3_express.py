"""Directory buckets as boto3 uses them: it makes sessions by itself and signs with their credentials."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.conftest import Server
from tests.clients.server_process import REGION

ZONE = "use1-az4"
CONFIGURATION = {
    "Location": {"Type": "AvailabilityZone", "Name": ZONE},
    "Bucket": {"Type": "Directory", "DataRedundancy": "SingleAvailabilityZone"},
}


@pytest.fixture(scope="session")
def plain(server: Server) -> Any:
    """A client that signs without sessions: boto3 would ask for one on a bucket that is yet to be made, since it sends
    what is for the regional endpoint to the one endpoint it was given."""
    return server.client("s3", s3={"disable_s3_express_session_auth": True})


@pytest.fixture
def directory(plain: Any, name: str) -> str:
    bucket = f"{name}--{ZONE}--x-s3"
    plain.create_bucket(Bucket=bucket, CreateBucketConfiguration=CONFIGURATION)
    return bucket


def test_objects_in_sessions(s3: Any, directory: str):
    s3.put_object(Bucket=directory, Key="a/b", Body=b"bytes")
    got = s3.get_object(Bucket=directory, Key="a/b")
    assert (got["Body"].read(), got["StorageClass"]) == (b"bytes", "EXPRESS_ONEZONE")
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=directory)["Contents"]] == ["a/b"]
    upload = s3.create_multipart_upload(Bucket=directory, Key="large")["UploadId"]
    part = s3.upload_part(Bucket=directory, Key="large", UploadId=upload, PartNumber=1, Body=b"x")
    parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
    s3.complete_multipart_upload(Bucket=directory, Key="large", UploadId=upload, MultipartUpload={"Parts": parts})
    s3.copy_object(Bucket=directory, Key="copy", CopySource={"Bucket": directory, "Key": "large"})
    s3.delete_objects(Bucket=directory, Delete={"Objects": [{"Key": "large"}, {"Key": "copy"}]})
    s3.delete_object(Bucket=directory, Key="a/b")
    s3.delete_bucket(Bucket=directory)


def test_directory_buckets_are_listed_apart(s3: Any, directory: str):
    shown = {bucket["Name"]: bucket for bucket in s3.list_directory_buckets()["Buckets"]}
    assert shown[directory]["BucketArn"].endswith(f":bucket/{directory}")
    assert shown[directory]["BucketRegion"] == REGION
    assert directory not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert len(s3.list_directory_buckets(MaxDirectoryBuckets=1)["Buckets"]) == 1


@pytest.mark.parametrize("encryption", [{}, {"ServerSideEncryption": "AES256"}])
@pytest.mark.parametrize("size", [10, 200_000])
def test_rename(s3: Any, directory: str, encryption: dict[str, str], size: int):
    s3.put_object(Bucket=directory, Key="old name", Body=b"x" * size, Metadata={"a": "b"}, **encryption)
    s3.put_object(Bucket=directory, Key="taken", Body=b"y")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.rename_object(Bucket=directory, Key="taken", RenameSource="old%20name", DestinationIfNoneMatch="*")
    s3.rename_object(Bucket=directory, Key="new", RenameSource="old%20name", ClientToken="t")
    s3.rename_object(Bucket=directory, Key="new", RenameSource="old%20name", ClientToken="t")
    got = s3.get_object(Bucket=directory, Key="new")
    assert (got["Body"].read(), got["Metadata"]) == (b"x" * size, {"a": "b"})
    s3.rename_object(Bucket=directory, Key="taken", RenameSource="new")
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=directory)["Contents"]] == ["taken"]
    assert s3.get_object(Bucket=directory, Key="taken")["Body"].read() == b"x" * size
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.rename_object(Bucket=directory, Key="z", RenameSource="new")


def test_sessions_end_at_their_bucket_and_their_mode(server: Server, plain: Any, s3: Any, directory: str, name: str):
    given = plain.create_session(Bucket=directory, SessionMode="ReadOnly")["Credentials"]
    assert given["AccessKeyId"].startswith("ASIA")
    other = f"other-{name}--{ZONE}--x-s3"
    plain.create_bucket(Bucket=other, CreateBucketConfiguration=CONFIGURATION)
    reader = session_client(server, given)
    assert reader.list_objects_v2(Bucket=directory)["KeyCount"] == 0
    for refused in (
        lambda: reader.put_object(Bucket=directory, Key="k", Body=b""),
        lambda: reader.list_objects_v2(Bucket=other),
        lambda: session_client(server, {**given, "SessionToken": "nonsense"}).list_objects_v2(Bucket=directory),
        lambda: session_client(server, {**given, "SecretAccessKey": "x"}).list_objects_v2(Bucket=directory),
    ):
        with pytest.raises(ClientError, match=r"AccessDenied|InvalidToken|SignatureDoesNotMatch"):
            refused()


def session_client(server: Server, credentials: dict[str, Any]) -> Any:
    """A client that signs with one session's credentials, whatever bucket it calls."""
    key = (credentials["AccessKeyId"], credentials["SecretAccessKey"])
    client = server.client("s3", key, s3={"disable_s3_express_session_auth": True})

    def add_token(request: Any, **_more: Any) -> None:
        request.headers["x-amz-s3session-token"] = credentials["SessionToken"]

    client.meta.events.register("before-sign.s3", add_token)
    return client


def test_what_directory_buckets_do_not_have(plain: Any, bucket: str, directory: str):
    for refused in (
        lambda: plain.put_bucket_versioning(Bucket=directory, VersioningConfiguration={"Status": "Enabled"}),
        lambda: plain.put_bucket_tagging(Bucket=directory, Tagging={"TagSet": []}),
        lambda: plain.list_objects(Bucket=directory),
        lambda: plain.create_session(Bucket=bucket),
        lambda: plain.rename_object(Bucket=bucket, Key="k", RenameSource="j"),
    ):
        with pytest.raises(ClientError, match="MethodNotAllowed"):
            refused()
    with pytest.raises(ClientError, match="InvalidStorageClass"):
        plain.put_object(Bucket=directory, Key="k", StorageClass="STANDARD")


def test_names_and_places_must_agree(plain: Any, name: str):
    for bucket, configuration in (
        (f"{name}--{ZONE}--x-s3", {**CONFIGURATION, "Location": {"Type": "AvailabilityZone", "Name": "usw2-az1"}}),
        (f"{name}--{ZONE}--x-s3", {}),
        (f"{name}-plain", CONFIGURATION),
    ):
        with pytest.raises(ClientError, match=r"InvalidRequest|InvalidBucketName"):
            plain.create_bucket(Bucket=bucket, CreateBucketConfiguration=configuration)
