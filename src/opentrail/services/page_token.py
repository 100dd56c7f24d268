"""Tokens of pages: the place where a page ended, in an alphabet that any parameter can carry.

A token keeps nothing and never expires. Which error refuses one that was never handed out is the service's to say.
"""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode

from opentrail.errors import AwsError


def write_token(place: str) -> str:
    return urlsafe_b64encode(place.encode("utf-8", "surrogatepass")).decode()


def read_token(token: str, refusal: AwsError) -> str:
    """The place that a token means; raises `refusal` for what is none."""
    try:
        return b64decode(token.encode("ascii"), b"-_", validate=True).decode("utf-8", "surrogatepass")
    except ValueError as error:  # UnicodeError and binascii.Error are
        raise refusal from error
