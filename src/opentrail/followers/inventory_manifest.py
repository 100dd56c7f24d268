"""What stands beside an inventory's data files: the manifest, its checksum, Hive's list of links; and what all are called.

Source: S3 user guide, "Locating your inventory list", and manifests that S3 wrote. Knows nothing of rows and of delivery.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from opentrail.call import Shape
from opentrail.rows.s3_inventory import InventoryFile, InventoryRun, Stage, columns_of, file_schema, stamp

MANIFEST_VERSION = "2016-11-30"
ARN = "arn:aws:s3:::"


def target_of(config: dict[str, Any]) -> dict[str, Any]:
    """The destination of a configuration."""
    target: dict[str, Any] = config["Destination"]["S3BucketDestination"]
    return target


def base(source: str, config: dict[str, Any]) -> str:
    """What the keys of all of a configuration's files begin with."""
    prefix = target_of(config).get("Prefix", "").rstrip("/")
    return f"{prefix}/{source}/{config['Id']}" if prefix else f"{source}/{config['Id']}"


def key_of(stage: Stage, source: str, config: dict[str, Any], run: InventoryRun) -> str:
    """The key of the file that ends a stage."""
    start = base(source, config)
    if stage == "symlink":
        return f"{start}/hive/dt={stamp(run.started, '%Y-%m-%d-%H-%M')}/symlink.txt"
    return f"{start}/{stamp(run.started, '%Y-%m-%dT%H-%MZ')}/manifest.{'json' if stage == 'manifest' else 'checksum'}"


def put_input(config: dict[str, Any], key: str) -> Shape:
    """PutObject's input for any file of an inventory, as the destination's policy may ask for it."""
    target = target_of(config)
    shape: Shape = {"Bucket": target["Bucket"].rpartition(":")[2], "Key": key, "ACL": "bucket-owner-full-control"}
    encryption = target.get("Encryption") or {}
    if "SSES3" in encryption:
        shape["ServerSideEncryption"] = "AES256"
    if "SSEKMS" in encryption:
        shape |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": encryption["SSEKMS"]["KeyId"]}
    if target.get("AccountId"):
        shape["ExpectedBucketOwner"] = target["AccountId"]
    return shape


def manifest(source: str, config: dict[str, Any], run: InventoryRun, files: Iterable[InventoryFile]) -> bytes:
    """manifest.json."""
    target = target_of(config)
    shown = {
        "sourceBucket": source,
        "destinationBucket": target["Bucket"],
        "version": MANIFEST_VERSION,
        "creationTimestamp": str(int(run.started * 1000)),
        "fileFormat": target["Format"],
        "fileSchema": file_schema(target["Format"], columns_of(config)),
        "files": [{"key": file.key, "size": file.size, "MD5checksum": file.md5} for file in files],
    }
    return json.dumps(shown, indent=2, separators=(",", " : "), ensure_ascii=False).encode("utf-8", "surrogatepass")


def checksum(manifest_json: bytes) -> bytes:
    """manifest.checksum."""
    return hashlib.md5(manifest_json, usedforsecurity=False).hexdigest().encode() + b"\n"


def links(config: dict[str, Any], files: Iterable[InventoryFile]) -> bytes:
    """symlink.txt."""
    bucket = target_of(config)["Bucket"].rpartition(":")[2]
    return "\n".join(f"s3://{bucket}/{file.key}" for file in files).encode("utf-8", "surrogatepass")
