"""What a zip archive from anybody may put into a bucket: its members, checked before the first is read.

Refuses names that leave their place, links, encryption, and archives that unfold into too much. Works on an open file;
knows nothing of S3 or pipelines.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import AsyncIterator
from typing import IO

from opentrail.errors import AwsError

MEMBERS_MAX = 100_000
UNPACKED_BYTES_MAX = 5 * 1024**3
"""Bytes of all members together."""
RATIO_MAX = 200
"""Unpacked bytes for each byte of the archive, once more than RATIO_FREE_BYTES come out of it."""
RATIO_FREE_BYTES = 64 * 1024**2
DIRECTORY_BYTES_MAX = 64 * 1024**2
"""Bytes of the archive's central directory, which is read at once."""
NAME_BYTES_MAX = 1_024
CHUNK_BYTES = 64 * 1024
_END, _END64_LOCATOR, _END64 = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
_END_SIZE, _LOCATOR_SIZE, _END64_SIZE, _COMMENT_MAX = 22, 20, 56, 65_535
_ENCRYPTED = 0x1
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError, struct.error)


class BadArchive(Exception):
    """The archive is not one, or not one to unpack; the text says why."""


def open_archive(file: IO[bytes], size: int) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
    """The archive and its files, all of them fit to be written; raises BadArchive.

    The size of the directory is checked before it is read. Of members with the same name the last one counts.
    """
    _check_directory(file, size)
    try:
        archive = zipfile.ZipFile(file)
    except _BROKEN as error:
        raise BadArchive(f"The artifact is not a valid zip archive: {error}") from error
    members = archive.infolist()
    for member in members:
        _check_member(member)
    _check_total(members, size)
    files = {member.filename: member for member in members if not member.is_dir()}
    return archive, list(files.values())


def _check_directory(file: IO[bytes], size: int) -> None:
    """Read the end of the archive: how many members, how large a directory."""
    start = max(0, size - _END_SIZE - _COMMENT_MAX - _LOCATOR_SIZE)
    file.seek(start)
    tail = file.read(size - start)
    place = tail.rfind(_END)
    if place < 0 or len(tail) - place < _END_SIZE:
        raise BadArchive("The artifact is not a zip archive")
    count, directory = struct.unpack_from("<HL", tail, place + 10)
    locator = place - _LOCATOR_SIZE
    if locator >= 0 and tail[locator : locator + 4] == _END64_LOCATOR:
        count, directory = _end64(file, struct.unpack_from("<Q", tail, locator + 8)[0], size)
    if count > MEMBERS_MAX:
        raise BadArchive(f"The archive has {count} members; the most is {MEMBERS_MAX}")
    if directory > DIRECTORY_BYTES_MAX:
        raise BadArchive(f"The archive's directory has {directory} bytes; the most is {DIRECTORY_BYTES_MAX}")


def _end64(file: IO[bytes], offset: int, size: int) -> tuple[int, int]:
    if offset + _END64_SIZE > size:
        raise BadArchive("The artifact is not a valid zip archive")
    file.seek(offset)
    record = file.read(_END64_SIZE)
    if not record.startswith(_END64):
        raise BadArchive("The artifact is not a valid zip archive")
    count, directory = struct.unpack_from("<QQ", record, 32)
    return count, directory


def _check_member(member: zipfile.ZipInfo) -> None:
    name = member.orig_filename
    parts = name.replace("\\", "/").split("/")
    mode = member.external_attr >> 16
    if not name or "\0" in name or "\\" in name or name.startswith("/") or ".." in parts or name[1:2] == ":":
        raise BadArchive(f"The archive has a member whose name leaves its place: {name!r}")
    try:
        length = len(name.encode())
    except UnicodeEncodeError as error:
        raise BadArchive(f"The archive has a member whose name is no text: {name!r}") from error
    if length > NAME_BYTES_MAX:
        raise BadArchive(f"The archive has a member whose name is longer than {NAME_BYTES_MAX} bytes")
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise BadArchive(f"The archive has a member that is a link or a device: {name!r}")
    if member.flag_bits & _ENCRYPTED or member.compress_type not in _METHODS:
        raise BadArchive(f"The archive has a member that is encrypted or packed in an unknown way: {name!r}")


def _check_total(members: list[zipfile.ZipInfo], size: int) -> None:
    if len(members) > MEMBERS_MAX:
        raise BadArchive(f"The archive has {len(members)} members; the most is {MEMBERS_MAX}")
    total = sum(member.file_size for member in members)
    if total > UNPACKED_BYTES_MAX:
        raise BadArchive(f"The archive unpacks to {total} bytes; the most is {UNPACKED_BYTES_MAX}")
    if total > RATIO_FREE_BYTES and total > RATIO_MAX * size:
        raise BadArchive(f"The archive unpacks to more than {RATIO_MAX} times its size")


class MemberStream:
    """A member's bytes as a `ByteStream`, unpacked as they are asked for."""

    def __init__(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        self.length = member.file_size
        self._archive = archive
        self._member = member

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises AwsError when the archive turns out to be damaged, so that nothing of the member is stored."""
        left = self.length
        try:
            with self._archive.open(self._member) as source:
                while chunk := source.read(CHUNK_BYTES):
                    left -= len(chunk)
                    yield chunk
        except _BROKEN as error:
            raise self._damaged() from error
        if left:
            raise self._damaged()

    def _damaged(self) -> AwsError:
        return AwsError("IncompleteBody", f"The member {self._member.filename!r} of the archive is damaged", 400)

    def runs(self) -> None:
        return None

    async def close(self) -> None:
        return None
