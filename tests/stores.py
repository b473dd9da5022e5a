"""A shared lake for tests: catalogs in a real PostgreSQL, data in an S3-compatible server on loopback.

That is moto, which keeps all in memory, or, where a store is to be killed, s3rver in a process of its own, which keeps files.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from filelock import FileLock
from moto.server import ThreadedMotoServer

from orchestration.services import LOOPBACK, free_port
from tests.integration.processes import end
from tests.production.cluster import PASSWORD, USER, Cluster
from warehouse.lake import Lake
from warehouse.lake_places import Bucket, Server

BUCKET, KEY_ID, SECRET = "bucket", "key", "se'cr/et+"
PATIENCE_TRIES = 10
S3RVER = "3.7.1"
INSTALL_TIMEOUT_S = 180
# Only its own keys are known to it otherwise. The object that ends it has bytes in its file, and is never answered for.
RUN_S3RVER = """
    const [modules, folder, host, port, bucket, key, secret, deadly] = process.argv.slice(1)
    const fs = require('fs'), S3rver = require(`${modules}/s3rver`)
    require(`${modules}/s3rver/lib/models/account`).DUMMY_ACCOUNT.createKeyPair(key, secret)
    const server = new S3rver({directory: folder, address: host, port, silent: true, configureBuckets: [{name: bucket}]})
    const {store} = server, put = store.putObject.bind(store)
    let left = Number(deadly)
    store.putObject = object => {
        const done = put(object), file = store.getResourcePath(object.bucket, object.key, 'object')
        if (--left !== 0) return done
        const die = () => fs.existsSync(file) && fs.statSync(file).size && process.kill(process.pid, 'SIGKILL')
        setInterval(die, 1)
        return new Promise(() => {})
    }
    server.run().then(() => console.log('listening'))
"""
OBJECT, METADATA = "._S3rver_object", "._S3rver_metadata.json"


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
            end(server)


@dataclass
class FileStore:
    """s3rver over a folder: what it was given is there again when it was killed and started anew.

    It checks neither signatures nor checksums of what it is sent, and writes an object in its place at once.
    """

    modules: Path
    folder: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[str] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def start(self, deadly_put: int = 0) -> None:
        """`deadly_put` is the object, counted from 1, in the middle of which the store kills itself (SIGKILL)."""
        for file in self.folder.rglob(f"*{METADATA}"):
            # It lists nothing where it was killed between making this file and writing it.
            if not file.stat().st_size:
                file.unlink()
        given = (self.modules, self.folder, LOOPBACK, self.port, BUCKET, KEY_ID, SECRET, deadly_put)
        self._process = subprocess.Popen(["node", "-e", RUN_S3RVER, *map(str, given)], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        with self._process.stdout as said:
            assert said.readline() == "listening\n"

    def kill(self) -> None:
        """Also where it is dead already."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def is_dead(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def torn(self) -> list[Path]:
        """The files of objects that were not whole when it was killed: it shows them, which no store in earnest does."""
        return [file for file in self.folder.rglob(f"*{OBJECT}") if not _is_whole(file)]


def _is_whole(file: Path) -> bool:
    """Its sum and its metadata come last."""
    told, metadata = file.with_name(f"{file.name}.md5"), file.with_name(file.name.replace(OBJECT, METADATA))
    if not told.exists() or not metadata.exists() or not metadata.stat().st_size:
        return False
    return told.read_text() == hashlib.md5(file.read_bytes()).hexdigest()


@contextmanager
def file_store(modules: Path, folder: Path) -> Iterator[FileStore]:
    """With an empty bucket in it."""
    store = FileStore(modules, folder)
    store.start()
    try:
        yield store
    finally:
        store.kill()


def s3rver_modules(cache: pytest.Cache) -> Path:
    """Where Node finds s3rver, which npm fetches once; skips the test where it cannot be had."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("s3rver needs node and npm, which are not installed here (Debian: apt-get install nodejs npm)")
    folder = cache.mkdir(f"s3rver-{S3RVER}")
    with FileLock(folder / "lock"):
        if not (folder / "complete").exists():
            _install(npm, folder)
    return folder / "node_modules"


def _install(npm: str, folder: Path) -> None:
    """Packages only: none of their scripts is run."""
    options = ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1"]
    command = [npm, "install", *options, "--prefix", str(folder), f"s3rver@{S3RVER}"]
    try:
        done = subprocess.run(command, text=True, capture_output=True, timeout=INSTALL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install s3rver {S3RVER} within {INSTALL_TIMEOUT_S} s")
    if done.returncode:
        pytest.skip(f"npm cannot install s3rver {S3RVER} ({' '.join(done.stderr.split())[:300]})")
    (folder / "complete").touch()


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


def new_lake(cluster: Cluster, store: Store | FileStore, database: str) -> Lake:
    """A lake of which nothing is there yet."""
    cluster.ask(f"create database {database}")
    return shared_lake(cluster.port, database, store.endpoint)
