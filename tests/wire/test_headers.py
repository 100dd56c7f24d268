"""One header at a time: text beyond ASCII, lists, and values that would break the answer."""

import pytest

from opentrail.model.shapes import Member, ShapeModel
from opentrail.wire.headers import decode_metadata, decode_text, encode_metadata, encode_text, read_header, write_header
from opentrail.wire.scalars import Malformed

STRING = ShapeModel("S", "string")
LIST = Member("L", ShapeModel("L", "list", item=Member("member", STRING, "member")), "L")


def on_the_wire(text):
    return text.encode("utf-8").decode("latin-1")


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("plain", "plain"),
        (on_the_wire("grün €"), "grün €"),
        ("gr\xfcn", "grün"),  # latin-1 that is no UTF-8
        ("=?UTF-8?B?Z3LDvG4=?=", "grün"),
        ("=?utf-8?Q?gr=C3=BCn_x?=", "grün x"),
        ("=?UTF-8?B?Z3I=?= =?UTF-8?B?w7xu?=", "grün"),
        ("=?iso-8859-1?q?gr=FCn?= und", "grün und"),
        ("=?koi8-r?B?Z3I=?=", "=?koi8-r?B?Z3I=?="),
        ("=?UTF-8?B?!!!?=", "=?UTF-8?B?!!!?="),
        ("=?UTF-8?B?//8=?=", "=?UTF-8?B?//8=?="),
    ],
)
def test_metadata_is_decoded(sent, meant):
    assert decode_metadata(sent) == meant


@pytest.mark.parametrize("text", ["plain", "grün €", "a\r\nSet-Cookie: x", "\x00", ""])
def test_metadata_survives_the_way_out_and_back(text):
    sent = encode_metadata(text)
    assert sent.isascii()
    assert "\n" not in sent
    assert decode_metadata(sent) == text


def test_no_value_ends_its_own_header():
    assert encode_text("a\r\nX: b\x7f") == "a  X: b "
    assert decode_text(encode_text("grün")) == "grün"


def test_lists_with_quotes_and_commas():
    assert read_header(LIST, 'a, "b,c" ,"d\\"e", , f') == ["a", "b,c", 'd"e', "f"]
    assert read_header(LIST, write_header(LIST, ["a,b", 'q"', "\\", "z"])) == ["a,b", 'q"', "\\", "z"]
    with pytest.raises(Malformed):
        read_header(LIST, 'a "b')
    with pytest.raises(Malformed):
        read_header(LIST, "a," * 2_000)


def test_lists_of_http_dates_keep_their_commas():
    dates = Member("D", ShapeModel("D", "list", item=Member("member", ShapeModel("T", "timestamp"), "member")), "D")
    text = "Mon, 16 Dec 2019 23:48:18 GMT, Tue, 17 Dec 2019 23:48:18 GMT"
    assert write_header(dates, read_header(dates, text)).replace(",", ", ").replace(",  ", ", ") == text
    with pytest.raises(Malformed):
        read_header(dates, "Mon, 16 Dec 2019 23:48:18 GMT, Tue")
