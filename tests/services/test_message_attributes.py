import pytest

from opentrail.errors import AwsError
from opentrail.rows.messages import Attribute, size_of
from opentrail.services.message_attributes import attributes_md5, read_attributes


def refuse(message):
    return AwsError("Bad", message, 400)


def test_digest_of_the_developer_guide_s_encoding():
    """Computed by hand from the guide: lengths, names, types, transport types 1 and 2, values."""
    attributes = {"b": Attribute("Binary", data=b"\0\1"), "a": Attribute("String", "x")}
    assert attributes_md5(attributes) == "fa20e2def088daf7b14bc51e836c5547"


def test_size():
    assert size_of({"ab": Attribute("String", "ü"), "c": Attribute("Binary", data=b"123")}) == 2 + 6 + 2 + 1 + 6 + 3


@pytest.mark.parametrize("name", ["", "a b", ".a", "a.", "a..b", "AWS.a", "amazon.b", "x" * 257, "ü", "a\n"])
def test_names(name):
    with pytest.raises(AwsError):
        read_attributes({name: {"DataType": "String", "StringValue": "x"}}, refuse)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"DataType": ""},
        {"DataType": "String"},
        {"DataType": "String", "StringValue": ""},
        {"DataType": "String", "BinaryValue": b"x"},
        {"DataType": "Binary", "StringValue": "x"},
        {"DataType": "Binary", "BinaryValue": b""},
        {"DataType": "String", "StringValue": "x", "BinaryValue": b"x"},
        {"DataType": "String", "StringValue": "x", "StringListValues": ["x"]},
        {"DataType": "string", "StringValue": "x"},
        {"DataType": "String.", "StringValue": "x"},
        {"DataType": "String." + "x" * 256, "StringValue": "x"},
        {"DataType": "String", "StringValue": "\ud800"},
        {"DataType": "Number", "StringValue": "NaN"},
        {"DataType": "Number", "StringValue": "1" * 39},
        {"DataType": "Number", "StringValue": "1e" + "9" * 4000},
        {"DataType": "Number", "StringValue": "٣"},
    ],
)
def test_values(value):
    with pytest.raises(AwsError):
        read_attributes({"a": value}, refuse)


def test_what_is_right_is_read():
    given = {
        "a-b_c.9": {"DataType": "String.x y", "StringValue": "v"},
        "n": {"DataType": "Number", "StringValue": "-0.5E-3"},
        "b": {"DataType": "Binary", "BinaryValue": bytearray(b"\0")},
    }
    read = read_attributes(given, refuse)
    assert read["a-b_c.9"] == Attribute("String.x y", "v")
    assert read["b"].data == b"\0"
    assert read_attributes(None, refuse) == {}
