"""Where a lake that several machines share lies: a catalog in PostgreSQL, data on an S3-compatible store or in a shared folder.

Belongs here: the two places as values, from what is written in settings. Does not: which are set (`orchestration.settings`),
attaching them (`lake`), locks (`lake_locks`). A password or key is part of neither `str()` nor `repr()`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

DEFAULT_PORT = 5432
DEFAULT_REGION = "us-east-1"
POSTGRES_URL = re.compile(r"(?i)(?:ducklake:)?(postgres(?:ql)?://.*)", re.DOTALL)
POSTGRES_WORDS = re.compile(r"(?i)ducklake:postgres:(?!//)(.*)", re.DOTALL)
WRITTEN = "such as ducklake:postgres://htw@db.example:5432/lake"


@dataclass(frozen=True)
class Server:
    """A PostgreSQL database that holds a catalog. TLS is asked for by libpq's own variables (`PGSSLMODE`, ...)."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"postgresql://{self.user}@{self.host}:{self.port}/{self.database}"

    def with_password(self, password: str) -> Server:
        return replace(self, password=password)


@dataclass(frozen=True)
class Bucket:
    """A prefix of an S3-compatible store that one lake has for itself; without an endpoint, Amazon's."""

    address: str
    endpoint: str = ""
    region: str = DEFAULT_REGION
    key_id: str = ""
    secret: str = field(default="", repr=False)

    def __str__(self) -> str:
        return self.address

    def with_access(self, endpoint: str, region: str, key_id: str, secret: str) -> Bucket:
        return replace(self, endpoint=endpoint, region=region, key_id=key_id, secret=secret)

    @property
    def host(self) -> str:
        """Host and port of the endpoint; empty where it is Amazon's."""
        return urlsplit(self.endpoint).netloc

    @property
    def is_encrypted(self) -> bool:
        return urlsplit(self.endpoint).scheme != "http"


def is_postgres(text: str) -> bool:
    return bool(POSTGRES_URL.fullmatch(text) or POSTGRES_WORDS.fullmatch(text))


def parse_server(text: str) -> Server:
    """`ducklake:postgres://user@host:port/database`, or DuckLake's `ducklake:postgres:dbname=... host=... user=...`.

    Raises `ValueError`, which never shows the text: it may hold a password, whose place is a file.
    """
    from psycopg2 import ProgrammingError
    from psycopg2.extensions import parse_dsn

    found = POSTGRES_URL.fullmatch(text) or POSTGRES_WORDS.fullmatch(text)
    try:
        parts = parse_dsn(found[1]) if found else {}
    except ProgrammingError:
        parts = {}
    if "password" in parts:
        raise ValueError("holds a password; keep it in a file that HTW_LAKE_PASSWORD_FILE names")
    port = parts.pop("port", str(DEFAULT_PORT))
    if set(parts) != {"host", "dbname", "user"} or not all(parts.values()) or not port.isdigit():
        raise ValueError(f"is no address of a user, host and database of PostgreSQL alone, {WRITTEN}")
    return Server(parts["host"], int(port), parts["dbname"], parts["user"])


def parse_bucket(text: str) -> Bucket:
    """`s3://bucket/prefix`. Raises `ValueError`."""
    parts = urlsplit(text)
    if parts.scheme != "s3" or not parts.netloc or not parts.path.strip("/") or parts.query or "@" in parts.netloc:
        raise ValueError("is no bucket and prefix such as s3://bucket/lake")
    return Bucket(text.rstrip("/"))
