"""One boto3 client for all tests of S3's families, and a fresh world for each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opentrail.model.load import Models, load_models
from tests.services.s3.world import BUCKET, Wire, World, new_client


@pytest.fixture(scope="session")
def wire() -> Wire:
    return Wire()


@pytest.fixture(scope="session")
def client(wire: Wire) -> Any:
    return new_client(wire)


@pytest.fixture(scope="session")
def stranger(wire: Wire) -> Any:
    """A client that does not sign."""
    return new_client(wire, signed=False)


@pytest.fixture(scope="session")
def models() -> Models:
    return load_models()


@pytest.fixture
def world(wire: Wire, models: Models, tmp_path: Path) -> Iterator[World]:
    loop = asyncio.new_event_loop()
    wire.world = World(tmp_path, models, loop)
    yield wire.world
    wire.world = None
    loop.close()


@pytest.fixture
def s3(client: Any, world: World) -> Any:
    """The client, with a bucket that is there."""
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def versioned(s3: Any) -> Any:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return s3
