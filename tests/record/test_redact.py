"""No secret in a record, whatever way it came."""

from __future__ import annotations

import pytest

from opentrail.model.load import load_models
from opentrail.record.build import build
from opentrail.record.redact import is_secret_query, mark_of
from tests.record.made import OTHER, PUT_OBJECT, call, counter, operation, request

SECRET = "s3cr3tS3cr3tS3cr3t"


def evidence_of(made):
    made.evidence.owner_account_id = OTHER
    return b"".join(build(made, counter()))


SECRET_HEADERS = [
    "authorization",
    "x-amz-security-token",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-server-side-encryption-customer-key-md5",
    "x-amz-copy-source-server-side-encryption-customer-key",
    "x-amz-copy-source-server-side-encryption-customer-key-md5",
    "x-amz-server-side-encryption-context",
    "x-amz-meta-salary",
    "x-amz-tagging",
    "x-amz-mfa",
    "cookie",
    "content-md5",
    "proxy-authorization",
]
SECRET_QUERIES = [
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-Security-Token",
    "x-amz-security-token",
    "AWSAccessKeyId",
    "Signature",
    "X-Amz-Meta-Salary",
    "x-amz-server-side-encryption-customer-key",
    "X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key",
    "X%2DAmz%2DSignature",
]


@pytest.mark.parametrize("name", SECRET_HEADERS)
def test_headers(name):
    made = call(PUT_OBJECT, request=request("PUT"))
    made.request.headers = {**made.request.headers, name: SECRET}
    assert SECRET.encode() not in evidence_of(made)


@pytest.mark.parametrize("name", SECRET_QUERIES)
def test_query_parameters(name):
    assert SECRET.encode() not in evidence_of(call(request=request(query=f"a=1&{name}={SECRET}&{name}={SECRET}")))


def test_response_headers_and_streams():
    made = call(PUT_OBJECT)
    made.evidence.response_headers = {"x-amz-meta-salary": SECRET, "set-cookie": SECRET, "etag": SECRET}
    made.raw_body = f"<Object><Body>{SECRET}</Body></Object>".encode()
    assert SECRET.encode() not in evidence_of(made)


def test_keys_of_objects_deleted_together():
    body = f"<Delete><Object><Key>{SECRET}</Key></Object></Delete>".encode()
    assert SECRET.encode() not in evidence_of(call(operation("DeleteObjects"), input={"Bucket": "b"}, raw_body=body))


@pytest.mark.parametrize(
    ("service", "name", "given", "output"),
    [
        ("iam", "CreateAccessKey", {}, {"AccessKey": {"SecretAccessKey": SECRET}}),
        ("iam", "CreateLoginProfile", {"UserName": "a", "Password": SECRET}, None),
        ("iam", "ChangePassword", {"OldPassword": SECRET, "NewPassword": SECRET}, None),
        ("iam", "UploadServerCertificate", {"PrivateKey": SECRET}, None),
        ("iam", "CreateVirtualMFADevice", {}, {"VirtualMFADevice": {"Base32StringSeed": SECRET.encode()}}),
        ("sts", "GetSessionToken", {"TokenCode": SECRET}, {"Credentials": {"SessionToken": SECRET}}),
        ("sts", "GetFederationToken", {}, {"Credentials": {"SecretAccessKey": SECRET}}),
        ("sts", "AssumeRoleWithWebIdentity", {"WebIdentityToken": SECRET}, None),
        ("events", "PutEvents", {"Entries": [{"Source": "x", "Detail": SECRET}]}, None),
        (
            "events",
            "CreateConnection",
            {"AuthParameters": {"BasicAuthParameters": {"Username": "u", "Password": SECRET}}},
            None,
        ),
        ("sqs", "SendMessageBatch", {"Entries": [{"Id": "1", "MessageBody": SECRET}]}, None),
        ("sns", "PublishBatch", {"PublishBatchRequestEntries": [{"Message": SECRET}]}, None),
        ("logs", "PutLogEvents", {"logEvents": [{"message": SECRET}]}, None),
        ("codepipeline", "PutApprovalResult", {"token": SECRET}, None),
        ("rds", "CreateDBInstance", {"MasterUserPassword": SECRET}, None),
        ("ssm", "PutParameter", {"Value": SECRET}, None),
        ("lambda", "CreateFunction", {"Environment": {"Variables": {"TOKEN": SECRET}}}, None),
        ("secretsmanager", "CreateSecret", {"SecretString": SECRET, "SecretBinary": SECRET.encode()}, None),
        ("cloudtrail", "CreateTrail", {"Unknown": {"Password": SECRET, "sessionToken": SECRET}}, None),
    ],
)
def test_modelled_services(service, name, given, output):
    op = load_models().operation(service, name)
    assert SECRET.encode() not in evidence_of(call(op, input={"Name": "n", **given}, output=output))


def test_a_token_in_the_settings_of_an_action_is_masked():
    settings = {"Owner": "me", "OAuthToken": SECRET}
    given = {"pipeline": {"stages": [{"actions": [{"configuration": settings}]}]}}
    line = evidence_of(call(load_models().operation("codepipeline", "UpdatePipeline"), input=given))
    assert b'"configuration":{"Owner":"me","OAuthToken":"****"}' in line


def test_marks():
    assert mark_of("iam", "SecretAccessKey", in_map=False) == ""
    assert mark_of("sts", "SessionToken", in_map=False) == "***"
    assert mark_of("rds", "MasterUserPassword", in_map=False) == "HIDDEN_DUE_TO_SECURITY_REASONS"
    assert is_secret_query("X-AMZ-META-X")
    assert not is_secret_query("x-amz-acl")
