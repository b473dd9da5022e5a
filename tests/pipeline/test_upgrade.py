"""`htw upgrade` of a working file that an earlier state of the project wrote: the facts are those of a rebuild from its vault."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestration.cli import app
from tests.earlier import PAYLOADS, unpack_vault, unpack_working_file
from tests.pipeline.conftest import dumped
from warehouse.connection import EarlierSchemaError, open_reader

pytestmark = pytest.mark.long


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = unpack_vault(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HTW_API_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("HTW_COINS", "BTC,ETH")
    monkeypatch.setenv("HTW_DATA_DIR", str(folder))
    return folder


def htw(*words: str) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_an_upgraded_file_has_the_facts_of_a_rebuild_and_its_copy_goes_back(folder: Path) -> None:
    file = unpack_working_file(folder)
    vault = {path: path.read_bytes() for path in (folder / "vault").rglob("*") if path.is_file()}
    assert f"making all models anew of {PAYLOADS} payloads" in htw("upgrade")
    facts = dumped(folder / "published" / "hypertracker.duckdb", prefix="")
    assert all(path.read_bytes() == content for path, content in vault.items())
    assert len(facts["fct_open_positions"]) > 50
    assert "nothing is to be done" in htw("upgrade")

    (backup,) = (folder / "backups").iterdir()
    htw("restore", str(backup))
    with pytest.raises(EarlierSchemaError), open_reader(file):
        pass

    htw("rebuild")
    assert dumped(folder / "published" / "hypertracker.duckdb", prefix="") == facts
