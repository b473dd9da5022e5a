"""Objects below a prefix of an S3-compatible store: listed, sent and read, with the store's errors in one line.

Belongs here: boto3. Does not: what the objects mean (`vault_copies`), Parquet of the lake, which DuckDB reads and writes itself.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from warehouse.connection import WarehouseError
from warehouse.lake_places import Bucket

PACKAGE = "boto3"
AT_ONCE = 8
CHUNK_BYTES = 1 << 20
MOST_BYTES = 5_000_000_000  # of one request
PATIENCE = {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 4, "mode": "standard"}}
STORE_MEND = "see the HTW_LAKE_S3 settings, then run the command again: it goes on where it was"


class StoreError(WarehouseError):
    """A store cannot be used, or does not hold what it should."""


class Store:
    """The objects below a prefix, by their names below it; safe to use from several threads. Raises `StoreError`."""

    def __init__(self, bucket: Bucket) -> None:
        if importlib.util.find_spec(PACKAGE) is None:
            raise StoreError(
                f"{PACKAGE} is not installed, which speaks to object stores", "run `pip install '.[s3]'` where this project is"
            )
        import boto3
        from botocore.config import Config

        self._bucket = bucket
        self._name, _, prefix = bucket.address.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/"
        self._client: Any = boto3.client(
            "s3", endpoint_url=bucket.endpoint or None, region_name=bucket.region, aws_access_key_id=bucket.key_id or None,
            aws_secret_access_key=bucket.secret or None, config=Config(max_pool_connections=AT_ONCE, **PATIENCE),
        )  # fmt: skip

    def sizes(self) -> dict[str, int]:
        """Bytes of every object, by its name."""
        with self._errors():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=self._prefix)
            found = [entry for page in pages for entry in page.get("Contents", ())]
        return {entry["Key"].removeprefix(self._prefix): entry["Size"] for entry in found}

    def put(self, name: str, path: Path) -> None:
        """Send a file, which the store refuses where what arrives has another sha256."""
        with path.open("rb") as file, self._errors():
            size = os.fstat(file.fileno()).st_size
            if size > MOST_BYTES:
                raise StoreError(f"{path} has {size:,} bytes, more than one request takes", "send it with the store's own tool")
            digest = base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()
            file.seek(0)
            self._client.put_object(
                Bucket=self._name, Key=self._prefix + name, Body=file, ContentLength=size, ChecksumSHA256=digest
            )

    def read(self, name: str, target: BinaryIO) -> None:
        """Write the bytes of an object, as the store has them, to a file that is open."""
        with self._errors():
            body = self._client.get_object(Bucket=self._name, Key=self._prefix + name)["Body"]
            for chunk in body.iter_chunks(CHUNK_BYTES):
                target.write(chunk)

    def text(self, name: str) -> str:
        """What a small object says; empty where there is none."""
        with self._errors():
            try:
                found = self._client.get_object(Bucket=self._name, Key=self._prefix + name)
            except self._client.exceptions.NoSuchKey:
                return ""
            return str(found["Body"].read(CHUNK_BYTES).decode(errors="replace")).strip()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """The store's errors in one line; they name no secret."""
        try:
            yield
        except (StoreError, OSError):
            raise
        except Exception as error:
            if not any(kind.__module__.startswith(("botocore", "boto3")) for kind in type(error).__mro__):
                raise
            words = " ".join(str(error).split())
            raise StoreError(f"the store of {self._bucket} cannot be used ({words})", STORE_MEND) from error
