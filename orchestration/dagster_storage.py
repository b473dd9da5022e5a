"""Dagster's own tables (runs, events, ticks) in PostgreSQL, at the address that the settings name.

Belongs here: from settings to an address with its password, and the storage that Dagster's configuration names by this module.
Does not: when it is chosen (`runs`). The password is read at each start from where it is kept; no file here gets it, and neither
does the environment of another process, so that a health check or a run finds the storage as a service does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dagster._config.config_schema import UserConfigSchema
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import DagsterPostgresException, wait_for_connection
from sqlalchemy import URL, CreateEnginePlugin, make_url
from sqlalchemy.dialects import plugins

from orchestration.settings import Settings, SettingsError, load_offline_settings

CONNECT_TIMEOUT_S = 5
RETRY_S = 2.0
PLUGIN = "look_before_use"
# By name, because SQLAlchemy otherwise takes another one, which dagster-postgres does not use.
DRIVER = "postgresql+psycopg2"


class StorageUnreachableError(OSError):
    """PostgreSQL does not answer, or refuses this user; the message names the server, never the password, and what mends it."""

    mend = "start PostgreSQL, or put HTW_DAGSTER_STORAGE right"

    def __init__(self, says: str) -> None:
        super().__init__(f"{says}; {self.mend}")
        self.says = says


class LookBeforeUse(CreateEnginePlugin):
    """Has kept connections looked at before they are used: those of the web UI are dead after PostgreSQL was restarted."""

    def handle_pool_kwargs(self, _: type, pool_args: dict[str, Any]) -> None:
        pool_args["pre_ping"] = True

    def update_url(self, url: URL) -> URL:
        return url.difference_update_query(["plugin"])


class PostgresStorage(DagsterPostgresStorage):
    """Runs, events and schedules in PostgreSQL; without configuration, because the settings have it."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Any,  # noqa: ARG003  # the settings have it
    ) -> PostgresStorage:
        plugins.register(PLUGIN, LookBeforeUse.__module__, LookBeforeUse.__name__)
        address = postgres_address(load_offline_settings()).update_query_dict({"plugin": PLUGIN})
        return _once_it_answers(lambda: cls(_in_full(address), inst_data=inst_data))


def postgres_address(settings: Settings) -> URL:
    """Where Dagster's tables are, with the password from the setting or the secret file. A URL prints its password as `***`.

    Raises `SettingsError` where the settings name no PostgreSQL, although Dagster's configuration does.
    """
    if not settings.is_dagster_in_postgres:
        raise SettingsError(f"{settings.dagster_home}/dagster.yaml names PostgreSQL, but HTW_DAGSTER_STORAGE is not set here")
    address = make_url(settings.dagster_storage.get_secret_value()).set(drivername=DRIVER)
    password = settings.dagster_password()
    patience = {"connect_timeout": str(CONNECT_TIMEOUT_S)} | dict(address.query)
    return address.set(query=patience, password=password.get_secret_value() if password else address.password)


def require_reachable(settings: Settings) -> None:
    """Raises `StorageUnreachableError` where PostgreSQL cannot be reached; tries for some seconds, as it may be starting."""
    address = postgres_address(settings)
    try:
        wait_for_connection(_in_full(address))
    except DagsterPostgresException as error:
        why = str(getattr(error.__cause__, "orig", error)).strip().splitlines()[0]
        raise StorageUnreachableError(f"Dagster's storage {address} cannot be reached ({why})") from None


def _once_it_answers(opened: Callable[[], PostgresStorage]) -> PostgresStorage:
    """However long it takes. The thread by which a code server ends lost runs, and itself when it is asked to, dies of an error
    here: their pool slots would then block all other runs."""
    while True:
        try:
            return opened()
        except DagsterPostgresException:
            time.sleep(RETRY_S)


def _in_full(address: URL) -> str:
    return address.render_as_string(hide_password=False)
