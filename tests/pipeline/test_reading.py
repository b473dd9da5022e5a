"""What a reader types, at the command line or in Python, against what DuckDB itself says of the published file."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from typer.testing import CliRunner

import warehouse
from orchestration.cli import app
from orchestration.settings import load_offline_settings
from orchestration.standing import standing
from tests.integration.processes import REPOSITORY
from tests.pipeline.conftest import COINS, DAY, Day
from warehouse.connection import WarehouseError

DONE, FAILED, WRONG_USAGE = 0, 1, 2
POSITIONS = "select coin, side, value_usd, opened_at, position_id from fct_open_positions order by all"
ODD = "select 1 as a, 'x' as a, 0.1::decimal(4, 2) as d, 'nan'::double as n, null as u, [1, null] as l, true as b"


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def htw(day: Day, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """`htw` within this process, over the market day's folder; other settings by their names without prefix."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: str = "", **settings: str) -> Said:
        given = {"data_dir": str(day.settings.data_dir), "published": None, "api_token": None} | settings
        environment = {f"HTW_{name.upper()}": value for name, value in given.items()}
        result = CliRunner().invoke(app, arguments, input=stdin, env=environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Said(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def published(day: Day, monkeypatch: pytest.MonkeyPatch) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB's own look at the published file, which the settings name too."""
    monkeypatch.setenv("HTW_DATA_DIR", str(day.settings.data_dir))
    with duckdb.connect(str(day.settings.published_file.resolve()), read_only=True) as connection:
        connection.execute("set search_path = 'marts,main'")
        yield connection


@pytest.fixture
def copy_of(day: Day, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the published file with something done to it."""

    def make(*statements: str) -> Path:
        file = tmp_path / "copy.duckdb"
        shutil.copyfile(day.settings.published_file.resolve(), file)
        with duckdb.connect(str(file)) as connection:
            for statement in statements:
                connection.execute(statement)
        return file

    return make


def test_all_formats_hold_the_same_rows(htw: Callable[..., Said], published: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    expected = published.execute(POSITIONS).fetchall()
    as_csv, as_json = htw("query", POSITIONS, "--csv"), htw("query", "-", "--format", "json", stdin=f"{POSITIONS};\n")
    to_parquet = htw("query", POSITIONS, "--output", "out.parquet")
    assert [as_csv.code, as_json.code, to_parquet.code] == [DONE] * 3
    listed = list(csv.DictReader(io.StringIO(as_csv.out)))
    assert [(r["coin"], r["side"], float(r["value_usd"]), datetime.fromisoformat(r["opened_at"])) for r in listed] == [
        row[:4] for row in expected
    ]
    assert [tuple(row.values())[:3] for row in json.loads(as_json.out)] == [row[:3] for row in expected]
    assert duckdb.sql(f"from '{tmp_path}/out.parquet'").fetchall() == expected
    assert f"{len(expected):,} rows in out.parquet" in to_parquet.err
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_values_that_a_format_has_no_word_for(htw: Callable[..., Said]) -> None:
    assert json.loads(htw("query", ODD, "--json").out) == [
        {"a": 1, "a_1": "x", "d": 0.1, "n": None, "u": None, "l": [1, None], "b": True}
    ]
    assert htw("query", ODD, "--csv").out == 'a,a_1,d,n,u,l,b\n1,x,0.10,nan,,"[1, null]",true\n'
    assert json.loads(htw("query", "from dim_coin where false", "--json").out) == []


def test_a_file_is_written_by_its_ending_and_only_whole(htw: Callable[..., Said], tmp_path: Path) -> None:
    target = tmp_path / "coins.csv"
    assert htw("query", "from dim_coin", "--output", str(target)).code == DONE
    kept = target.read_text()
    failing = "select if(coin = 'BTC', coin, error('no')) from dim_coin"
    assert htw("query", failing, "--output", str(target)).code == FAILED
    assert target.read_text() == kept
    assert [path.name for path in tmp_path.iterdir()] == ["coins.csv"]


def test_a_table_ends_at_its_limit_and_says_so(htw: Callable[..., Said]) -> None:
    cut, whole = htw("query", "from range(2000)"), htw("query", "from range(2000)", "--limit", "3000")
    few = htw("query", "from range(2000)", "--csv", "--limit", "2")
    assert "the first 1,000 rows" in cut.err
    assert len(cut.out.splitlines()) < 1010
    assert "1999" in whole.out
    assert "first" not in whole.err
    assert few.out.splitlines() == ["range", "0", "1"]
    assert "the first 2 rows, by --limit" in few.err


def test_a_table_that_goes_into_a_pipe_is_not_cut_at_the_side(htw: Callable[..., Said]) -> None:
    shown = htw("query", "select * from fct_open_positions where coin = 'BTC' order by value_usd desc limit 3")
    assert "…" not in shown.out
    assert "wallet_balance_usd" in shown.out


@pytest.mark.long
def test_a_terminal_pages_what_is_too_large_for_it_and_colours_by_wish(day: Day, tmp_path: Path) -> None:
    pager = f"tee {tmp_path}/paged >/dev/null; echo PAGED"
    large, small = "select * from fct_open_positions limit 50", "select coin from dim_coin limit 3"
    with_pager = {"PAGER": pager, "HTW_DATA_DIR": str(day.settings.data_dir)}
    assert "PAGED" in in_a_terminal(with_pager, "query", large)
    assert "wallet_balance_usd" in (tmp_path / "paged").read_text()
    assert "PAGED" not in in_a_terminal(with_pager, "query", small)
    assert "\x1b[36m" in in_a_terminal(with_pager)
    assert "\x1b[36m" not in in_a_terminal({**with_pager, "NO_COLOR": "1"})


def in_a_terminal(environment: dict[str, str], *arguments: str) -> str:
    """What `htw` shows in a terminal of its own."""
    ours, theirs = pty.openpty()
    settings = {name: value for name, value in os.environ.items() if not name.startswith("HTW_") and name != "NO_COLOR"}
    settings |= {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", "PYTHONPATH": str(REPOSITORY)} | environment
    with subprocess.Popen(
        [sys.executable, "-m", "orchestration.cli", *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=settings
    ):
        os.close(theirs)
        said = b""
        try:
            while read := os.read(ours, 65536):
                said += read
        except OSError:  # so a terminal says that its other end is closed
            pass
    os.close(ours)
    return said.decode()


ERRORS = [
    pytest.param(("query", "selec 1"), FAILED, "syntax error", id="no SQL"),
    pytest.param(("query", ""), FAILED, "there is no statement to run", id="nothing"),
    pytest.param(("query", "from coin_metrics"), FAILED, "(nearest: fct_coin_metrics", id="no such table"),
    pytest.param(("query", "select valeu from fct_open_positions"), FAILED, "`htw describe TABLE`", id="no such column"),
    pytest.param(("query", "select 1", "--output", "none/x.csv"), FAILED, "in no folder that exists", id="no folder"),
    pytest.param(("query", "select 1", "--output", "/proc/x.json"), FAILED, "cannot be written", id="unwritable"),
    pytest.param(("query", "select 1", "--format", "xml"), WRONG_USAGE, "'parquet'", id="unknown format"),
    pytest.param(("query", "select 1", "--format", "parquet"), WRONG_USAGE, "add --output FILE", id="parquet on screen"),
    pytest.param(("query", "select 1", "--json", "--csv"), WRONG_USAGE, "one format", id="two formats"),
    pytest.param(("query", "select 1", "--output", "x.xls"), WRONG_USAGE, "--format csv, json or parquet", id="unknown ending"),
    pytest.param(("query", "select 1", "--at", "yesterday"), WRONG_USAGE, "no UTC time", id="no time"),
    pytest.param(("query", "select 1", "--at", "2020-01-01"), FAILED, "`htw lake status`", id="before the lake"),
    pytest.param(("describe", "open_positions"), FAILED, "fct_open_positions", id="describe what is not"),
    pytest.param(("export", "all", "--to", "out", "--since", "March"), WRONG_USAGE, "no day such as", id="no day"),
    pytest.param(("export", "all", "--to", "out", "--coins", "btc"), FAILED, "there is no coin btc (nearest: BTC", id="no coin"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), ERRORS)
def test_errors_name_the_cause_and_the_mend(htw: Callable[..., Said], arguments: tuple[str, ...], code: int, words: str) -> None:
    said = htw(*arguments)
    assert said.code == code, said
    assert words in " ".join(said.err.split())
    assert said.out == ""


@pytest.mark.parametrize(
    "command", [("tables",), ("describe", "dim_coin"), ("query", "select 1"), ("export", "all", "--to", "x")]
)
def test_where_nothing_is_published_the_next_command_is_named(
    htw: Callable[..., Said], command: tuple[str, ...], tmp_path: Path
) -> None:
    said = htw(*command, data_dir=str(tmp_path / "none"))
    assert said.code == FAILED
    assert "run `htw poll` (or `htw demo`)" in said.err


@pytest.mark.parametrize("where", [(), ("--lake",)], ids=["file", "lake"])
def test_tables_tells_rows_times_and_completeness(
    htw: Callable[..., Said], published: duckdb.DuckDBPyConnection, where: tuple[str, ...]
) -> None:
    told = {table["table"]: table for table in json.loads(htw("tables", "--json", *where).out)}
    names = published.execute("select table_name from information_schema.tables where table_schema = 'marts'").fetchall()
    assert set(told) == {name for (name,) in names}
    for name, table in told.items():
        assert published.execute(f"select count(*) from {name}").fetchone() == (table["row_count"],)
    newest = published.execute("select max(snapshot_at) from fct_market_metrics").fetchone()
    assert newest is not None
    assert told["fct_market_metrics"]["newest_snapshot_at"] == f"{newest[0].isoformat()}Z"
    assert told["fct_open_positions"]["grain"] == "snapshot, coin and position"
    assert told["fct_perp_pnl_leaderboard"]["completeness"] == "whole"
    missing = published.execute(
        "select count(*) from fct_slot_coverage where dataset = 'open_positions' and is_missing"
    ).fetchone()
    positions = told["fct_open_positions"]
    assert missing == (positions["slots_due_24h"] - positions["slots_arrived_24h"],)
    shown = htw("tables", *where).out
    assert all(name in shown for name in told)


def test_describe_has_every_word_of_the_file_itself(htw: Callable[..., Said], published: duckdb.DuckDBPyConnection) -> None:
    told = json.loads(htw("describe", "FCT_COHORT_METRICS", "--json").out)
    comments = published.execute(
        "select column_name, lower(data_type), comment from duckdb_columns() "
        "where schema_name = 'marts' and table_name = 'fct_cohort_metrics' order by column_index"
    ).fetchall()
    assert [(column["column"], column["type"], column["meaning"]) for column in told["columns"]] == comments
    units = {column["column"]: column["unit"] for column in told["columns"]}
    assert (units["long_value_usd"], units["long_fraction"], units["snapshot_at"]) == ("USD", "0 to 1", "UTC")
    assert any("never add the two" in trap for trap in told["traps"])
    assert len(published.execute(told["example"]).fetchall()) > 0
    assert published.execute(f"select count(*) from {told['as_of']}").fetchone() is not None
    shown = htw("describe", "fct_cohort_metrics").out
    assert told["example"] in shown
    assert "mind: " in shown


def test_describe_points_to_the_lake_where_the_file_has_the_newest_days_only(
    htw: Callable[..., Said], copy_of: Callable[..., Path]
) -> None:
    words = "One row per snapshot. This file has it from 2026-03-17 on; the lake has the days before: `htw query --lake SQL`."
    file = copy_of(f"comment on table marts.fct_coin_metrics is '{words}'")
    assert "whole since 2026-03-17 here" in htw("describe", "fct_coin_metrics", published=str(file)).out
    assert "whole since" not in htw("describe", "fct_market_metrics", published=str(file)).out


def test_a_frame_has_the_coins_and_times_asked_for(published: duckdb.DuckDBPyConnection) -> None:
    since, until = DAY, DAY + timedelta(hours=1)
    got = warehouse.frame("fct_coin_metrics", coins=["BTC", "xyz:GOLD"], since=since, until=until, dataset="coin_metrics")
    expected = published.execute(
        "select count(*), count(distinct coin) from fct_coin_metrics where coin in ('BTC', 'xyz:GOLD') "
        "and dataset = 'coin_metrics' and snapshot_at >= $1 and snapshot_at < $2",
        [since.replace(tzinfo=None), until.replace(tzinfo=None)],
    ).fetchone()
    assert expected == (len(got), 2)
    assert got.snapshot_at.is_monotonic_increasing
    by_text = warehouse.frame("fct_coin_metrics", coins="BTC", since="2026-03-24T02:00+02:00", until="2026-03-24 01:00")
    assert by_text.snapshot_at.min() >= pd.Timestamp("2026-03-24 00:00")
    assert by_text.snapshot_at.max() < pd.Timestamp("2026-03-24 01:00")


def test_a_frame_of_versions_has_what_held_in_between(published: duckdb.DuckDBPyConnection) -> None:
    at = DAY + timedelta(minutes=7)
    got = warehouse.frame("fct_order_versions", coins=["BTC"], since=at, until=at + timedelta(seconds=1))
    book = published.execute(
        "select count(*) from fct_order_versions where coin = 'BTC' and valid_from_at <= $1 and coalesce(valid_to_at > $1, true)",
        [at.replace(tzinfo=None)],
    ).fetchone()
    assert book == (len(got),)
    assert len(got) > 0


def test_a_frame_shows_what_was_known_then(published: duckdb.DuckDBPyConnection) -> None:
    at = published.execute("select min(known_at) from fct_coin_metrics").fetchone()
    assert at is not None
    then, now = warehouse.frame("fct_coin_metrics", known_by=at[0]), warehouse.frame("fct_coin_metrics")
    assert 0 < len(then) < len(now)
    assert then.first_known_at.max() == at[0]


def test_of_the_lake_a_frame_is_the_same(day: Day) -> None:
    of_file = warehouse.frame("fct_cohort_metrics", coins=COINS, axis="pnl", source=day.settings.data_dir)
    of_lake = warehouse.frame("fct_cohort_metrics", coins=COINS, axis="pnl", source=day.settings.lake)
    key = ["snapshot_at", "coin", "cohort_id", "dataset"]
    ordered = [frame.sort_values(key).reset_index(drop=True) for frame in (of_file, of_lake)]
    pd.testing.assert_frame_equal(*ordered)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param({"table": "coin_metrics"}, "nearest: fct_coin_metrics", id="no such table"),
        pytest.param({"table": "fct_coin_metrics", "coins": ["x' or 'a' = 'a"]}, "there is no coin x'", id="no coin but text"),
        pytest.param({"table": "fct_coin_metrics", "datset": "coins"}, "nearest: dataset", id="no such column"),
        pytest.param({"table": "fct_market_metrics", "coins": ["BTC"]}, "has no column coin", id="a table without coins"),
        pytest.param({"table": "dim_coin", "since": "2026-03-24"}, "dim_coin has no time", id="a table without time"),
        pytest.param({"table": "fct_coin_metrics", "since": "March"}, "'March' is no time", id="no time"),
        pytest.param({"table": "dim_coin", "source": "/nowhere/x.duckdb"}, "nothing is published at", id="no file"),
    ],
)
def test_a_frame_that_cannot_be_is_refused_in_words(
    published: duckdb.DuckDBPyConnection, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(WarehouseError) as caught:
        warehouse.frame(**arguments)
    assert words in str(caught.value)


def test_connections_of_one_process_stand_side_by_side(published: duckdb.DuckDBPyConnection, day: Day) -> None:
    first, second = warehouse.connect_published(), warehouse.connect_published(day.settings.published_file)
    assert first.sql("from dim_coin").fetchall() == second.sql("from dim_coin").fetchall()
    assert len(warehouse.frame("dim_coin")) > 0
    first.close()
    assert second.sql("select count(*) from dim_coin").fetchone() != (0,)


def test_a_notebook_needs_neither_dagster_nor_dbt_nor_the_command_line(day: Day) -> None:
    code = (
        "import sys, warehouse; assert len(warehouse.frame('dim_coin')); "
        "print([name for name in ('orchestration', 'dagster', 'dbt', 'httpx') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], env={"HTW_PUBLISHED": str(day.settings.published_file), "PYTHONPATH": str(REPOSITORY)},
        text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert result.stdout == "[]\n"


def test_the_file_is_where_settings_say_for_notebooks_as_for_the_command_line(
    day: Day, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from warehouse.finding import find_published

    monkeypatch.chdir(tmp_path)
    for name in ("HTW_DATA_DIR", "HTW_PUBLISHED"):
        monkeypatch.delenv(name, raising=False)
    for line in ("", "HTW_DATA_DIR=here", "HTW_DATA_DIR=here\nHTW_PUBLISHED=there/copy.duckdb"):
        (tmp_path / ".env").write_text(line)
        assert find_published() == load_offline_settings().readers_file, line
    assert find_published(day.settings.data_dir) == day.settings.published_file


def test_htw_alone_leads_on_from_wherever_one_stands(htw: Callable[..., Said], day: Day, tmp_path: Path) -> None:
    empty = str(tmp_path / "none")
    nothing, ready = htw(data_dir=empty), htw(data_dir=empty, api_token="secret-token")
    wrong, there = htw(plan="gratis"), htw(api_token="secret-token")
    assert [said.code for said in (nothing, ready, wrong, there)] == [DONE] * 4
    assert "htw demo" in nothing.out
    assert "HTW_API_TOKEN" in nothing.out
    assert "htw poll" in ready.out
    assert "HTW_PLAN" in wrong.out
    assert "htw tables" in there.out
    assert "make up" in there.out, "nothing arrived since, so that the daemon cannot be running"
    assert "secret-token" not in ready.out + there.out
    assert not Path(empty).exists()


def test_what_is_missing_is_told_with_the_command_that_heals_it(
    day: Day, published: duckdb.DuckDBPyConnection, copy_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 3, 24, 2, 5, tzinfo=UTC)
    quiet = standing(now)
    missing = published.execute("select count(*) from fct_slot_coverage where is_missing").fetchone()
    assert missing is not None
    assert dict(quiet.facts).get("missing", "0 slots").split()[0] == f"{missing[0]:,}"
    assert dict(quiet.facts)["newest"].endswith("min ago")
    assert "make up" not in [step.command for step in quiet.steps]


def test_the_shell_completes_commands_and_tables(day: Day) -> None:
    assert completed(day, "htw descr") == ["describe"]
    assert completed(day, "htw export fct_liq") == ["fct_liquidation_heatmap", "fct_liquidation_risk"]


def completed(day: Day, typed: str) -> list[str]:
    environment = {
        "_HTW_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" ")), "PATH": os.environ["PATH"],
        "HTW_DATA_DIR": str(day.settings.data_dir), "PYTHONPATH": str(REPOSITORY),
    }  # fmt: skip
    code = "import sys; sys.argv = ['htw']; from orchestration.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], env=environment, text=True, capture_output=True, check=False)
    return result.stdout.split()


VIEWS = {
    "latest_cohorts": (["coin", "cohort_id"], "select sum(gross_value_usd) from latest_cohorts where axis = 'pnl'",
        "select sum(gross_value_usd) from fct_coin_metrics where dataset = 'coins' "
        "and snapshot_at = (select max(snapshot_at) from fct_cohort_metrics where dataset = 'heatmap')"),
    "latest_positions": (["coin", "position_id"], "select sum(size * mark_price) from latest_positions",
        "select sum(value_usd) from fct_open_positions "
        "where (coin, snapshot_at) in (select (coin, max(snapshot_at)) from fct_open_positions group by coin)"),
    "liquidation_map": (["coin", "price_from"], "select sum(liquidation_value_usd) from liquidation_map",
        "select sum(liquidation_value_usd) from fct_liquidation_heatmap where (coin, snapshot_at) in "
        "(select (coin, max(snapshot_at)) from fct_liquidation_heatmap group by coin)"),
    "open_interest": (["snapshot_at", "coin"], "select 2 * sum(open_interest_usd) from open_interest",
        "select sum(gross_value_usd) from fct_coin_metrics where dataset = 'coins'"),
}  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_one_row_a_key_and_adds_up_to_its_facts(
    htw: Callable[..., Said], published: duckdb.DuckDBPyConnection, view: str
) -> None:
    key, total, of_facts = VIEWS[view]
    listed = ", ".join(key)
    assert published.execute(f"select count(*) from {view} group by {listed} having count(*) > 1").fetchall() == []
    found, expected = published.execute(total).fetchone(), published.execute(of_facts).fetchone()
    assert found == pytest.approx(expected, rel=1e-6)
    told = json.loads(htw("describe", view, "--json").out)
    assert told["is_view"]
    assert "One row per" in told["description"]
    assert [column["column"] for column in told["columns"] if not column["meaning"]] == []
