"""The only reader of the environment: every setting, typed, with its default.

Belongs here: names, types and defaults of settings (`HTW_*`, or a `.env` file in the working folder). Does not: what is
done with them. All that is missing or wrong is named at once.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from orchestration.hypertracker.client import ApiAccess
from orchestration.hypertracker.datasets import BY_NAME, DATASETS
from orchestration.hypertracker.endpoint import Dataset
from orchestration.hypertracker.links import is_loopback
from orchestration.planning.plans import PLANS, Plan, parse_plan

PRODUCTION_API_URL = "https://ht-api.coinmarketman.com"
PRODUCTION_STORAGE_HOSTS = ("*.amazonaws.com",)
SANDBOX_TOKEN = "sandbox-token"


class SettingsError(Exception):
    """Settings that are missing or wrong; the message lists all of them with their mend."""


class Settings(BaseSettings):
    """Every setting of the project. Paths are absolute once read."""

    model_config = SettingsConfigDict(env_prefix="HTW_", env_file=".env", extra="ignore", frozen=True)

    api_url: str = PRODUCTION_API_URL
    api_token: SecretStr | None = None
    api_token_file: Path | None = None
    storage_hosts: Annotated[tuple[str, ...], NoDecode] = PRODUCTION_STORAGE_HOSTS
    data_dir: Path = Path("data")
    warehouse_url: str | None = None
    plan: str = "free"
    coins: str = "top:20"
    datasets: str = "all"
    log_level: str = Field(default="INFO")

    @field_validator("storage_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("plan")
    @classmethod
    def _known_plan(cls, value: str) -> str:
        parse_plan(value)
        return value

    @field_validator("coins")
    @classmethod
    def _known_wish(cls, value: str) -> str:
        if value.startswith("top:") and not re.fullmatch(r"top:[1-9]\d*", value):
            raise ValueError("is `all`, `top:20` or a list such as `BTC,ETH,xyz:GOLD`")
        return value

    @field_validator("datasets")
    @classmethod
    def _known_datasets(cls, value: str) -> str:
        unknown = [name for name in _names(value) if name != "all" and name not in BY_NAME]
        if unknown:
            raise ValueError(f"names unknown datasets {', '.join(unknown)}; known are {', '.join(BY_NAME)}")
        return value

    @model_validator(mode="after")
    def _token_or_loopback(self) -> Settings:
        if self.token_value() is None and not is_loopback(urlsplit(self.api_url).hostname or ""):
            raise ValueError(
                "HTW_API_TOKEN (or HTW_API_TOKEN_FILE) is not set, and HTW_API_URL is not on this machine: "
                "set the token, or run `htw demo` or `make dev`, which bring their own API"
            )
        return self

    def token_value(self) -> SecretStr | None:
        """The token from the environment or the secret file; None where neither is set."""
        if self.api_token is not None:
            return self.api_token
        if self.api_token_file is not None and self.api_token_file.is_file():
            return SecretStr(self.api_token_file.read_text("utf-8").strip())
        return None

    def access(self) -> ApiAccess:
        """What the client needs to know."""
        token = self.token_value() or SecretStr(SANDBOX_TOKEN)
        return ApiAccess(self.api_url, token, self.storage_hosts, per_minute=self.plan_limits().per_minute)

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
        return _names(self.coins)

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
        return Path(self.warehouse_url).absolute() if self.warehouse_url else self.data_dir / "warehouse.duckdb"

    @property
    def published_dir(self) -> Path:
        return self.data_dir / "published"

    @property
    def published_file(self) -> Path:
        return self.published_dir / "hypertracker.duckdb"

    @property
    def dagster_home(self) -> Path:
        return self.data_dir / "dagster"


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment. Raises `SettingsError` naming everything that is missing or wrong."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = "HTW_" + "_".join(map(str, problem["loc"])).upper() if problem["loc"] else ""
            lines.append(f"{name} {problem['msg'].removeprefix('Value error, ')}".strip())
        raise SettingsError("; ".join(lines) + f". Plans: {', '.join(PLANS)}; see .env.example") from None


def _names(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]
