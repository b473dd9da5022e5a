"""What readers through SQLAlchemy see while ten versions are published beneath them, and that the Python of docs/bi.md runs."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from duckdb_engine import ConnectionWrapper
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tests.bi.copies import MART, PUBLISHES, STATE, Copy, State, python_of_page
from tests.dashboards.copies import working_file
from warehouse.lake import Lake
from warehouse.query import connect_published

HARDENED = "access_mode=read_only&enable_external_access=false&lock_configuration=true"


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Copy]:
    with working_file(tmp_path, has_rows=False) as connection:
        yield Copy(connection, tmp_path, only=MART)


@pytest.fixture
def engine(copy: Copy) -> Engine:
    return engine_of(copy)


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Over a copy that is not published again."""
    folder = tmp_path_factory.mktemp("still")
    with working_file(folder, has_rows=False) as connection:
        yield engine_of(Copy(connection, folder, only=MART))


def engine_of(copy: Copy) -> Engine:
    return create_engine(f"duckdb:///{copy.stable}?{HARDENED}", poolclass=NullPool)


def state(engine: Engine) -> State:
    with engine.connect() as connection:
        return tuple(connection.execute(text(STATE)).one())


def test_readers_see_old_or_new_while_ten_versions_are_published(copy: Copy, engine: Engine) -> None:
    seen = list[State]()
    with copy.changing() as is_changing:
        while is_changing():
            seen.append(state(engine))
    assert len(copy.states) == PUBLISHES + 1
    assert set(seen) <= set(copy.states)
    assert seen == sorted(seen), "a later question never gets an earlier version"
    assert len(set(seen)) > 2
    assert state(engine) == copy.states[-1]


def test_a_connection_held_open_keeps_its_version_and_holds_nobody_back(copy: Copy, engine: Engine) -> None:
    first, file = copy.states[0], copy.stable.resolve()
    with engine.connect() as held:
        for _ in range(PUBLISHES):
            copy.publish()
            assert tuple(held.execute(text(STATE)).one()) == first
            assert state(engine) == copy.states[-1]
    assert not file.exists()


def test_a_pool_shows_the_version_it_opened_until_it_is_disposed_of(copy: Copy) -> None:
    pooled = create_engine(f"duckdb:///{copy.stable}?{HARDENED}")
    before = state(pooled)
    copy.publish()
    assert state(pooled) == before
    pooled.dispose()
    assert state(pooled) == copy.states[-1] != before


def test_a_pool_over_the_lake_sees_what_was_published_meanwhile(copy: Copy) -> None:
    copy.publish_lake()
    lake = Lake.below(copy.folder)
    pooled = create_engine("duckdb://", creator=lambda: ConnectionWrapper(connect_published(lake)))
    before = state(pooled)
    copy.publish()
    assert copy.publish_lake() == state(pooled) != before


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        pytest.param("select * from read_csv('/etc/passwd')", "disabled by configuration", id="read-a-file"),
        pytest.param("copy (select 1) to '/tmp/out.csv'", "disabled by configuration", id="write-a-file"),
        pytest.param("attach '/tmp/other.duckdb'", "disabled by configuration", id="attach-a-file"),
        pytest.param("install httpfs", "disabled", id="install-an-extension"),
        pytest.param("set enable_external_access = true", "Cannot", id="allow-it-again"),
        pytest.param(f"delete from marts.{MART}", "read-only", id="delete-rows"),
    ],
)
def test_what_is_typed_can_neither_reach_files_nor_write(still: Engine, statement: str, words: str) -> None:
    with still.connect() as connection, pytest.raises(DBAPIError, match=words):
        connection.execute(text(statement))


def test_the_python_of_the_page_runs_and_shows_what_it_says(copy: Copy) -> None:
    copy.publish_lake()
    blocks, said = python_of_page(copy.folder), io.StringIO()
    assert len(blocks) == 3
    for block in blocks:
        with contextlib.redirect_stdout(said):
            exec(block, {})
    rows = copy.states[-1][1]
    assert said.getvalue().split() == [str(rows)] * 3, said.getvalue()
