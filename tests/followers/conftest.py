"""Followers of S3's see the world of S3's own tests: boto3 on the real gate, without a socket."""

from __future__ import annotations

from tests.services.s3.conftest import client, models, s3, versioned, wire, world

__all__ = ["client", "models", "s3", "versioned", "wire", "world"]
