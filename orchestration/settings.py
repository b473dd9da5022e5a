"""The only reader of the environment: every setting, typed, with its default.

Belongs here: names, types and defaults of settings (`HTW_*`, or a `.env` file in the working folder). Does not: what is
done with them. All that is missing or wrong is named at once.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from orchestration.hypertracker.client import ApiAccess
from orchestration.hypertracker.datasets import BY_NAME, DATASETS
from orchestration.hypertracker.endpoint import Dataset
from orchestration.hypertracker.links import is_loopback
from orchestration.planning.pace import parse_interval
from orchestration.planning.plans import Plan, parse_plan
from warehouse.lake import Lake
from warehouse.lake_places import DEFAULT_REGION, Server, is_postgres, parse_bucket, parse_server

PRODUCTION_API_URL = "https://ht-api.coinmarketman.com"
PRODUCTION_STORAGE_HOSTS = ("*.amazonaws.com",)
SANDBOX_TOKEN = "sandbox-token"
WAREHOUSE_NAME = "warehouse.duckdb"
SQLITE = "sqlite"
LOCAL = "local"
POSTGRES_SCHEMES = ("postgresql", "postgres")
# A file in the folder of a demo: no other folder is emptied for one.
DEMO_MARKER = "hypertracker-demo"


class SettingsError(Exception):
    """Settings that are missing or wrong; the message lists all of them with their mend."""


class Settings(BaseSettings):
    """Every setting of the project. Paths are absolute once read."""

    model_config = SettingsConfigDict(env_prefix="HTW_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    # In this order: whether a token is missing depends on the two before it.
    api_url: str = PRODUCTION_API_URL
    api_token_file: Path | None = None
    api_token: SecretStr | None = Field(default=None, validate_default=True)
    storage_hosts: Annotated[tuple[str, ...], NoDecode] = PRODUCTION_STORAGE_HOSTS
    data_dir: Path = Path("data")
    published: Path | None = None
    warehouse_url: str | None = None
    lake_url: str | None = None
    lake_password_file: Path | None = None
    lake_s3_endpoint: str = ""
    lake_s3_region: str = DEFAULT_REGION
    lake_s3_key_id: str = ""
    lake_s3_secret_file: Path | None = None
    # In this order: a store needs a catalog that others reach too, and a key.
    lake_data: str | None = Field(default=None, validate_default=True)
    lake_history_days: int = Field(default=30, ge=2)
    hot_days: int = Field(default=7, ge=1)
    raw_days: int = Field(default=7, ge=2)
    plan: str = "free"
    coins: str = "top:20"
    datasets: str = "all"
    freshness: str = ""
    reserve: float = Field(default=0.1, ge=0, le=0.9)
    # May hold a password.
    dagster_storage: SecretStr = SecretStr(SQLITE)
    dagster_password_file: Path | None = None
    code_server: str = ""
    run_launcher: Literal["local", "docker", "kubernetes"] = "local"
    run_config_file: Path | None = None
    alert_slack_webhook: SecretStr | None = None
    alert_webhook: SecretStr | None = None
    # In this order: whether an address is of use depends on the host before it, a sender on the user.
    smtp_host: str = ""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_user: str = ""
    smtp_password: SecretStr | None = Field(default=None, validate_default=True)
    smtp_starttls: bool = True
    alert_email_from: str = ""
    alert_email_to: Annotated[tuple[str, ...], NoDecode] = ()

    @field_validator("api_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.username or parts.password:
            raise ValueError("holds a user or password; the token has a setting of its own")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"is {value!r}, which is no web address such as {PRODUCTION_API_URL}")
        return value

    @field_validator("api_token_file")
    @classmethod
    def _readable_token(cls, value: Path | None) -> Path | None:
        if value is not None:
            _read_token(value.expanduser())
        return value.expanduser().absolute() if value else None

    @field_validator("dagster_storage")
    @classmethod
    def _sqlite_or_postgres(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        parts = urlsplit(text)
        if text != SQLITE and not (parts.scheme in POSTGRES_SCHEMES and parts.username and parts.path.strip("/")):
            raise ValueError(
                f"is neither {SQLITE} nor an address such as postgresql://dagster@127.0.0.1:5432/dagster "
                "(it is not shown, because it may hold a password)"
            )
        return value

    @field_validator("dagster_password_file", "lake_password_file", "lake_s3_secret_file")
    @classmethod
    def _readable_password(cls, value: Path | None) -> Path | None:
        if value is not None:
            _read_secret(value.expanduser())
        return value.expanduser().absolute() if value else None

    @field_validator("code_server")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        if value and not re.fullmatch(r"[^\s:/]+:[1-9]\d{0,4}", value):
            raise ValueError(f"is {value!r}; it is a host and a port, such as 127.0.0.1:4000")
        return value

    @field_validator("api_token")
    @classmethod
    def _token_or_loopback(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        text = value.get_secret_value().strip() if value else ""
        if text:
            return SecretStr(_checked_token(text))
        is_local = is_loopback(urlsplit(info.data.get("api_url", PRODUCTION_API_URL)).hostname or "")
        # A token file that is wrong is not among the data, and named already.
        if is_local or "api_token_file" not in info.data or info.data["api_token_file"]:
            return None
        raise ValueError(
            "(or HTW_API_TOKEN_FILE) is not set, and HTW_API_URL is not on this machine: "
            "set the token, or run `htw demo` or `make dev`, which bring their own API"
        )

    @field_validator("alert_slack_webhook", "alert_webhook")
    @classmethod
    def _webhook_address(cls, value: SecretStr | None) -> SecretStr | None:
        parts = urlsplit(value.get_secret_value()) if value else None
        if parts is not None and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("is no web address such as https://hooks.example/...; it is not shown, because it is a secret")
        return value

    @field_validator("smtp_password")
    @classmethod
    def _password_of_a_user(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if bool(value) != bool(info.data.get("smtp_user")):
            raise ValueError("and HTW_SMTP_USER belong together: set both, or neither where the server asks for no login")
        return value

    @field_validator("alert_email_from")
    @classmethod
    def _one_address(cls, value: str) -> str:
        return _checked_address(value) if value else value

    @field_validator("alert_email_to")
    @classmethod
    def _deliverable(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        lacking = [] if not value or info.data.get("smtp_host") else ["HTW_SMTP_HOST"]
        is_sender_known = info.data.get("alert_email_from", "wrong already") or "@" in info.data.get("smtp_user", "")
        lacking += ["HTW_ALERT_EMAIL_FROM"] if value and not is_sender_known else []
        if lacking:
            raise ValueError(f"needs {' and '.join(lacking)} too")
        return tuple(map(_checked_address, value))

    @field_validator("storage_hosts", "alert_email_to", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        folder = value.expanduser().absolute()
        if unreadable := set(str(folder)) & set("%?"):
            raise ValueError(f"is {str(folder)!r}; Dagster cannot keep its runs in a folder with {min(unreadable)} in its path")
        return folder

    @field_validator("warehouse_url")
    @classmethod
    def _named_as_modelled(cls, value: str | None) -> str | None:
        if value is not None and Path(value).name != WAREHOUSE_NAME:
            raise ValueError(f"is {value!r}; the file must be named {WAREHOUSE_NAME}, as in the names dbt gives its tables")
        return value

    @field_validator("lake_url")
    @classmethod
    def _catalog_in_sqlite_or_postgres(cls, value: str | None) -> str | None:
        if value is not None and is_postgres(value):
            parse_server(value)
            return value
        scheme, path = _scheme_and_path(value or "")
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
        scheme, path = _scheme_and_path(value or "")
        if scheme == "s3":
            parse_bucket(str(value))
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

    @field_validator("lake_s3_endpoint")
    @classmethod
    def _store_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (
            parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or "@" in parts.netloc
        ):
            raise ValueError("is no address of a store such as https://minio.example:9000")
        return value

    @field_validator("plan")
    @classmethod
    def _known_plan(cls, value: str) -> str:
        parse_plan(value)
        return value

    @field_validator("coins")
    @classmethod
    def _known_wish(cls, value: str) -> str:
        if not coin_names(value) or (value.startswith("top:") and not re.fullmatch(r"top:[1-9]\d*", value)):
            raise ValueError(
                f"is {value!r}; it is `all`, `top:20` or a list such as `BTC,ETH,xyz:GOLD` (a name with a comma in quotes)"
            )
        return value

    @field_validator("datasets")
    @classmethod
    def _known_datasets(cls, value: str) -> str:
        unknown = [name for name in _names(value) if name != "all" and name not in BY_NAME]
        if unknown or not _names(value):
            found = f"unknown datasets {', '.join(unknown)}" if unknown else "no dataset"
            raise ValueError(f"names {found}; known are {', '.join(BY_NAME)}")
        return value

    @field_validator("freshness")
    @classmethod
    def _known_freshness(cls, value: str) -> str:
        _wanted_intervals(value)
        return value

    def token_value(self) -> SecretStr | None:
        """The token from the environment or the secret file; None where neither is set."""
        if self.api_token is not None or self.api_token_file is None:
            return self.api_token
        try:
            return SecretStr(_read_token(self.api_token_file))
        except ValueError as error:
            raise SettingsError(f"HTW_API_TOKEN_FILE {error}") from None

    @property
    def is_dagster_in_postgres(self) -> bool:
        return self.dagster_storage.get_secret_value() != SQLITE

    def dagster_password(self) -> SecretStr | None:
        """The password in the secret file; None where there is none, and the address may hold one."""
        return SecretStr(_read_secret(self.dagster_password_file)) if self.dagster_password_file else None

    @property
    def are_runs_elsewhere(self) -> bool:
        """Whether runs are containers or pods, which live on when the services end."""
        return self.run_launcher != LOCAL

    @property
    def code_address(self) -> tuple[str, int] | None:
        """Host and port of the code server; None where daemon and web UI load the definitions themselves."""
        host, _, port = self.code_server.partition(":")
        return (host, int(port)) if port else None

    def access(self) -> ApiAccess:
        """What the client needs to know."""
        token = self.token_value() or SecretStr(SANDBOX_TOKEN)
        return ApiAccess(self.api_url, token, self.storage_hosts)

    def plan_limits(self) -> Plan:
        return parse_plan(self.plan)

    def wanted_datasets(self) -> tuple[Dataset, ...]:
        """The datasets asked for, in the order of the registry; `state_status` always, because others are dated by it."""
        wanted = set(_names(self.datasets)) | {"state_status"}
        return DATASETS if "all" in wanted else tuple(dataset for dataset in DATASETS if dataset.name in wanted)

    def wanted_coins(self, universe: list[str]) -> list[str]:
        """The coins asked for; `universe` is every listed coin, largest open value first."""
        if self.coins == "all":
            return universe
        if self.coins.startswith("top:"):
            return universe[: int(self.coins.removeprefix("top:"))]
        return coin_names(self.coins)

    def wanted_every(self, dataset: str) -> timedelta:
        """How fresh a dataset is wanted; zero where it is wanted as often as the plan affords."""
        wanted = _wanted_intervals(self.freshness)
        return wanted.get(dataset, wanted.get("", timedelta()))

    @property
    def needs_universe(self) -> bool:
        """Whether the coins asked for can only be told from the list of coins."""
        return self.coins == "all" or self.coins.startswith("top:")

    @property
    def vault_dir(self) -> Path:
        return self.data_dir / "vault"

    @property
    def warehouse_file(self) -> Path:
        """The working file; its name is part of every relation name in the dbt manifest."""
        return Path(self.warehouse_url).expanduser().absolute() if self.warehouse_url else self.data_dir / WAREHOUSE_NAME

    @property
    def budget_file(self) -> Path:
        """The ledger of requests that all processes of this folder share."""
        return self.data_dir / "budget.sqlite"

    @property
    def published_dir(self) -> Path:
        return self.data_dir / "published"

    @property
    def published_file(self) -> Path:
        return self.published_dir / "hypertracker.duckdb"

    @property
    def readers_file(self) -> Path:
        """What is read when somebody asks: the published file, or the copy of one that HTW_PUBLISHED names."""
        return self.published.expanduser().absolute() if self.published else self.published_file

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
            catalog = _local_path(url) or usual.catalog
        if data and _scheme_and_path(data)[0] == "s3":
            secret = self._secret("lake_s3_secret_file")
            place = parse_bucket(data).with_access(self.lake_s3_endpoint, self.lake_s3_region, self.lake_s3_key_id, secret)
            return Lake(catalog, place)
        beside = catalog.parent / "data" if url and isinstance(catalog, Path) else usual.data
        return Lake(catalog, _local_path(data) or beside)

    def _secret(self, name: str) -> str:
        """What the secret file of a setting holds; empty where none is set."""
        file = getattr(self, name)
        try:
            return _read_secret(file) if file else ""
        except ValueError as error:
            raise SettingsError(f"HTW_{name.upper()} {error}") from None

    @property
    def alerts_file(self) -> Path:
        """The problems that are open, and who was told of them."""
        return self.data_dir / "alerts.json"

    @property
    def metrics_file(self) -> Path:
        return self.data_dir / "metrics" / "htw.prom"

    @property
    def dagster_home(self) -> Path:
        return self.data_dir / "dagster"


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment. Raises `SettingsError` naming everything that is missing or wrong."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [
            f"HTW_{'_'.join(map(str, problem['loc'])).upper()} {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_input=False)
        ]
        raise SettingsError(f"{'; '.join(lines)}. Every setting is in .env.example") from None


def load_offline_settings(**overrides: Any) -> Settings:
    """The same for work that never asks the API, and so needs no token."""
    return load_settings(api_token=SecretStr(SANDBOX_TOKEN), api_token_file=None, **overrides)


def _scheme_and_path(url: str) -> tuple[str, str]:
    """An address in two: `sqlite:///x` and `sqlite:/x` are the same, a plain path has no scheme."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):(?://)?(.*)", url, re.DOTALL)
    return (found[1].lower(), found[2]) if found else ("", url)


def _local_path(url: str | None) -> Path | None:
    return Path(_scheme_and_path(url)[1]).expanduser().absolute() if url else None


def _read_token(file: Path) -> str:
    return _checked_token(_read_secret(file))


def _read_secret(file: Path) -> str:
    """What a secret file holds. Raises `ValueError` that says what is wrong with the file, never what is in it."""
    try:
        text = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ValueError(f"names {file}, which cannot be read ({why})") from None
    if not text:
        raise ValueError(f"names {file}, which is empty")
    return text


def _checked_token(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("holds something that is no token: a space, a line break or a character outside ASCII")
    return text


def _checked_address(text: str) -> str:
    if not re.fullmatch(r"[^@\s<>,\"]+@[^@\s<>,\"]+", text) or not text.isascii():
        raise ValueError(f"holds {text!r}, which is no mail address such as me@example.com")
    return text


def _wanted_intervals(value: str) -> dict[str, timedelta]:
    """Intervals by dataset, under `''` the one for all others. Raises `ValueError` for what is neither."""
    wanted = {}
    for part in _names(value):
        dataset, _, interval = part.rpartition("=")
        if dataset and dataset not in BY_NAME:
            raise ValueError(f"names unknown dataset {dataset}; known are {', '.join(BY_NAME)}")
        wanted[dataset] = parse_interval(interval)
    return wanted


def coin_names(value: str) -> list[str]:
    """The names of a list; one that holds a comma, or blanks at an end, stands in double quotes, with its own quotes doubled."""
    parts = [part.strip() for part in re.findall(r'\s*("(?:[^"]|"")*"\s*(?=,|$)|[^,]*)(?:,|$)', value)]
    quoted = [len(part) > 1 and part[0] == part[-1] == '"' for part in parts]
    return [part[1:-1].replace('""', '"') if is_quoted else part for part, is_quoted in zip(parts, quoted, strict=True) if part]


def _names(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]
