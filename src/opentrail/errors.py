"""The one error a caller can see, and those that only the house sees.

This module knows nothing of protocols: `wire.answer` turns an `AwsError` into XML, JSON or CBOR, and looks up the status
and the standard message of its code in the model when none is given here.
"""

from __future__ import annotations

from collections.abc import Mapping


class AwsError(Exception):
    """An error of AWS's, as the client gets it and as the record names it.

    `code` is the wire code (`NoSuchBucket`, `TrailNotFoundException`); `message` the sentence (empty: the standard
    message of the code); `status` the HTTP status (0: the model's, 400 where it says nothing). `fields` are extra
    elements of the error body (`BucketName`, `Key`, …), `headers` extra response headers. `page` is set where people read
    the answer in a browser: a page of HTML, empty for one that tells the error itself; None is the protocol's document.
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        status: int = 0,
        *,
        headers: Mapping[str, str] | None = None,
        **fields: str,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.status = status
        self.headers: Mapping[str, str] = headers or {}
        self.fields = fields
        self.page: bytes | None = None


class Conflict(Exception):
    """What a unit has read was changed by somebody else before it was committed; the gate walks the call again."""


class LedgerUnavailable(Exception):
    """The ledger could not make a commit durable (disk full, connection lost). Nothing of the unit happened."""


class HistoryUnavailable(Exception):
    """The event history cannot answer a search completely: a part of it is damaged, or is being built again. `mend` says
    that building it again from the ledger would help and has not begun."""

    def __init__(self, message: str, *, mend: bool = False) -> None:
        super().__init__(message)
        self.mend = mend
