"""The query string of a signed S3 URL as SDKs write it, read at a glance: nothing in it but the signature's parameters.

Four steps of the road ask a query string for something: the route, the signature, the input and the record. Reading one of
these by its general rules costs each of them four to ten microseconds, reading it here costs all of them one. Whatever has
another order, another spelling or anything else in it is none of ours and goes the general way, with the same outcome.
Nothing read here is proven.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

READ_KEPT = 256
"""Query strings that stay read from the first to the last step of their calls."""
URL_CHARS_MAX = 1_024
"""No longer query string is looked at, nor kept."""

# Every value in canonical form. Six parameters of six kinds are each of them once, in whatever order.
_PRESIGNED = re.compile(
    r"(?:(?:X-Amz-Algorithm=(AWS4-HMAC-SHA256)"
    r"|X-Amz-Credential=(([A-Za-z0-9]+)%2F([0-9]{8})%2F([a-z0-9-]+)%2Fs3%2Faws4_request)"
    r"|X-Amz-Date=([0-9]{8}T[0-9]{6}Z)"
    r"|X-Amz-SignedHeaders=([a-z0-9-]+(?:%3B[a-z0-9-]+)*)"
    r"|X-Amz-Expires=([0-9]{1,6})"
    r"|X-Amz-Signature=([0-9a-f]{64})"
    r")(?:&(?!\Z)|\Z)){6}",
    re.ASCII,
)


class Presigned(msgspec.Struct, frozen=True):
    """The parameters of one signature of version 4 in a query string."""

    canonical: str
    """The canonical query string: all but the signature."""
    access_key_id: str
    date: str
    region: str
    time_text: str
    expires_text: str
    signed_headers: tuple[str, ...]
    signature: str
    shown: dict[str, str]
    """What a record shows of them. Not to be changed."""


@lru_cache(maxsize=READ_KEPT)
def read_presigned(query: str) -> Presigned | None:
    """What the query string says if it is of this form."""
    found = _PRESIGNED.fullmatch(query) if len(query) <= URL_CHARS_MAX else None
    if found is None:
        return None
    algorithm, credential, key_id, date, region, time_text, names, expires, signature = found.groups("")
    if not (algorithm and credential and time_text and names and expires and signature) or date != time_text[:8]:
        return None
    canonical = (
        f"X-Amz-Algorithm={algorithm}&X-Amz-Credential={credential}&X-Amz-Date={time_text}"
        f"&X-Amz-Expires={expires}&X-Amz-SignedHeaders={names}"
    )
    signed = names.replace("%3B", ";")
    shown = {
        "X-Amz-Algorithm": algorithm,
        "X-Amz-Date": time_text,
        "X-Amz-SignedHeaders": signed,
        "X-Amz-Expires": expires,
    }
    return Presigned(canonical, key_id, date, region, time_text, expires, tuple(signed.split(";")), signature, shown)
