"""Where runs are processes, by settings: where the code is (`local`), or in containers or pods of their own.

Belongs here: reading and checking what configures a launcher of Dagster's, and giving it that. Does not: the launchers that
Dagster's configuration names (`docker_runs`, `kubernetes_runs`: each needs a package of its own), when one is chosen (`runs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import yaml  # type: ignore[import-untyped]
from dagster._config import process_config, resolve_to_config_type
from dagster._config.config_schema import UserConfigSchema
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from orchestration.settings import LOCAL, Settings, SettingsError, load_offline_settings

PACKAGES = {"docker": "dagster_docker", "kubernetes": "dagster_k8s"}
CLASSES = {"docker": "DockerRuns", "kubernetes": "KubernetesRuns"}


def launcher_block(kind: str) -> str:
    """The part of Dagster's configuration that names the launcher; empty where runs stay with the code."""
    if kind == LOCAL:
        return ""
    return f"run_launcher:\n  module: orchestration.{kind}_runs\n  class: {CLASSES[kind]}\n"


def require_launcher(settings: Settings) -> None:
    """Raises `SettingsError` where the launcher that the settings name is not installed, or nothing configures it."""
    package = PACKAGES.get(settings.run_launcher)
    if package and find_spec(package) is None:
        raise SettingsError(
            f"HTW_RUN_LAUNCHER is {settings.run_launcher}, but {package} is not installed; "
            f"run `pip install '.[{settings.run_launcher}]'` where this project is, for every service and run"
        )
    _config_file(settings)


class BySettings(ConfigurableClass):
    """Goes before a launcher of Dagster's among the bases of a class: what the launcher is configured with is in the file that
    HTW_RUN_CONFIG_FILE names, not in Dagster's configuration, which names the class alone."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData,
        config_value: Any,  # noqa: ARG003  # the settings name it
    ) -> Self:
        """The launcher. Raises `SettingsError` as `launcher_config` does."""
        given = launcher_config(load_offline_settings(), super().config_type())
        return super().from_config_value(inst_data, given)


def launcher_config(settings: Settings, schema: UserConfigSchema) -> Mapping[str, Any]:
    """What the file says that HTW_RUN_CONFIG_FILE names, held against a launcher's own schema.

    Raises `SettingsError` naming every key that the launcher does not know, lacks, or has of another kind.
    """
    file = _config_file(settings)
    try:
        given = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"HTW_RUN_CONFIG_FILE {file} cannot be read ({error})") from None
    checked = process_config(resolve_to_config_type(schema), given or {})
    if not checked.success or checked.value is None:
        problems = "; ".join(" ".join(error.message.split()) for error in checked.errors or [])
        raise SettingsError(f"HTW_RUN_CONFIG_FILE {file}: {problems}")
    return dict(checked.value)


def _config_file(settings: Settings) -> Path:
    if settings.run_config_file is None:
        raise SettingsError(
            f"HTW_RUN_LAUNCHER is {settings.run_launcher}, but HTW_RUN_CONFIG_FILE is not set: it names the YAML file that "
            "configures the launcher (docs/runs has examples)"
        )
    return settings.run_config_file.expanduser().absolute()
