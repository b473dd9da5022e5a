"""Dagster's tables in a PostgreSQL that goes away and comes back, as a process that is at work sees it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, TimeoutError
from pathlib import Path

import pytest

from orchestration import dagster_storage
from orchestration.clock import SystemClock
from orchestration.dagster_storage import PostgresStorage
from orchestration.doctor import Finding, examine
from orchestration.settings import Settings, load_settings
from tests.production.cluster import PASSWORD, Cluster

LONGER_THAN_DAGSTER_TRIES_S = 12


@pytest.fixture
def settings(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "password").write_text(PASSWORD)
    monkeypatch.setenv("HTW_DAGSTER_STORAGE", cluster.address)
    monkeypatch.setenv("HTW_DAGSTER_PASSWORD_FILE", str(tmp_path / "password"))
    return load_settings(api_url="http://127.0.0.1:1", data_dir=tmp_path / "data")


def test_a_storage_that_is_away_is_waited_for(cluster: Cluster, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dagster_storage, "RETRY_S", 0.1)
    assert settings.is_dagster_in_postgres
    cluster.stop("immediate")
    with ThreadPoolExecutor(1) as threads:
        opened = threads.submit(PostgresStorage.from_config_value, None, {})
        try:
            with pytest.raises(TimeoutError):
                opened.result(LONGER_THAN_DAGSTER_TRIES_S)
        finally:
            cluster.start()
        assert opened.result(60).run_storage.get_runs_count() == 0


def test_the_doctor_says_whether_the_storage_answers(cluster: Cluster, settings: Settings) -> None:
    assert _looked_at(settings) == Finding("Dagster's storage", True, f"{_named(cluster)} answers")
    cluster.stop("immediate")
    try:
        found = _looked_at(settings)
    finally:
        cluster.start()
    assert not found.is_well
    assert found.says.startswith(f"Dagster's storage {_named(cluster)} cannot be reached (")
    assert found.mend.startswith("start PostgreSQL")
    assert PASSWORD not in str(found)


def _looked_at(settings: Settings) -> Finding:
    return next(found for found in examine(settings, SystemClock()) if found.subject == "Dagster's storage")


def _named(cluster: Cluster) -> str:
    """As SQLAlchemy prints it: the password is not shown."""
    return cluster.address.replace("postgresql://dagster@", "postgresql+psycopg2://dagster:***@") + "?connect_timeout=5"
