"""The `htw` command as people and scripts meet it: processes, exit statuses, and words that name the cause and the mend."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from orchestration.planning.slots import Cadence, slot_at
from sandbox import SandboxSettings, running_sandbox
from tests.integration.processes import Htw, python_process
from warehouse.connection import WarehouseError
from warehouse.query import query
from warehouse.vault import Vault

DONE, FAILED, WRONG_USAGE, SLOTS_MISSING = 0, 1, 2, 3
UNREACHABLE = "https://hypertracker.invalid"
HOLD_OPEN = "import duckdb, sys; connection = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
COUNT = "select count(*) as positions, max(value_usd) as most from fct_open_positions"


@dataclass
class Polled:
    """A data folder filled by two polls, and what they said."""

    htw: Htw
    with_unknown_coin: CompletedProcess[str]
    whole: CompletedProcess[str]


@pytest.fixture(scope="module")
def polled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Polled]:
    with running_sandbox(SandboxSettings(coins=4, positions=200, orders=100)) as sandbox:
        htw = Htw(sandbox.api_url, sandbox.token, tmp_path_factory.mktemp("cli") / "data")
        first = poll_within_one_slot(htw, "open_positions", "--json", coins="BTC,NOSUCH")
        yield Polled(htw, first, htw("poll", "segments"))


def poll_within_one_slot(htw: Htw, *arguments: str, **changes: str) -> CompletedProcess[str]:
    """A slot that ends while it is asked for is missed, rightly; the next one has a quarter of an hour."""
    slot = slot_at(Cadence.QUARTER_HOUR, datetime.now(UTC))
    result = htw("poll", *arguments, **changes)
    ended = slot != slot_at(Cadence.QUARTER_HOUR, datetime.now(UTC))
    return htw("poll", *arguments, **changes) if ended else result


def side_by_side(htw: Htw, *commands: tuple[str, ...]) -> list[CompletedProcess[str]]:
    """Commands that only read, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda arguments: htw(*arguments), commands))


def copied(htw: Htw, target: Path) -> Htw:
    shutil.copytree(htw.data_dir, target, symlinks=True)
    return replace(htw, data_dir=target)


def published(htw: Htw) -> Path:
    return htw.data_dir / "published" / "hypertracker.duckdb"


def findings(result: CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {finding["subject"]: finding for finding in json.loads(result.stdout)}


def test_an_unknown_coin_is_named_and_the_rest_is_published(polled: Polled) -> None:
    result = polled.with_unknown_coin
    assert result.returncode == SLOTS_MISSING, result.stderr
    (status,) = json.loads(result.stdout)
    assert (status["dataset"], status["due"], status["arrived"]) == ("open_positions", 2, 1)
    (gap,) = status["gaps"]
    assert (gap["scope"], gap["verdict"]) == ("NOSUCH", "absent")
    assert "NOSUCH" in gap["reason"]
    assert "htw query" in gap["mend"]


def test_a_poll_that_brings_everything_says_so(polled: Polled) -> None:
    assert polled.whole.returncode == DONE, polled.whole.stderr
    assert polled.whole.stderr == ""
    (row,) = [line.split() for line in polled.whole.stdout.splitlines() if "segments" in line]
    assert row[:7] == ["segments", "day", "1", "1", "1", "0", "1"]


def test_a_wrong_token_fails_with_the_mend_and_without_the_token(polled: Polled) -> None:
    result = polled.htw("poll", "segments", api_token="htk_wrong")
    assert result.returncode == FAILED
    (line,) = result.stderr.splitlines()
    assert "nothing arrived for segments" in line
    assert "the token is not accepted" in line
    assert "put a valid token into HTW_API_TOKEN (or HTW_API_TOKEN_FILE), then run `htw doctor`" in line
    assert "htk_wrong" not in result.stdout + result.stderr


def test_wrong_usage_is_told_in_one_line_before_anything_is_asked(polled: Polled, tmp_path: Path) -> None:
    fresh = replace(polled.htw, data_dir=tmp_path / "data")
    unknown, no_slot = side_by_side(fresh, ("poll", "moon_phases"), ("poll", "coins", "--slot", "2026-03-24T10:07Z"))
    early = polled.htw("poll", "coins", "--slot", "2020-01-01T00:00Z")
    settings = fresh("poll", api_url=UNREACHABLE, api_token="", plan="gratis", coins="top:none")
    words = {"moon_phases: no such dataset": unknown, "2026-03-24T10:07Z is no slot": no_slot, "HTW_API_TOKEN (or": settings}
    words["lies before the first slot here"] = early
    for text, result in words.items():
        assert result.returncode == WRONG_USAGE, result
        (line,) = result.stderr.splitlines()
        assert line.startswith("htw: ")
        assert text in line
        assert result.stdout == ""
    assert "gratis" in settings.stderr
    assert "top:none" in settings.stderr
    assert not fresh.data_dir.exists()


def test_status_tells_what_arrived_and_why_something_did_not(polled: Polled, tmp_path: Path) -> None:
    shown, values = side_by_side(polled.htw, ("status",), ("status", "--json"))
    nothing = replace(polled.htw, data_dir=tmp_path / "none")("status", "--json", api_url=UNREACHABLE, api_token="")
    assert (shown.returncode, values.returncode, nothing.returncode) == (SLOTS_MISSING,) * 3
    by_dataset = {status["dataset"]: status for status in json.loads(values.stdout)}
    assert by_dataset["segments"]["gaps"] == []
    assert "NOSUCH" in {gap["scope"] for gap in by_dataset["open_positions"]["gaps"]}
    assert "arrived  ▒ in part" in shown.stdout
    told = " ".join(shown.stdout.split())
    assert "absent, " in told
    assert "NOSUCH" in told
    assert "exact spelling" in told
    assert json.loads(nothing.stdout) == []
    assert "run `htw poll`" in nothing.stderr


def test_query_answers_as_table_csv_and_json_without_a_token(polled: Polled) -> None:
    htw = replace(polled.htw, api_url=UNREACHABLE, token="")
    shown, as_json = side_by_side(htw, ("query", COUNT), ("query", COUNT, "--json"))
    as_csv = htw("query", "-", "--csv", stdin=f"{COUNT};\n")
    assert [result.returncode for result in (shown, as_csv, as_json)] == [DONE] * 3
    (row,) = csv.DictReader(io.StringIO(as_csv.stdout))
    assert int(row["positions"]) > 10
    assert json.loads(as_json.stdout) == [{"positions": int(row["positions"]), "most": float(row["most"])}]
    assert row["positions"] in shown.stdout.split()


def test_query_refuses_in_one_line(polled: Polled, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("word\nhush\n")
    written, read = side_by_side(polled.htw, ("query", "delete from fct_open_positions"), ("query", f"from read_csv('{secret}')"))
    assert (written.returncode, read.returncode) == (FAILED, FAILED)
    assert written.stderr.startswith("htw: ")
    assert "read-only" in written.stderr
    assert "disabled by configuration" in read.stderr
    assert "hush" not in read.stdout + read.stderr


@pytest.mark.proves("query-confined", sees="`htw query` refuses in a line")
@pytest.mark.parametrize(
    ("sql", "words"),
    [
        pytest.param("create table t (a int)", "read-only", id="create"),
        pytest.param("attach '{folder}/other.duckdb'", "disabled", id="attach"),
        pytest.param("attach '{folder}/data/warehouse.duckdb'", "disabled", id="attach the working file"),
        pytest.param("copy dim_coin to '{folder}/out.csv'", "disabled", id="copy out"),
        pytest.param("from glob('/etc/*')", "disabled", id="list files"),
        pytest.param("from '/etc/passwd'", "disabled|does not exist", id="file as a table"),
        pytest.param("set enable_external_access = true", "locked", id="unlock"),
        pytest.param("install httpfs", "disabled", id="extension"),
    ],
)
def test_a_query_cannot_leave_the_published_copy(polled: Polled, tmp_path: Path, sql: str, words: str) -> None:
    with pytest.raises(WarehouseError, match=f"(?i){words}"):
        query(published(polled.htw), sql.format(folder=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_doctor_finds_a_healthy_house_well(polled: Polled) -> None:
    result = polled.htw("doctor")
    assert result.returncode == DONE, result.stdout
    assert {line.split()[0] for line in result.stdout.splitlines()} == {"well"}
    assert "accepts the token" in result.stdout


def test_doctor_names_each_fault_with_its_mend(polled: Polled, tmp_path: Path) -> None:
    htw = copied(polled.htw, tmp_path / "data")
    vault = Vault(htw.data_dir / "vault")
    part = next(record.parts[0] for record in vault.records() if record.parts)
    vault.path(part).write_bytes(b"spoilt")
    with python_process(HOLD_OPEN, htw.data_dir / "warehouse.duckdb") as holder:
        result = htw("doctor", "--json", api_token="htk_wrong")
    assert result.returncode == FAILED
    found = findings(result)
    assert {name for name, finding in found.items() if not finding["is_well"]} == {"token and API", "working file", "vault"}
    assert "htw doctor" in found["token and API"]["mend"]
    assert f"PID {holder.pid}" in found["working file"]["says"]
    assert "close it there" in found["working file"]["mend"]
    assert part.file in found["vault"]["says"]
    assert "restore" in found["vault"]["mend"]
    assert "htk_wrong" not in result.stdout


def test_a_damaged_working_file_is_named_and_the_rebuild_it_advises_brings_everything_back(
    polled: Polled, tmp_path: Path
) -> None:
    htw = copied(polled.htw, tmp_path / "data")
    before = query(published(htw), COUNT)
    (htw.data_dir / "warehouse.duckdb").write_bytes(b"no database" * 1000)
    found = findings(htw("doctor", "--json"))
    assert not found["working file"]["is_well"]
    assert "is damaged" in found["working file"]["says"]
    assert "htw rebuild" in found["working file"]["mend"]
    shutil.rmtree(htw.data_dir / "published")
    rebuilt = htw("rebuild", api_url=UNREACHABLE, api_token="")
    assert rebuilt.returncode == DONE, rebuilt.stderr
    assert "fetches replayed" in rebuilt.stdout
    assert query(published(htw), COUNT).equals(before)
