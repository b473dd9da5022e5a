"""The only reader of the environment: every setting, typed, with its default.

Belongs here: names, types and defaults of settings (`HTW_*`, or a `.env` file in the working folder), those of the lake and of
alerts apart (`lake_settings`, `alert_settings`). Does not: what is done with them, what their text stands for (`setting_texts`).
All that is missing or wrong is named at once.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from orchestration.alert_settings import AlertSettings
from orchestration.hypertracker.client import ApiAccess
from orchestration.hypertracker.datasets import BY_NAME, DATASETS
from orchestration.hypertracker.endpoint import Dataset
from orchestration.hypertracker.links import is_loopback
from orchestration.lake_settings import LakeSettings
from orchestration.planning.plans import Plan, parse_plan
from orchestration.setting_texts import (
    SettingsError,
    checked_token,
    coin_names,
    names_in,
    read_secret,
    read_token,
    wanted_intervals,
)

PRODUCTION_API_URL = "https://ht-api.coinmarketman.com"
PRODUCTION_STORAGE_HOSTS = ("*.amazonaws.com",)
SANDBOX_TOKEN = "sandbox-token"
WAREHOUSE_NAME = "warehouse.duckdb"
SQLITE = "sqlite"
LOCAL = "local"
NO_DATASET = "none"
POSTGRES_SCHEMES = ("postgresql", "postgres")
# A file in the folder of a demo: no other folder is emptied for one.
DEMO_MARKER = "hypertracker-demo"


class Settings(LakeSettings, AlertSettings):
    """Every setting of the project. Paths are absolute once read."""

    model_config = SettingsConfigDict(env_prefix="HTW_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    # In this order: whether a token is missing depends on the three before it.
    datasets: str = "all"
    api_url: str = PRODUCTION_API_URL
    api_token_file: Path | None = None
    api_token: SecretStr | None = Field(default=None, validate_default=True)
    storage_hosts: Annotated[tuple[str, ...], NoDecode] = PRODUCTION_STORAGE_HOSTS
    data_dir: Path = Path("data")
    published: Path | None = None
    warehouse_url: str | None = None
    hot_days: int = Field(default=7, ge=1)
    raw_days: int = Field(default=7, ge=2)
    plan: str = "free"
    coins: str = "top:20"
    freshness: str = ""
    reserve: float = Field(default=0.1, ge=0, le=0.9)
    # May hold a password.
    dagster_storage: SecretStr = SecretStr(SQLITE)
    dagster_password_file: Path | None = None
    code_server: str = ""
    run_launcher: Literal["local", "docker", "kubernetes"] = "local"
    run_config_file: Path | None = None

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
            read_token(value.expanduser())
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
            read_secret(value.expanduser())
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
            return SecretStr(checked_token(text))
        is_local = is_loopback(urlsplit(info.data.get("api_url", PRODUCTION_API_URL)).hostname or "")
        is_needed = names_in(info.data.get("datasets", "")) != [NO_DATASET] and not is_local
        # A token file that is wrong is not among the data, and named already.
        if not is_needed or "api_token_file" not in info.data or info.data["api_token_file"]:
            return None
        raise ValueError(
            "(or HTW_API_TOKEN_FILE) is not set, and HTW_API_URL is not on this machine: "
            "set the token, or run `htw demo` or `make dev`, which bring their own API"
        )

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
        if names_in(value) == [NO_DATASET]:
            return value
        unknown = [name for name in names_in(value) if name != "all" and name not in BY_NAME]
        if unknown or not names_in(value):
            found = f"unknown datasets {', '.join(unknown)}" if unknown else "no dataset"
            raise ValueError(f"names {found}; known are {', '.join(BY_NAME)}, or all, or {NO_DATASET}")
        return value

    @field_validator("freshness")
    @classmethod
    def _known_freshness(cls, value: str) -> str:
        wanted_intervals(value)
        return value

    def token_value(self) -> SecretStr | None:
        """The token from the environment or the secret file; None where neither is set."""
        if self.api_token is not None or self.api_token_file is None:
            return self.api_token
        try:
            return SecretStr(read_token(self.api_token_file))
        except ValueError as error:
            raise SettingsError(f"HTW_API_TOKEN_FILE {error}") from None

    @property
    def is_dagster_in_postgres(self) -> bool:
        return self.dagster_storage.get_secret_value() != SQLITE

    def dagster_password(self) -> SecretStr | None:
        """The password in the secret file; None where there is none, and the address may hold one."""
        return SecretStr(read_secret(self.dagster_password_file)) if self.dagster_password_file else None

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
        """The datasets asked for, in the order of the registry; with any of them `state_status`, by which others are dated."""
        if names_in(self.datasets) == [NO_DATASET]:
            return ()
        wanted = set(names_in(self.datasets)) | {"state_status"}
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
        wanted = wanted_intervals(self.freshness)
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
