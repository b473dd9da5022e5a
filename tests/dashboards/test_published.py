"""How the pages follow the published copy: the version before or the new one, and plain words where there is neither."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from dashboards.published import Edition, newest
from dashboards.queries import market
from dashboards.queries.spans import Span
from tests.dashboards.copies import NOW, SINCE, publish, working_file
from warehouse.connection import WarehouseError
from warehouse.publish import VERSIONS_KEPT


def open_now(real_path: str) -> Edition:
    return Edition(Path(real_path))


def count(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    return connection.sql("select count(*) as rows from fct_market_metrics").df()


def test_an_edition_stays_what_it_was_while_newer_ones_come_and_it_is_removed(tmp_path: Path) -> None:
    with working_file(tmp_path, has_rows=False) as connection:
        stable = publish(connection, tmp_path, only="fct_market_metrics")
        first = newest(stable, open_now)
        before = first.answer(count)["rows"].iloc[0]
        for minute in range(1, VERSIONS_KEPT + 2):
            connection.execute(
                "insert into marts.fct_market_metrics (snapshot_at) values ($1)", [NOW + timedelta(minutes=minute)]
            )
            publish(connection, tmp_path, NOW + timedelta(minutes=minute), only="fct_market_metrics")
            latest = newest(stable, open_now)
            assert latest.answer(count)["rows"].iloc[0] == before + minute
            assert latest.published_at == NOW + timedelta(minutes=minute)
        assert not first.file.exists()
        assert first.answer(market.market, Span(SINCE, NOW)).empty
        assert latest.answer(market.market, Span(NOW, NOW + timedelta(minutes=1)))["snapshot_at"].tolist()


def test_a_version_removed_between_finding_and_opening_is_looked_for_again(published: Path, tmp_path: Path) -> None:
    stable = tmp_path / "hypertracker.duckdb"
    stable.symlink_to(tmp_path / "hypertracker-1Z.duckdb")
    asked = []

    def replaced_meanwhile(real_path: str) -> Edition:
        asked.append(real_path)
        if len(asked) == 1:
            stable.unlink()
            stable.symlink_to(published.resolve())
        return open_now(real_path)

    assert newest(stable, replaced_meanwhile).published_at == NOW
    assert len(asked) == 2


def test_an_answer_is_asked_once_an_edition(edition: Edition, span: Span) -> None:
    assert edition.answer(market.market, span) is edition.answer(market.market, span)


def test_nothing_published_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="nothing is published") as caught:
        newest(tmp_path / "hypertracker.duckdb", open_now)
    assert "`htw poll`" in caught.value.mend


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "hypertracker.duckdb"
    file.write_bytes(b"not a database" * 1000)
    with pytest.raises(WarehouseError, match=r"hypertracker\.duckdb"):
        newest(file, open_now)


def test_a_copy_of_another_version_of_the_project_is_named(tmp_path: Path) -> None:
    file = tmp_path / "hypertracker.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("create schema marts; create table edition as select now()::timestamp as published_at")
    with pytest.raises(WarehouseError, match="fct_market_metrics"):
        newest(file, open_now).answer(market.market, Span(SINCE, NOW))
