"""Copies of objects that have annotations: what they bring along, who may, and what a change meanwhile does to them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from opentrail.rows.s3_annotations import ANNOTATIONS, SETS, AnnotationSet
from tests.services.s3.test_multipart import fails
from tests.services.s3.test_object_annotations import (
    KEY,
    LARGE,
    TEXT,
    altered,
    current,
    delete,
    left,
    names,
    put,
    read,
    sweep,
)
from tests.services.s3.world import BUCKET, Wire, World, new_client


@pytest.fixture
def k(s3: Any) -> Any:
    """The client, with an object."""
    s3.put_object(**KEY, Body=b"x", Tagging="colour=red")
    return s3


def copy(s3: Any, key: str = "copy", **more: Any) -> Any:
    return s3.copy_object(**{"Bucket": BUCKET, "Key": key, "CopySource": KEY, **more})


def test_a_copy_brings_them_along_with_bytes_of_their_own(k: Any, world: World):
    put(k)
    put(k, "large", LARGE, ChecksumAlgorithm="SHA256")
    world.ledger.conflicts = 2
    copy(k)
    k.delete_object(**KEY)
    sweep(world)
    assert (read(k, Key="copy"), read(k, "large", Key="copy")) == (TEXT, LARGE)
    shown = {
        each["AnnotationName"]: each for each in k.list_object_annotations(Bucket=BUCKET, Key="copy")["Annotations"]
    }
    assert shown["large"]["ChecksumAlgorithm"] == ["SHA256"]
    assert world.blob_sizes() == [len(LARGE)]
    copy(k, "third", CopySource={"Bucket": BUCKET, "Key": "copy"}, ChecksumAlgorithm="SHA1")
    (one, two) = k.list_object_annotations(Bucket=BUCKET, Key="third")["Annotations"]
    assert one["ChecksumAlgorithm"] == two["ChecksumAlgorithm"] == ["SHA1"]
    for key in ("copy", "third"):
        k.delete_object(Bucket=BUCKET, Key=key)
    sweep(world)
    assert (left(world), world.blob_sizes()) == ([], [])


def test_a_copy_onto_itself_keeps_them(k: Any, world: World):
    put(k)
    copy(k, "k", MetadataDirective="REPLACE", Metadata={"a": "b"})
    sweep(world)
    assert read(k) == TEXT


def test_a_copy_may_leave_them_out(k: Any):
    put(k)
    copy(k, AnnotationDirective="EXCLUDE")
    assert names(k, Key="copy") == []
    assert fails(copy, k, AnnotationDirective="SOME") == ("InvalidArgument", 400)

    with altered(k, "CopyObject", f"/{BUCKET}/copy", f"/{BUCKET}/copy?x-amz-object-annotation-directive=EXCLUDE"):
        copy(k)
    assert names(k, Key="copy") == []


def test_a_copy_under_another_key_of_kms(k: Any, wire: Wire):
    keys = [new_client(wire, "kms").create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
    k.put_object(**KEY, Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=keys[0])
    put(k)
    put(k, "large", LARGE)
    copy(k, ServerSideEncryption="aws:kms", SSEKMSKeyId=keys[1])
    new_client(wire, "kms").disable_key(KeyId=keys[0])
    assert (read(k, Key="copy"), read(k, "large", Key="copy")) == (TEXT, LARGE)


def test_what_a_copy_needs_only_where_there_are_some(k: Any, wire: Wire):
    iam = new_client(wire, "iam")
    iam.create_user(UserName="u")
    made = iam.create_access_key(UserName="u")["AccessKey"]
    theirs = new_client(wire, key=(made["AccessKeyId"], made["SecretAccessKey"]))
    actions = ["s3:GetObject", "s3:PutObject", "s3:GetObjectTagging", "s3:PutObjectTagging"]

    def allow(*more: str) -> None:
        statement = {"Effect": "Allow", "Action": [*actions, *more], "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=document)

    allow()
    copy(theirs)
    put(k)
    assert fails(copy, theirs) == ("AccessDenied", 403)
    copy(theirs, AnnotationDirective="EXCLUDE")
    allow("s3:GetObjectAnnotation")
    assert fails(copy, theirs) == ("AccessDenied", 403)
    allow("s3:GetObjectAnnotation", "s3:PutObjectAnnotation")
    copy(theirs)
    assert names(k, Key="copy") == ["note"]
    delete(k)
    allow()
    copy(theirs)
    assert names(k, Key="copy") == []


def test_who_may_is_asked_again_when_the_first_comes_while_bytes_are_copied(
    s3: Any, world: World, wire: Wire, monkeypatch: pytest.MonkeyPatch
):
    s3.put_object(**KEY, Body=b"x" * 100_000)
    put(s3)
    row, ref = ANNOTATIONS.page(world.unit())[0][1], current(world).annotated
    unit = world.unit()
    ANNOTATIONS.delete(unit, ref, "note")
    SETS.put(unit, AnnotationSet(0, 2), ref)
    world.commit(unit)
    iam = new_client(wire, "iam")
    iam.create_user(UserName="u")
    made = iam.create_access_key(UserName="u")["AccessKey"]
    theirs = new_client(wire, key=(made["AccessKeyId"], made["SecretAccessKey"]))
    statement = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=document)
    real = world.house.blobs.put

    async def slow(chunks: Any) -> Any:
        unit = world.unit()
        ANNOTATIONS.put(unit, row, ref, "first")
        SETS.put(unit, AnnotationSet(1, 3), ref)
        await world.ledger.commit(unit.writes, ())
        return await real(chunks)

    monkeypatch.setattr(world.house.blobs, "put", slow)
    assert fails(copy, theirs) == ("AccessDenied", 403)
    monkeypatch.undo()
    assert (names(s3), world.blob_sizes()) == (["first"], [100_000])


def test_a_change_while_they_are_copied_is_told(k: Any, world: World, monkeypatch: pytest.MonkeyPatch):
    put(k)
    put(k, "large", LARGE)
    real, ref = world.house.blobs.put, current(world).annotated

    async def slow(chunks: Any) -> Any:
        unit = world.unit()
        found = SETS.get(unit, ref)
        assert found is not None
        SETS.put(unit, AnnotationSet(found.count, found.changes + 1), ref)
        await world.ledger.commit(unit.writes, ())
        return await real(chunks)

    monkeypatch.setattr(world.house.blobs, "put", slow)
    with pytest.raises(ClientError) as error:
        copy(k)
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    monkeypatch.undo()
    assert fails(k.head_object, Bucket=BUCKET, Key="copy") == ("404", 404)
    assert world.blob_sizes() == [len(LARGE)]


def test_only_so_much_of_a_copy_lies_in_the_ledger(k: Any, world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("opentrail.services.s3.annotation_copies.INLINE_TOTAL_MAX", 30)
    for name in ("a", "b", "c"):
        put(k, name)
    copy(k)
    assert world.blob_sizes() == [len(TEXT)] * 2
    assert [read(k, name, Key="copy") for name in ("a", "b", "c")] == [TEXT] * 3
