"""A shared lake for tests: catalogs in a real PostgreSQL, data in an S3-compatible server on loopback (moto)."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from moto.server import ThreadedMotoServer

from orchestration.services import LOOPBACK, free_port
from tests.production.cluster import PASSWORD, USER, Cluster
from warehouse.lake import Lake
from warehouse.lake_places import Bucket, Server

BUCKET, KEY_ID, SECRET = "bucket", "key", "se'cr/et+"
PATIENCE_TRIES = 10


@dataclass
class Store:
    """A server that can be stopped and started again, and keeps what it has meanwhile."""

    port: int
    server: ThreadedMotoServer

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        self.server = ThreadedMotoServer(ip_address=LOOPBACK, port=self.port, verbose=False)
        self.server.start()

    def stop(self) -> None:
        self.server.stop()


@contextmanager
def running_store() -> Iterator[Store]:
    """With an empty bucket in it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    port = free_port()
    store = Store(port, ThreadedMotoServer(ip_address=LOOPBACK, port=port, verbose=False))
    store.start()
    try:
        make_bucket(store.endpoint)
        yield store
    finally:
        store.stop()


@contextmanager
def store_process() -> Iterator[str]:
    """The endpoint of a server in a process of its own, with an empty bucket in it: for those who ask it without a pause."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            endpoint = f"http://{LOOPBACK}:{port}"
            make_bucket(endpoint)
            yield endpoint
        finally:
            server.terminate()


def make_bucket(endpoint: str) -> None:
    """Make the bucket in a server that may not have begun to listen."""
    import boto3
    from botocore.config import Config

    access = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    patient = Config(retries={"max_attempts": PATIENCE_TRIES})
    boto3.client("s3", endpoint_url=endpoint, config=patient, **access).create_bucket(Bucket=BUCKET)


def shared_lake(port: int, database: str, endpoint: str) -> Lake:
    """The lake of a database, its data under a prefix of the same name; other processes find it by the same words."""
    server = Server(LOOPBACK, port, database, USER, PASSWORD)
    return Lake(server, Bucket(f"s3://{BUCKET}/{database}", endpoint, key_id=KEY_ID, secret=SECRET))


def new_lake(cluster: Cluster, store: Store, database: str) -> Lake:
    """A lake of which nothing is there yet."""
    cluster.ask(f"create database {database}")
    return shared_lake(cluster.port, database, store.endpoint)
