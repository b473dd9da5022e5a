"""Settings of the lake: where it is, and how its catalog and its store are reached.

Belongs here: their names, defaults and what must go together. Does not: other settings (`settings`), what a lake is
(`warehouse.lake`).
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from orchestration.division import Landing
from orchestration.setting_texts import SettingsError, local_path, read_secret, scheme_and_path
from warehouse.lake import Lake
from warehouse.lake_places import DEFAULT_REGION, Bucket, Server, is_postgres, parse_bucket, parse_server


class LakeSettings(BaseSettings):
    """The part of all settings that the lake is found by; one that is not set lies in `data_dir`."""

    data_dir: Path
    lake_url: str | None = None
    lake_password_file: Path | None = None
    lake_s3_endpoint: str = ""
    lake_s3_region: str = DEFAULT_REGION
    lake_s3_key_id: str = ""
    lake_s3_secret_file: Path | None = None
    # In this order: a store needs a catalog that others reach too, and a key.
    lake_data: str | None = Field(default=None, validate_default=True)
    lake_history_days: int = Field(default=30, ge=2)
    landing: Landing = Landing.HERE

    @field_validator("lake_url")
    @classmethod
    def _catalog_in_sqlite_or_postgres(cls, value: str | None) -> str | None:
        if value is not None and is_postgres(value):
            parse_server(value)
            return value
        scheme, path = scheme_and_path(value or "")
        if scheme not in ("", "sqlite") or (value is not None and not path):
            # The address of a database server may hold a password.
            raise ValueError(
                "is neither a SQLite file such as sqlite:/data/lake/catalog.sqlite nor a PostgreSQL database "
                "such as ducklake:postgres://htw@db.example:5432/lake"
            )
        return value

    @field_validator("lake_data")
    @classmethod
    def _data_in_a_folder_or_bucket(cls, value: str | None, info: ValidationInfo) -> str | None:
        # An address that is wrong is not among the data, and named already.
        is_shared = is_postgres(info.data.get("lake_url") or "")
        if value is None and is_shared:
            raise ValueError(
                "is not set, and the lake of HTW_LAKE_URL is shared: name a bucket (s3://bucket/lake) or a shared folder"
            )
        scheme, path = scheme_and_path(value or "")
        if scheme == "s3":
            _bucket(str(value))
            lacking = [] if is_shared or "lake_url" not in info.data else ["HTW_LAKE_URL in PostgreSQL"]
            lacking += [
                f"HTW_{name.upper()}"
                for name in ("lake_s3_key_id", "lake_s3_secret_file")
                if not info.data.get(name, "wrong already")
            ]
            if lacking:
                raise ValueError(f"on an object store needs {' and '.join(lacking)} too")
        elif scheme not in ("", "file") or (value is not None and not path):
            raise ValueError(f"is {value!r}, which is neither a folder nor a bucket and prefix such as s3://bucket/lake")
        return value

    @field_validator("landing")
    @classmethod
    def _landing_in_a_shared_lake(cls, value: Landing, info: ValidationInfo) -> Landing:
        # An address that is wrong is not among the data, and named already.
        if value.is_shared and "lake_url" in info.data and not is_postgres(info.data["lake_url"] or ""):
            raise ValueError(f"is {value.value}, which needs a lake that machines share: HTW_LAKE_URL in PostgreSQL")
        return value

    @field_validator("lake_s3_endpoint")
    @classmethod
    def _store_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (
            parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or "@" in parts.netloc
        ):
            raise ValueError("is no address of a store such as https://minio.example:9000")
        return value

    @property
    def lake(self) -> Lake:
        """Where the lake is: its catalog, and its Parquet files. Raises `SettingsError` where a secret file is gone."""
        return self.lake_at(self.lake_url, self.lake_data)

    def lake_at(self, url: str | None, data: str | None) -> Lake:
        """A lake at places other than those set, with the same passwords and keys. Raises `SettingsError` and `ValueError`."""
        usual = Lake.below(self.data_dir)
        self._catalog_in_sqlite_or_postgres(url)
        if url and is_postgres(url) and not data:
            raise ValueError("is not named: a bucket (s3://bucket/lake) or a shared folder")
        if url and is_postgres(url):
            catalog: Path | Server = parse_server(url).with_password(self._secret("lake_password_file"))
        else:
            catalog = local_path(url) or usual.catalog
        if data and scheme_and_path(data)[0] == "s3":
            return Lake(catalog, self.bucket_at(data))
        beside = catalog.parent / "data" if url and isinstance(catalog, Path) else usual.data
        return Lake(catalog, local_path(data) or beside)

    def bucket_at(self, address: str) -> Bucket:
        """A bucket and prefix, reached with the keys that are set. Raises `SettingsError` and `ValueError`."""
        secret = self._secret("lake_s3_secret_file")
        return _bucket(address).with_access(self.lake_s3_endpoint, self.lake_s3_region, self.lake_s3_key_id, secret)

    def _secret(self, name: str) -> str:
        """What the secret file of a setting holds; empty where none is set."""
        file = getattr(self, name)
        try:
            return read_secret(file) if file else ""
        except ValueError as error:
            raise SettingsError(f"HTW_{name.upper()} {error}") from None


def _bucket(address: str) -> Bucket:
    """Raises `ValueError` for what is no bucket, or holds a key: the address is shown to whoever reads the lake."""
    if "@" in address:
        raise ValueError("holds a key; name bucket and prefix alone, and the key by the HTW_LAKE_S3 settings")
    return parse_bucket(address)
