"""KMS as boto3 sees it on a socket: keys, ciphertexts, permissions, and what the records tell of them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.server_process import ACCOUNT, OTHER_ACCOUNT, OTHER_KEY, OTHER_SECRET, contents, user_key
from tests.clients.waiting import until

CONTEXT = {"purpose": "test", "Aws:Odd": "x"}


@pytest.fixture(scope="module")
def kms(server: Any) -> Any:
    return server.client("kms")


@pytest.fixture
def key(kms: Any) -> str:
    made: str = kms.create_key()["KeyMetadata"]["KeyId"]
    return made


def refusal(call: Any, **given: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**given)
    found = error.value.response["Error"]
    return found["Code"], found["Message"]


def code(call: Any, **given: Any) -> str:
    return refusal(call, **given)[0]


def person(server: Any, iam: Any, name: str, *statements: dict[str, Any]) -> Any:
    """A KMS client of a new user."""
    iam.create_user(UserName=name)
    if statements:
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    return server.client("kms", user_key(iam.create_access_key(UserName=name)))


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(principal: Any, action: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": "*", **more}


ROOT = allow({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "kms:*")
ALL = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}


def records(server: Any, event: str, wanted: int, **equal: Any) -> list[dict[str, Any]]:
    """The newest `wanted` records of an event whose requestParameters or resources mention `about`."""
    about = equal["about"]
    trail = server.client("cloudtrail")

    def look() -> list[dict[str, Any]]:
        found = trail.lookup_events(LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": event}])
        told = [json.loads(each["CloudTrailEvent"]) for each in found["Events"]]
        told = [each for each in told if about in json.dumps([each["requestParameters"], each.get("resources")])]
        return told if len(told) >= wanted else []

    return list(until(look, lambda: f"{event} of {about}"))


def test_encrypt_and_decrypt(kms: Any, key: str) -> None:
    made = kms.encrypt(KeyId=key, Plaintext=b"hello", EncryptionContext=CONTEXT)
    got = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=CONTEXT)
    assert (got["Plaintext"], got["KeyId"], got["EncryptionAlgorithm"]) == (
        b"hello",
        made["KeyId"],
        "SYMMETRIC_DEFAULT",
    )
    blob = made["CiphertextBlob"]
    assert code(kms.decrypt, CiphertextBlob=blob) == "InvalidCiphertextException"
    assert code(kms.decrypt, CiphertextBlob=blob[:-1] + b"!") == "InvalidCiphertextException"
    assert code(kms.decrypt, CiphertextBlob=b"nothing") == "InvalidCiphertextException"
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    assert code(kms.decrypt, CiphertextBlob=blob, EncryptionContext=CONTEXT, KeyId=other) == "IncorrectKeyException"
    assert code(kms.encrypt, KeyId=key, Plaintext=bytes(4097)) == "ValidationException"


def test_data_keys(kms: Any, key: str) -> None:
    made = kms.generate_data_key(KeyId=key, KeySpec="AES_128", EncryptionContext=CONTEXT)
    assert len(made["Plaintext"]) == 16
    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=CONTEXT)
    assert opened["Plaintext"] == made["Plaintext"]
    hidden = kms.generate_data_key_without_plaintext(KeyId=key, NumberOfBytes=40)
    assert "Plaintext" not in hidden
    assert len(kms.decrypt(CiphertextBlob=hidden["CiphertextBlob"])["Plaintext"]) == 40
    assert code(kms.generate_data_key, KeyId=key, KeySpec="AES_256", NumberOfBytes=1) == "ValidationException"
    assert code(kms.generate_data_key, KeyId=key, KeySpec="AES_256", DryRun=True) == "DryRunOperationException"
    assert len(kms.generate_random(NumberOfBytes=7)["Plaintext"]) == 7


def test_re_encrypt_moves_a_ciphertext_to_another_key(kms: Any, key: str) -> None:
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    moved = kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other, DestinationEncryptionContext=CONTEXT)
    kms.disable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext=CONTEXT)["Plaintext"] == b"x"
    assert code(kms.re_encrypt, CiphertextBlob=blob, DestinationKeyId=other) == "DisabledException"


def test_states_of_a_key(kms: Any, key: str) -> None:
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    kms.disable_key(KeyId=key)
    assert code(kms.decrypt, CiphertextBlob=blob) == "DisabledException"
    assert code(kms.create_grant, KeyId=key, GranteePrincipal=ACCOUNT, Operations=["Decrypt"]) == "DisabledException"
    kms.enable_key(KeyId=key)
    assert code(kms.schedule_key_deletion, KeyId=key, PendingWindowInDays=6) == "ValidationException"
    said = kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert said["KeyState"] == "PendingDeletion"
    for call in (kms.decrypt, kms.enable_key, kms.disable_key, kms.schedule_key_deletion, kms.enable_key_rotation):
        given = {"CiphertextBlob": blob} if call == kms.decrypt else {"KeyId": key}
        assert code(call, **given) == "KMSInvalidStateException", call
    kms.cancel_key_deletion(KeyId=key)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
    assert code(kms.cancel_key_deletion, KeyId=key) == "KMSInvalidStateException"


def test_rotation_keeps_what_was_encrypted(kms: Any, key: str) -> None:
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    kms.rotate_key_on_demand(KeyId=key)
    again = kms.encrypt(KeyId=key, Plaintext=b"y")["CiphertextBlob"]
    old, new = kms.decrypt(CiphertextBlob=blob), kms.decrypt(CiphertextBlob=again)
    assert (old["Plaintext"], new["Plaintext"]) == (b"x", b"y")
    assert old["KeyMaterialId"] != new["KeyMaterialId"]
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    status = kms.get_key_rotation_status(KeyId=key)
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 90)
    assert [each["RotationType"] for each in kms.list_key_rotations(KeyId=key)["Rotations"]] == ["ON_DEMAND"]
    kms.disable_key_rotation(KeyId=key)
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False


def test_aliases(kms: Any, key: str, name: str) -> None:
    alias = f"alias/{name}"
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    assert code(kms.create_alias, AliasName=alias, TargetKeyId=key) == "AlreadyExistsException"
    assert code(kms.create_alias, AliasName=name, TargetKeyId=key) == "InvalidAliasNameException"
    assert code(kms.create_alias, AliasName="alias/aws/mine", TargetKeyId=key) == "NotAuthorizedException"
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"] == key
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName=alias, TargetKeyId=other)
    arn = f"arn:aws:kms:us-east-1:{ACCOUNT}:{alias}"
    assert kms.encrypt(KeyId=arn, Plaintext=b"x")["KeyId"].endswith(other)
    assert kms.list_aliases(KeyId=key)["Aliases"] == []
    assert [each["AliasArn"] for each in kms.list_aliases(KeyId=other)["Aliases"]] == [arn]
    assert code(kms.disable_key, KeyId=alias) == "NotFoundException"
    kms.delete_alias(AliasName=alias)
    assert refusal(kms.describe_key, KeyId=alias) == ("NotFoundException", f"Alias {arn} is not found.")


def test_pages_and_tags(kms: Any, key: str) -> None:
    for _ in range(3):
        kms.create_key()
    first = kms.list_keys(Limit=2)
    assert first["Truncated"] is True
    second = kms.list_keys(Limit=1000, Marker=first["NextMarker"])
    paged = [each["KeyId"] for each in first["Keys"] + second["Keys"]]
    assert paged == [each["KeyId"] for each in kms.list_keys(Limit=1000)["Keys"]]
    assert code(kms.list_keys, Marker="?") == "InvalidMarkerException"
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": letter, "TagValue": "1"} for letter in "abc"])
    kms.untag_resource(KeyId=key, TagKeys=["b"])
    page = kms.list_resource_tags(KeyId=key, Limit=1)
    assert (page["Tags"], page["Truncated"]) == ([{"TagKey": "a", "TagValue": "1"}], True)
    rest = kms.list_resource_tags(KeyId=key, Marker=page["NextMarker"])["Tags"]
    assert rest == [{"TagKey": "c", "TagValue": "1"}]
    assert code(kms.tag_resource, KeyId=key, Tags=[{"TagKey": "aws:x", "TagValue": ""}]) == "TagException"


def test_what_is_not_built_is_refused(kms: Any, key: str) -> None:
    assert code(kms.create_key, KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY") == "UnsupportedOperationException"
    assert code(kms.create_key, KeySpec="HMAC_256") == "UnsupportedOperationException"
    assert code(kms.create_key, Origin="EXTERNAL") == "UnsupportedOperationException"
    assert code(kms.create_key, MultiRegion=True) == "UnsupportedOperationException"
    assert code(kms.sign, KeyId=key, Message=b"x", SigningAlgorithm="ECDSA_SHA_256") == "NotImplemented"


def test_the_keys_policy_decides(server: Any, iam: Any, kms: Any, name: str) -> None:
    """IAM policies count only where the key's policy lets them."""
    able, unable = person(server, iam, name, ALL), person(server, iam, f"{name}-not")
    enabled = kms.create_key()["KeyMetadata"]["Arn"]
    assert able.encrypt(KeyId=enabled, Plaintext=b"x")["KeyId"] == enabled
    message = refusal(unable.encrypt, KeyId=enabled, Plaintext=b"x")[1]
    assert message.endswith("because no identity-based policy allows the kms:Encrypt action")
    arn = f"arn:aws:iam::{ACCOUNT}:user/{name}-not"
    only = policy(allow({"AWS": arn}, "kms:*"))
    closed = kms.create_key(Policy=only, BypassPolicyLockoutSafetyCheck=True)["KeyMetadata"]["Arn"]
    assert unable.encrypt(KeyId=closed, Plaintext=b"x")["KeyId"] == closed
    assert code(able.encrypt, KeyId=closed, Plaintext=b"x") == "AccessDeniedException"
    assert code(kms.encrypt, KeyId=closed, Plaintext=b"x") == "AccessDeniedException"  # the root, too
    assert code(kms.create_key, Policy=only) == "MalformedPolicyDocumentException"
    assert code(kms.put_key_policy, KeyId=enabled, Policy=only) == "MalformedPolicyDocumentException"
    nobody = policy(ROOT, allow({"AWS": f"arn:aws:iam::{ACCOUNT}:user/nobody-{name}"}, "kms:*"))
    assert code(kms.put_key_policy, KeyId=enabled, Policy=nobody) == "MalformedPolicyDocumentException"


def test_conditions_of_a_keys_policy(server: Any, iam: Any, kms: Any, key: str, name: str) -> None:
    user = person(server, iam, name)
    who = {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{name}"}
    asked = {"StringEquals": {"kms:EncryptionContext:purpose": "test", "kms:CallerAccount": ACCOUNT}}
    kms.put_key_policy(KeyId=key, Policy=policy(ROOT, allow(who, ["kms:Encrypt"], Condition=asked)))
    user.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"purpose": "test"})
    assert (
        code(user.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext={"purpose": "rest"}) == "AccessDeniedException"
    )
    assert code(user.encrypt, KeyId=key, Plaintext=b"x") == "AccessDeniedException"
    via = {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
    kms.put_key_policy(KeyId=key, Policy=policy(ROOT, allow(who, ["kms:*"], Condition=via)))
    assert code(user.encrypt, KeyId=key, Plaintext=b"x") == "AccessDeniedException"


def test_grants(server: Any, iam: Any, kms: Any, key: str, name: str) -> None:
    user = person(server, iam, name)
    arn = f"arn:aws:iam::{ACCOUNT}:user/{name}"
    grant = kms.create_grant(
        KeyId=key,
        GranteePrincipal=arn,
        RetiringPrincipal=arn,
        Operations=["Encrypt", "CreateGrant"],
        Constraints={"EncryptionContextSubset": {"purpose": "test"}},
    )
    user.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=CONTEXT)
    assert code(user.encrypt, KeyId=key, Plaintext=b"x") == "AccessDeniedException"
    assert code(user.generate_data_key, KeyId=key, KeySpec="AES_256") == "AccessDeniedException"
    wider = {"KeyId": key, "GranteePrincipal": ACCOUNT, "Operations": ["Encrypt"]}
    assert code(user.create_grant, **wider) == "AccessDeniedException"
    user.create_grant(**wider, Constraints={"EncryptionContextEquals": {"purpose": "test", "more": "1"}})
    assert [each["GranteePrincipal"] for each in kms.list_grants(KeyId=key, GrantId=grant["GrantId"])["Grants"]] == [
        arn
    ]
    assert len(kms.list_grants(KeyId=key)["Grants"]) == 2
    user.retire_grant(GrantToken=grant["GrantToken"])
    assert code(user.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext=CONTEXT) == "AccessDeniedException"
    last = kms.list_grants(KeyId=key)["Grants"][0]["GrantId"]
    kms.revoke_grant(KeyId=key, GrantId=last)
    assert code(kms.revoke_grant, KeyId=key, GrantId=last) == "NotFoundException"


def test_other_accounts_need_the_policy_of_the_key(server: Any, kms: Any, key: str) -> None:
    stranger = server.client("kms", (OTHER_KEY, OTHER_SECRET))
    arn = kms.describe_key(KeyId=key)["KeyMetadata"]["Arn"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    absent = arn[:-4] + "0000"
    assert code(stranger.encrypt, KeyId=arn, Plaintext=b"x") == "AccessDeniedException"
    here, there = refusal(stranger.describe_key, KeyId=arn), refusal(stranger.describe_key, KeyId=absent)
    assert here[1].replace(arn, "") == there[1].replace(absent, "")  # nobody learns which keys there are
    assert "associated with this ciphertext" in refusal(stranger.decrypt, CiphertextBlob=blob)[1]
    who = {"AWS": f"arn:aws:iam::{OTHER_ACCOUNT}:root"}
    kms.put_key_policy(KeyId=key, Policy=policy(ROOT, allow(who, "kms:*")))
    assert stranger.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert code(stranger.disable_key, KeyId=arn) == "AccessDeniedException"
    assert code(stranger.get_key_policy, KeyId=arn) == "AccessDeniedException"


def test_records_tell_the_key_and_no_plaintext(server: Any, kms: Any, key: str) -> None:
    made = kms.encrypt(KeyId=key, Plaintext=b"secret words", EncryptionContext=CONTEXT)
    kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=CONTEXT)
    arn = made["KeyId"]
    told = records(server, "Decrypt", 1, about=arn)[0]
    assert told["requestParameters"] == {"encryptionContext": CONTEXT, "encryptionAlgorithm": "SYMMETRIC_DEFAULT"}
    assert told["resources"] == [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": arn}]
    assert (told["responseElements"], told["readOnly"], told["eventCategory"]) == (None, True, "Management")
    assert list(told["additionalEventData"]) == ["keyMaterialId"]
    asked = records(server, "Encrypt", 1, about=arn)[0]["requestParameters"]
    assert asked == {"keyId": key, "encryptionContext": CONTEXT, "encryptionAlgorithm": "SYMMETRIC_DEFAULT"}
    kms.disable_key(KeyId=key)
    assert records(server, "DisableKey", 1, about=arn)[0]["responseElements"] == {"keyId": arn}
    made = records(server, "CreateKey", 1, about=arn)[0]
    assert made["responseElements"]["keyMetadata"]["arn"] == arn
    assert made["requestParameters"]["keySpec"] == "SYMMETRIC_DEFAULT"


def test_no_plaintext_lies_on_the_disk(server: Any, s3: Any, kms: Any, key: str, bucket: str) -> None:
    """Neither in the ledger nor in blobs, history or records, whatever form it might take."""
    secrets = [b"words that nobody may find", kms.generate_data_key(KeyId=key, KeySpec="AES_256")["Plaintext"]]
    blob = kms.encrypt(KeyId=key, Plaintext=secrets[0])["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == secrets[0]
    for kind in ("aws:kms", "aws:kms:dsse"):
        for size in (1, 10_000):
            s3.put_object(Bucket=bucket, Key=f"{kind}-{size}", Body=secrets[0] * size, ServerSideEncryption=kind)
    written = contents(server)
    assert bucket.encode() in written
    for secret in secrets:
        for form in (secret, base64.b64encode(secret).rstrip(b"="), secret.hex().encode()):
            assert form not in written
