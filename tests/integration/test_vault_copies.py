"""A copy of the vault on a real S3-compatible server: whole, verified, cheap to bring up, and never mixed with another."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import Htw
from tests.integration.test_vault_packs import BODIES, IN_FIRST_BODY, flip, keep, pack
from tests.stores import BUCKET, KEY_ID, SECRET, Store, running_store
from warehouse.lake_places import Bucket
from warehouse.object_store import StoreError
from warehouse.publisher import publisher_of
from warehouse.vault import Vault
from warehouse.vault_copies import Copied, fetch, send, sizes_of


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as store:
        yield store


@pytest.fixture
def bucket(store: Store, tmp_path: Path) -> Bucket:
    return Bucket(f"s3://{BUCKET}/{tmp_path.name}", store.endpoint, key_id=KEY_ID, secret=SECRET)


def new_vault(folder: Path) -> Vault:
    vault = Vault(folder / "vault")
    vault.create()
    return vault


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return new_vault(tmp_path / "first")


def sent(vault: Vault, bucket: Bucket) -> Copied:
    return send(vault, bucket, ignore)


def fetched(bucket: Bucket, vault: Vault) -> Copied:
    return fetch(bucket, vault, ignore)


def ignore(*_: Any) -> None:
    pass


def files(vault: Vault) -> dict[str, bytes]:
    return {name: (vault.root / name).read_bytes() for name in sizes_of(vault)}


def test_what_is_fetched_is_what_was_sent_and_the_next_time_costs_what_came_since(
    vault: Vault, bucket: Bucket, tmp_path: Path
) -> None:
    for number, body in enumerate(BODIES.values()):
        keep(vault, body, 5 * number)
    pack(vault)
    late = keep(vault, b"[4]", 30)
    first = sent(vault, bucket)
    assert (first.file_count, first.written_files) == (5, 5)  # two packs, a body and a record beside them, the publisher
    assert sent(vault, bucket).written_files == 0
    other = new_vault(tmp_path / "other")
    assert fetched(bucket, other) == first
    assert files(other) == files(vault)
    assert publisher_of(other.root) == publisher_of(vault.root)
    assert list(other.records()) == list(vault.records())
    assert all(other.verify(part) for record in other.records() for part in record.parts)
    # Closed by the state after it, the record is written again with more in it.
    vault.keep(replace(late, state_after=late.slot, state_before=late.slot))
    keep(vault, b"[5]", 35)
    assert sent(vault, bucket).written_files == 3
    assert fetched(bucket, other).written_files == 3
    assert list(other.records()) == list(vault.records())


def test_a_day_that_was_sent_before_it_was_packed_is_fetched_as_its_packs_have_it(
    vault: Vault, bucket: Bucket, tmp_path: Path
) -> None:
    record = keep(vault, BODIES["plain"])
    sent(vault, bucket)
    closed = replace(record, state_before=record.slot, state_after=record.slot)
    vault.keep(closed)
    vault.forget_pending([record.fetch_id])
    pack(vault)
    sent(vault, bucket)
    other = new_vault(tmp_path / "other")
    assert fetched(bucket, other).file_count == 3
    assert list(other.records()) == [closed]
    assert files(other) == files(vault)


def test_a_copy_that_was_cut_off_goes_on_where_it_was(vault: Vault, bucket: Bucket, store: Store, tmp_path: Path) -> None:
    for number in range(12):
        keep(vault, f"[{number}]".encode(), 5 * number)
    done: list[int] = []

    def stop_after_some(count: int, _: int) -> None:
        done.append(count)
        if count == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send(vault, bucket, stop_after_some)
    rest = sent(vault, bucket)
    assert (rest.file_count, 0 < rest.written_files <= 25 - 7) == (25, True)
    other = new_vault(tmp_path / "other")
    with pytest.raises(KeyboardInterrupt):
        fetch(bucket, other, stop_after_some)
    assert not list(other.temporary.iterdir())
    assert 0 < fetched(bucket, other).written_files <= 25 - 7
    assert files(other) == files(vault)


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_body_that_is_damaged_on_the_store_is_named_and_not_kept(
    vault: Vault, bucket: Bucket, tmp_path: Path, is_packed: bool
) -> None:
    record = keep(vault, BODIES["plain"])
    if is_packed:
        pack(vault)
    (path,) = [path for path in vault.root.glob("coins/*/*") if path.suffix in (".zst", ".zip")]
    flip(path, IN_FIRST_BODY if is_packed else path.stat().st_size // 2)
    sent(vault, bucket)
    other = new_vault(tmp_path / "other")
    with pytest.raises(StoreError, match=f"{path.name} is damaged on the store"):
        fetched(bucket, other)
    assert path.relative_to(vault.root).as_posix() not in sizes_of(other)
    assert not other.verify(record.parts[0])


def test_a_prefix_belongs_to_one_vault(vault: Vault, bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is nothing to send in"):
        sent(vault, bucket)
    keep(vault, BODIES["plain"])
    with pytest.raises(StoreError, match="no copy of a vault"):
        fetched(bucket, vault)
    sent(vault, bucket)
    stranger = new_vault(tmp_path / "stranger")
    keep(stranger, BODIES["gzip"])
    with pytest.raises(StoreError, match=f"another vault, whose publisher is {publisher_of(vault.root)}"):
        sent(stranger, bucket)
    with pytest.raises(StoreError, match="a copy of another vault than"):
        fetched(bucket, stranger)
    # Two machines that go on from one vault pack a day each, under one name.
    twin = new_vault(tmp_path / "twin")
    fetched(bucket, twin)
    for number, one in enumerate((vault, twin)):
        keep(one, f"[{number * 1000}]".encode(), 60 + number)
        pack(one)
    sent(vault, bucket)
    before = files(twin)
    with pytest.raises(StoreError, match="is another pack on either side"):
        sent(twin, bucket)
    with pytest.raises(StoreError, match="is another pack on either side"):
        fetched(bucket, twin)
    assert files(twin) == before


def test_the_command_copies_there_and_back_and_says_what_is_wrong_without_a_secret(
    vault: Vault, bucket: Bucket, store: Store, tmp_path: Path
) -> None:
    keep(vault, BODIES["plain"])
    (tmp_path / "secret").write_text(SECRET)
    htw = Htw("https://api.example", "any", vault.root.parent)
    keys = {"lake_s3_endpoint": store.endpoint, "lake_s3_key_id": KEY_ID, "lake_s3_secret_file": str(tmp_path / "secret")}
    there = htw("migrate", "vault", bucket.address, **keys)
    assert (there.returncode, "3 files written now" in there.stdout) == (0, True), there.stderr
    held = files(vault)
    shutil.rmtree(vault.root)
    back = htw("migrate", bucket.address, "vault", **keys)
    assert (back.returncode, "`htw rebuild` makes all tables of it" in back.stdout) == (0, True), back.stderr
    assert files(vault) == held
    for words, given, target in (
        ("cannot be used", keys | {"lake_s3_endpoint": "http://127.0.0.1:9"}, bucket.address),
        ("cannot be used", keys, "s3://nobody-has-this/vault"),
        ("is no bucket and prefix", keys, "/srv/backups"),
        ("the address holds a key", keys, f"s3://{KEY_ID}:{SECRET}@bucket/vault"),
        ("a vault has none", keys, f"{bucket.address} --to-data /srv/lake"),
    ):
        wrong = htw("migrate", "vault", *target.split(), **given)
        assert wrong.returncode in (1, 2)
        assert words in wrong.stderr
        assert SECRET not in wrong.stdout + wrong.stderr
