"""A browser's form (multipart/form-data) as S3 takes it: the fields first, then one file, read as it comes.

Pure: gets the body as a stream and hands the file on as one. The syntax is left to `multipart`; here are S3's limits and
its words for what is wrong. Knows nothing of policies, signatures and objects. Source: S3 API Reference, "POST Object".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TypeAlias

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from opentrail.call import Body
from opentrail.errors import AwsError
from opentrail.wire.post_policy import LengthRange

FIELDS_BYTES_MAX = 20 * 1024
"""Names and values of all fields before the file."""
HEAD_BYTES_MAX = FIELDS_BYTES_MAX + 64 * 1024
"""Bytes of the body before the file, with what stands around the fields."""
PARTS_MAX = 1_000
HEADER_BYTES_MAX = 4 * 1024
FORM_TYPE = "multipart/form-data"
FILE = "file"
"""Name of the field that is the file, in any case."""
FILENAME = "${filename}"
"""What the file's name is put in the place of, in any field."""
NOT_EXPANDED = frozenset({"policy", "signature", "x-amz-signature"})

Event: TypeAlias = MultipartSegment | bytes | None


class Form:
    """The fields by their names in lower case, and the file that follows them."""

    __slots__ = ("fields", "file")

    def __init__(self, fields: dict[str, str], file: FormFile) -> None:
        self.fields = fields
        self.file = file


class FormFile:
    """The file: a `Body` that ends where the file does. What follows it in the form is read and means nothing."""

    __slots__ = ("_ahead", "_body", "_ended", "_events", "allowed", "length", "size", "trailers")

    def __init__(self, body: Body, events: AsyncIterator[Event]) -> None:
        self.length: int | None = None
        """A form does not say how long its file is."""
        self.trailers: Mapping[str, str] = {}
        self.allowed = LengthRange()
        self.size = 0
        self._body = body
        self._events = events
        self._ahead: list[bytes] = []
        self._ended = False

    @property
    def received(self) -> int:
        return self._body.received

    async def is_within(self, limit: int) -> bool:
        """Read ahead: does the file end within `limit` bytes?"""
        ahead = sum(map(len, self._ahead))
        while not self._ended and ahead <= limit:
            piece = await self._next()
            self._ahead.append(piece)
            ahead += len(piece)
        return ahead <= limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        ahead, self._ahead = self._ahead, []
        for piece in ahead:
            yield piece
        while not self._ended:
            piece = await self._next()
            if piece:
                yield piece

    async def read_all(self, limit: int) -> bytes:
        """The whole file; raises AwsError("EntityTooLarge") for one of more than `limit` bytes."""
        pieces = []
        async for piece in self:
            LengthRange(0, limit).check(self.size)
            pieces.append(piece)
        return b"".join(pieces)

    async def _next(self) -> bytes:
        """Some more bytes of the file, none when it has just ended. Raises EntityTooLarge and EntityTooSmall."""
        event = await anext(self._events)
        if isinstance(event, bytes):
            self.size += len(event)
            LengthRange(0, self.allowed.most).check(self.size)
            return event
        self.allowed.check(self.size)
        await self._pass_over()
        self._ended = True
        return b""

    async def _pass_over(self) -> None:
        """Read to the form's end. Only after it is the file known to be whole."""
        files = 1
        async for event in self._events:
            files += isinstance(event, MultipartSegment) and _is_file(event)
        if files > 1:
            raise one_file(files)


def _is_file(part: MultipartSegment) -> bool:
    return (part.name or "").lower() == FILE


def one_file(found: int) -> AwsError:
    """A form without a file, or with several."""
    message = "POST requires exactly one file upload per request."
    return AwsError("InvalidArgument", message, 400, ArgumentName=FILE, ArgumentValue=str(found))


def _malformed() -> AwsError:
    message = "The body of your POST request is not well-formed multipart/form-data."
    return AwsError("MalformedPOSTRequest", message, 400)


def _too_long() -> AwsError:
    message = "Your POST request fields preceding the upload file were too large."
    return AwsError("MaxPostPreDataLengthExceeded", message, 400)


async def read_form_head(body: Body, content_type: str) -> Form:
    """Read the fields, up to where the file begins. Raises the AwsError of a body that is no form, or too much of one."""
    events = _events(body, _parser(content_type))
    fields: dict[str, str] = {}
    size = 0
    part: MultipartSegment | None = None
    value: list[bytes] = []
    async for event in events:
        if isinstance(event, MultipartSegment):
            if _is_file(event):
                return Form(_expanded(fields, event.filename or ""), FormFile(body, events))
            part, value = event, []
            size += len(event.name or "")
        elif isinstance(event, bytes):
            value.append(event)
            size += len(event)
        elif part is not None:
            fields.setdefault((part.name or "").lower(), _text(b"".join(value)))
        if size > FIELDS_BYTES_MAX:
            raise _too_long()
    raise one_file(0)


def _parser(content_type: str) -> PushMultipartParser:
    kind, options = parse_options_header(content_type)
    if kind.lower() != FORM_TYPE:
        condition = "Bucket POST must be of the enclosure-type multipart/form-data"
        message = "At least one of the pre-conditions you specified did not hold"
        raise AwsError("PreconditionFailed", message, 412, Condition=condition)
    try:
        return PushMultipartParser(
            options.get("boundary", ""), max_header_size=HEADER_BYTES_MAX, max_segment_count=PARTS_MAX
        )
    except (MultipartError, UnicodeError) as error:
        raise _malformed() from error


async def _events(body: Body, parser: PushMultipartParser) -> AsyncIterator[Event]:
    """What the parser sees, to the end of a form that is whole."""
    taken, in_file = 0, False
    try:
        async for data in body:
            for event in parser.parse(data) if data else ():
                in_file = in_file or (isinstance(event, MultipartSegment) and _is_file(event))
                yield event
            taken += len(data)
            if not in_file and taken > HEAD_BYTES_MAX:
                raise _too_long()
        parser.close()
    except MultipartError as error:
        raise _malformed() from error


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeError as error:
        raise _malformed() from error


def _expanded(fields: dict[str, str], filename: str) -> dict[str, str]:
    """The fields with the file's name in them. Some browsers send its whole path."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    return {field: value if field in NOT_EXPANDED else value.replace(FILENAME, name) for field, value in fields.items()}
