"""Every operation in scope: what we answer, botocore reads back equal."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opentrail.call import Columns
from opentrail.model.load import load_models
from opentrail.wire.answer import render_output
from tests.wire.oracle import SPOKEN, client_output, model_of
from tests.wire.samples import Sampler

IDS = {"request_id": "4442587FB7D0A2F9", "host_id": "host/id="}
UNREADABLE = {
    "GetBucketLocation",  # botocore's parser leaves it to a hook of the client
    "GetBucketNotification",  # deprecated: a scalar and a list of the same name, which botocore mixes up
}


def eventstream(shape):
    return any(member.shape.eventstream for member in shape.members.values())


def samples(service, protocol, rounds=2):
    for operation in model_of(service, protocol).operations.values():
        if operation.output is None or eventstream(operation.output) or operation.name in UNREADABLE:
            continue
        if operation.name.endswith("WebsiteObject"):  # ours alone: no SDK has it, so none can judge it
            continue
        for number in range(rounds):
            sampler = Sampler(
                ("out", service, operation.name, number), empties=True, single_precision="cbor" in protocol
            )
            yield operation, sampler.structure(operation.output)


@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
def test_the_client_reads_what_we_answer(service, protocol):
    for operation, value in samples(service, protocol):
        answer = render_output(operation, protocol, value, **IDS)
        assert client_output(operation, protocol, answer) == value, operation.name


def test_bucket_location_is_the_root_itself():
    operation = load_models().operation("s3", "GetBucketLocation")
    _, _, body = render_output(operation, "rest-xml", {"LocationConstraint": "eu-west-1"}, **IDS)
    assert body.endswith(
        b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">eu-west-1</LocationConstraint>'
    )


NASTY = ["plain", "a|b", "||", "", '"quoted"', "<&>", "a\rb\n", "\x00\ud800", "é|ü", "100%s%%"]


def listing(contents):
    operation = load_models().operation("s3", "ListObjectsV2")
    return render_output(operation, "rest-xml", {"Contents": contents}, **IDS)


def test_many_are_written_as_each_by_itself():
    rows = [{"Key": key, "ETag": key, "Size": place} for place, key in enumerate(NASTY)]
    alone = [listing([row])[2].split(b"<Contents>")[1].split(b"</Contents>")[0] for row in rows]
    together = listing(rows)[2].split(b"<Contents>")[1:]
    assert [text.split(b"</Contents>")[0] for text in together] == alone


def test_columns_are_written_as_the_list_that_they_stand_for():
    columns = Columns(
        {
            "Key": NASTY,
            "LastModified": [float(n) for n in range(len(NASTY))],
            "StorageClass": [None if n % 3 else "GLACIER" for n in range(len(NASTY))],
            "ChecksumAlgorithm": [[], ["CRC32", "SHA1"], None, *([["SHA1"]] * (len(NASTY) - 3))],
            "Owner": [{"ID": str(n)} if n % 2 else None for n in range(len(NASTY))],
        }
    )
    assert listing(columns) == listing(list(columns))
    assert listing(Columns({"Key": []})) == listing([])
    assert columns[:2] == [columns[0], columns[1]]
    assert columns[2] == {"Key": "||", "LastModified": 2.0}


COLUMNS = {
    "Key": st.sampled_from(NASTY) | st.text(),
    "Size": st.integers(),
    "LastModified": st.floats(0, 4e9) | st.integers(0, 2**31),
    "StorageClass": st.sampled_from(["STANDARD", "GLACIER"]),
    "ChecksumAlgorithm": st.lists(st.sampled_from(["CRC32", "SHA1"]), max_size=2),
    "Owner": st.fixed_dictionaries({"ID": st.sampled_from(["1", "100%s"])}),
    "NoMember": st.integers(),
}


@settings(max_examples=150, deadline=None)
@given(data=st.data(), count=st.integers(1, 4), names=st.permutations(list(COLUMNS)), wanted=st.integers(0, 7))
def test_columns_alike_or_not(data, count, names, wanted):
    """What is alike in all entries, or all of a column that can be written at once, is written as it is one by one."""
    columns = {}
    for name in names[:wanted]:
        values = COLUMNS[name]
        if data.draw(st.booleans(), label=f"{name} with gaps"):
            values |= st.none()
        alike = data.draw(st.booleans(), label=f"{name} alike")
        columns[name] = [data.draw(values)] * count if alike else [data.draw(values) for _ in range(count)]
    written = listing(Columns(columns))[2]
    expected = [listing([row])[2].partition(b"<Contents>")[2].rpartition(b"</Contents>")[0] for row in Columns(columns)]
    found = [text.partition(b"</Contents>")[0] for text in written.split(b"<Contents>")[1:]]
    assert found == expected
