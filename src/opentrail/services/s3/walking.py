"""A walk over rows keyed `bucket key suffix`, in key order, that seeks past every common prefix.

Serves listings of versions and of uploads, and inventories. Knows tables and keys, no operation and no row's content.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from opentrail.state import Table, Unit

BEHIND_ALL = b"\xff"
"""Sorts behind every continuation of a key, since UTF-8 has no such byte."""
PAGE_FIRST = 64
"""Rows fetched at once while common prefixes may make the walk jump."""


class Found(NamedTuple):
    """A row as it is stored, with the key's parts; or a common prefix, without a row."""

    name: str
    suffix: str = ""
    value: bytes | None = None


class Walk:
    """Rows of one table and bucket whose key begins with `prefix` and whose place is behind `position`.

    `suffixed`: keys end in a part of their own (a version's order, an upload's id). `most` is how many entries are
    wanted, so that no more rows are fetched than can be used.
    """

    def __init__(
        self, table: Table[Any], bucket: str, prefix: str, delimiter: str, *, suffixed: bool, most: int
    ) -> None:
        self._root = table.key(bucket, "")
        self._prefix = prefix
        self._delimiter = delimiter
        self._suffixed = suffixed
        self._page = min(PAGE_FIRST, most + 1) if delimiter else most + 1
        self._position = b""

    def start_behind(self, name: str, suffix: str = "") -> None:
        """Skip everything up to the key (all its rows, or those up to `suffix`), or up to the end of the common prefix."""
        rolled = self._common(name)
        if rolled:
            self._position = self._key(rolled) + BEHIND_ALL
        elif not self._suffixed:
            self._position = self._key(name)
        else:
            self._position = self._key(name) + b"\0" + (suffix.encode("utf-8", "surrogatepass") or BEHIND_ALL)

    def rows(self, unit: Unit) -> Iterator[Found]:
        """Endless as the bucket is; the caller stops."""
        if "\0" in self._prefix:
            return
        prefix_key = self._key(self._prefix)
        while True:
            rows = unit.scan(prefix_key, self._position, self._page)
            jumped = False
            for key, found in rows:
                self._position = key
                name, suffix = self._split(key)
                common = self._common(name)
                if common:
                    self._position = self._key(common) + BEHIND_ALL
                    jumped = True
                    yield Found(common)
                    break
                yield Found(name, suffix, found.value)
            if not jumped and len(rows) < self._page:
                return

    def _key(self, name: str) -> bytes:
        return self._root + name.encode("utf-8", "surrogatepass")

    def _split(self, key: bytes) -> tuple[str, str]:
        text = key[len(self._root) :].decode("utf-8", "surrogatepass")
        name, _, suffix = text.partition("\0")
        return name, suffix

    def _common(self, name: str) -> str:
        """The common prefix a key is rolled up into; empty when it stands for itself."""
        if not self._delimiter or not name.startswith(self._prefix):
            return ""
        found = name.find(self._delimiter, len(self._prefix))
        return "" if found < 0 else name[: found + len(self._delimiter)]


def merge(versions: Iterator[Found], objects: Iterator[Found]) -> Iterator[Found]:
    """Rows and common prefixes of versions and of objects in order; of a key with version rows only those.

    Names compare as their UTF-8 bytes do, since both follow the code points."""
    version, single = next(versions, None), next(objects, None)
    while version is not None or single is not None:
        if version is None or (single is not None and single.name < version.name):
            assert single is not None
            yield single
            single = next(objects, None)
            continue
        yield version
        if single is not None and single.name == version.name:
            single = next(objects, None)
        version = next(versions, None)
