"""The vault keeps every byte, once, and says so."""

from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lz4.frame
import pytest

from warehouse.fetches import FetchRecord, Part, new_fetch_id
from warehouse.vault import Vault, VaultError

SLOT = datetime(2026, 3, 24, 10, 15, tzinfo=UTC)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    vault = Vault(tmp_path / "vault")
    vault.create()
    return vault


def store(vault: Vault, body: bytes, suffix: str = ".json") -> Part:
    with vault.new_body("coins", SLOT, suffix) as writer:
        for at in range(0, len(body), 7):
            writer.write(body[at : at + 7])
        return writer.finish()


def record(part: Part | None, scope: str = "", minutes: int = 0) -> FetchRecord:
    at = SLOT + timedelta(minutes=minutes)
    parts = (part,) if part else ()
    return FetchRecord(new_fetch_id(), "coins", scope, SLOT, at, at, "received" if part else "failed", parts)


@pytest.mark.parametrize(
    ("body", "text", "ending"),
    [
        pytest.param(b'[{"coin": "BTC"}]', b'[{"coin": "BTC"}]', ".json.zst", id="plain"),
        pytest.param(gzip.compress(b"[1]"), b"[1]", ".json.gz", id="gzip kept as sent"),
        pytest.param(lz4.frame.compress(b"[1]"), b"[1]", ".json.lz4", id="lz4 kept as sent"),
        pytest.param(b"", b"", ".json.zst", id="nothing"),
    ],
)
def test_a_body_comes_back_as_it_was(vault: Vault, body: bytes, text: bytes, ending: str) -> None:
    part = store(vault, body)
    assert part.byte_count == len(body)
    assert part.file.endswith(ending)
    assert vault.read(part) == text
    assert vault.verify(part)


def test_the_same_bytes_are_kept_once(vault: Vault) -> None:
    assert store(vault, b"same").file == store(vault, b"same").file
    assert len(list(vault.root.glob("coins/*/*"))) == 1


def test_a_writer_that_is_left_early_leaves_nothing(vault: Vault) -> None:
    with vault.new_body("coins", SLOT, ".json") as writer:
        writer.write(b"half")
    assert list(vault.root.rglob("*.json*")) == []
    assert list(vault.temporary.iterdir()) == []


def test_one_flipped_bit_is_noticed(vault: Vault) -> None:
    part = store(vault, b"x" * 1000)
    path = vault.path(part)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    assert not vault.verify(part)


def test_a_missing_body_says_what_to_do(vault: Vault) -> None:
    part = store(vault, b"x")
    vault.path(part).unlink()
    assert not vault.verify(part)
    with pytest.raises(VaultError, match="htw doctor"):
        vault.read(part)


def test_a_record_comes_back_as_it_was(vault: Vault) -> None:
    kept = replace(record(store(vault, b"x"), "xyz:GOLD/../🦀"), state_before=SLOT, reason="a 'reason'")
    vault.keep(kept)
    assert list(vault.records()) == [kept]


def test_keeping_a_record_again_replaces_it(vault: Vault) -> None:
    first = record(store(vault, b"x"))
    vault.keep(first)
    vault.keep(replace(first, state_after=SLOT))
    assert [kept.state_after for kept in vault.records()] == [SLOT]


def test_the_payload_is_the_same_however_often_it_is_fetched(vault: Vault) -> None:
    part = store(vault, b"x")
    assert record(part).payload_id == record(part, minutes=5).payload_id
    assert record(part).payload_id != record(part, "BTC").payload_id
    assert record(part).payload_id != record(store(vault, b"y")).payload_id


def test_the_latest_payload_passes_over_failures(vault: Vault) -> None:
    good = record(store(vault, b"x"))
    vault.keep(good)
    vault.keep(record(None, minutes=1))
    assert vault.latest("coins") == good
    assert vault.latest("coins", "BTC") is None
    assert vault.latest("heatmap") is None
