"""boto3 for the benchmark: clients that ask once and do not wait, and presigned requests for wrk to send."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

REGION = "us-east-1"
PRESIGNED_SECONDS = 86_400
CONFIG = Config(
    signature_version="v4",
    s3={"addressing_style": "path"},
    retries={"total_max_attempts": 1},
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)

Key = tuple[str, str]
"""(access key id, secret access key)."""
Asked = tuple[str, dict[str, Any]]
"""(boto3 method, its parameters)."""


def client(service: str, url: str, key: Key) -> Any:
    """A boto3 client of one service at a server."""
    config = CONFIG.merge(Config(signature_version="s3v4")) if service == "s3" else CONFIG
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=key[0],
        aws_secret_access_key=key[1],
        config=config,
    )


def presigned(s3: Any, asked: Iterable[Asked]) -> list[tuple[str, str]]:
    """(method, path with query) of each call, signed in its query."""
    requests = []
    for operation, parameters in asked:
        name = s3.meta.method_to_api_mapping[operation]
        method = s3.meta.service_model.operation_model(name).http["method"]
        url = urlsplit(s3.generate_presigned_url(operation, parameters, ExpiresIn=PRESIGNED_SECONDS))
        requests.append((method, f"{url.path}?{url.query}"))
    return requests
