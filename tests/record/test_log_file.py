"""Log files: envelope, compression and names."""

from __future__ import annotations

import datetime
import gzip
import json
import re
import zlib

from opentrail.record.build import build
from opentrail.record.log_file import PIECE_LINES, compress, log_file_key, pack_log_file, sha256_hex, unique_name
from tests.record.made import call, counter

NOON = datetime.datetime(2024, 5, 1, 12, 5, 59, tzinfo=datetime.UTC)


def test_lines_go_in_as_they_are():
    lines = build(call(), counter()) + build(call(), counter())
    packed, sha256 = pack_log_file(lines)
    text = gzip.decompress(packed)
    assert text == b'{"Records":[' + lines[0] + b"," + lines[1] + b"]}"
    assert len(json.loads(text)["Records"]) == 2
    assert sha256 == sha256_hex(text)
    assert gzip.decompress(pack_log_file([])[0]) == b'{"Records":[]}'


def test_a_file_made_in_pieces_is_one_text_and_one_gzip_member():
    for count in (1, PIECE_LINES - 1, PIECE_LINES, PIECE_LINES + 1, 3 * PIECE_LINES):
        lines = [b'{"n":%d}' % number for number in range(count)]
        packed, sha256 = pack_log_file(lines)
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        text = inflater.decompress(packed)
        assert inflater.eof
        assert inflater.unused_data == b""
        assert text == b'{"Records":[' + b",".join(lines) + b"]}"
        assert sha256 == sha256_hex(text)
        assert pack_log_file(lines) == (packed, sha256)


def test_compression_is_a_function_of_the_text():
    assert compress(b"text") == compress(b"text")
    assert compress(b"text")[4:8] == pack_log_file([])[0][4:8] == b"\0\0\0\0"
    assert gzip.decompress(compress(b"text")) == b"text"


def test_the_key_has_region_account_and_minute_of_delivery():
    assert log_file_key("", "", "111122223333", "eu-west-1", NOON, "AbCdEfGh12345678") == (
        "AWSLogs/111122223333/CloudTrail/eu-west-1/2024/05/01/"
        "111122223333_CloudTrail_eu-west-1_20240501T1205Z_AbCdEfGh12345678.json.gz"
    )


def test_prefix_and_organization_stand_in_front():
    key = log_file_key("audit/", "o-abc123", "111122223333", "us-east-1", NOON, "x" * 16)
    assert key.startswith("audit/AWSLogs/o-abc123/111122223333/CloudTrail/us-east-1/2024/05/01/")


def test_times_are_shown_in_utc():
    east = NOON.astimezone(datetime.timezone(datetime.timedelta(hours=14)))
    naive = NOON.replace(tzinfo=None)
    keys = {log_file_key("", "", "1", "r", moment, "u") for moment in (NOON, east, naive)}
    assert len(keys) == 1


def test_the_unique_part_stands_for_what_is_delivered():
    name = unique_name("arn:aws:cloudtrail:us-east-1:1:trail/t", "us-east-1", "17")
    assert re.fullmatch("[A-Za-z0-9]{16}", name)
    assert name == unique_name("arn:aws:cloudtrail:us-east-1:1:trail/t", "us-east-1", "17")
    assert name != unique_name("arn:aws:cloudtrail:us-east-1:1:trail/t", "us-east-1", "18")
    assert unique_name("a", "bc") != unique_name("ab", "c")


def test_hashes_are_lower_case_hexadecimal():
    assert sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
