"""Forms, cut into pieces wherever a network may cut them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentrail.errors import AwsError
from opentrail.wire.multipart_form import FIELDS_BYTES_MAX, HEAD_BYTES_MAX, Form, read_form_head
from opentrail.wire.post_policy import LengthRange

TYPE = "multipart/form-data; boundary=b"


class Pieces:
    """A `call.Body` that comes in pieces of one size."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data, self._size = data, size
        self.length: int | None = len(data)
        self.received = 0
        self.trailers: dict[str, str] = {}

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._data), self._size):
            self.received = start + self._size
            yield self._data[start : start + self._size]

    async def read_all(self, limit: int) -> bytes:
        return self._data[:limit]


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


FORM = (
    part("Key", b"a/${filename}")
    + part("policy", b"${filename}")
    + part("KEY", b"second")
    + part("file", b"x\r\n--\r\n--bb\r\n-", '; filename="/tmp/\xfc.txt"')
    + part("after", b"z")
    + b"--b--\r\n"
)


async def read(data: bytes, size: int, kind: str = TYPE) -> tuple[Form, bytes]:
    form = await read_form_head(Pieces(data, size), kind)
    return form, b"".join([piece async for piece in form.file])


@pytest.mark.parametrize("size", [*range(1, 40), 1_000])
async def test_pieces(size: int) -> None:
    data = FORM.replace(b"x\r\n--\r\n--bb\r\n-", b"x\r\n--\r\n--c\r\n-")
    form, file = await read(data, size)
    assert form.fields == {"key": "a/\xfc.txt", "policy": "${filename}"}
    assert file == b"x\r\n--\r\n--c\r\n-"
    assert form.file.size == len(file)


async def test_a_line_that_only_begins_like_the_boundary_is_none() -> None:
    with pytest.raises(AwsError, match="MalformedPOSTRequest"):
        await read(FORM, 1_000)


@given(st.binary(max_size=200), st.integers(1, 50), st.integers(0, 60))
async def test_any_file(data: bytes, size: int, ahead: int) -> None:
    if b"\r\n--b" in b"\r\n" + data:
        return
    form = await read_form_head(Pieces(part("file", data) + b"--b--", size), TYPE)
    assert await form.file.is_within(ahead) == (len(data) <= ahead)
    assert b"".join([piece async for piece in form.file]) == data


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"--b--\r\n", "InvalidArgument"),
        (part("a", b"") + b"--b--", "InvalidArgument"),
        (part("a", b""), "MalformedPOSTRequest"),
        (part("file", b"x"), "MalformedPOSTRequest"),
        (part("file", b"x") + part("File", b"y") + b"--b--", "InvalidArgument"),
        (part("a", b"\xff") + part("file", b"") + b"--b--", "MalformedPOSTRequest"),
        (part("a", b"a" * FIELDS_BYTES_MAX) + part("file", b"") + b"--b--", "MaxPostPreDataLengthExceeded"),
        (b" " * (HEAD_BYTES_MAX + 1), "MaxPostPreDataLengthExceeded"),
        (b"--b\r\nno header\r\n\r\n", "MalformedPOSTRequest"),
        (b"--b\r\nContent-Disposition: attachment\r\n\r\n", "MalformedPOSTRequest"),
        (b"--b\r\n" + b"a" * 10_000, "MalformedPOSTRequest"),
    ],
)
@pytest.mark.parametrize("size", [7, 100_000])
async def test_what_is_refused(data: bytes, code: str, size: int) -> None:
    with pytest.raises(AwsError) as error:
        await read(data, size)
    assert error.value.code == code


@pytest.mark.parametrize(("least", "most", "code"), [(0, 4, "EntityTooLarge"), (6, 9, "EntityTooSmall"), (5, 5, "")])
async def test_the_length_that_is_allowed(least: int, most: int, code: str) -> None:
    form = await read_form_head(Pieces(part("file", b"12345") + b"--b--", 3), TYPE)
    form.file.allowed = LengthRange(least, most)
    if not code:
        assert await form.file.read_all(5) == b"12345"
        return
    with pytest.raises(AwsError) as error:
        await form.file.read_all(100)
    assert error.value.code == code
