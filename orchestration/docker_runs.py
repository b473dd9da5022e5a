"""Runs in containers of their own: the launcher that Dagster's configuration names by this module.

Belongs here: Dagster's launcher, configured by the settings. Does not: reading that (`run_launchers`).
"""

from __future__ import annotations

from typing import Any

from dagster._config.config_schema import UserConfigSchema
from dagster._serdes import ConfigurableClassData
from dagster_docker import DockerRunLauncher

from orchestration.run_launchers import launcher_config
from orchestration.settings import load_offline_settings


class DockerRuns(DockerRunLauncher):
    """Dagster's own launcher; without configuration here, because the settings name it."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Any,  # noqa: ARG003  # the settings name it
    ) -> DockerRuns:
        return cls(inst_data=inst_data, **launcher_config(load_offline_settings(), DockerRunLauncher))
