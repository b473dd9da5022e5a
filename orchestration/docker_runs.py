"""Runs in containers of their own: the launcher that Dagster's configuration names by this module.

Belongs here: Dagster's launcher, which needs a package of its own. Does not: its configuration (`run_launchers`).
"""

from __future__ import annotations

from dagster_docker import DockerRunLauncher

from orchestration.run_launchers import BySettings


class DockerRuns(BySettings, DockerRunLauncher):
    """Dagster's own launcher."""
