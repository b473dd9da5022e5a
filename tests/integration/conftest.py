"""A provider on real sockets, a client that asks it, and what must hold after every ask."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import SecretStr

from orchestration.hypertracker.client import ApiAccess, Client
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.hypertracker.endpoint import Dataset
from orchestration.hypertracker.errors import HyperTrackerError
from orchestration.hypertracker.redaction import install_redaction
from orchestration.hypertracker.tally import Bounds, Tally
from orchestration.hypertracker.turns import Turns
from orchestration.vault_bodies import VaultBodies
from sandbox import Fault, Sandbox, SandboxSettings, running_sandbox
from tests.production.cluster import Cluster, required_binaries, running_cluster
from warehouse.fetches import Part
from warehouse.vault import Vault

if TYPE_CHECKING:
    from tests.stores import Store
    from warehouse.lake import Lake

NOON = datetime(2026, 3, 26, 12, tzinfo=UTC)
QUICK = Bounds(connect_s=5.0, read_s=5.0, deadline_s=20.0, unsaid_wait_s=0.2)
RECORDED_WITHIN_S = 3.0


@dataclass(frozen=True)
class Answer:
    """How one ask ended, and what it cost by the client's count. `parts` are the bytes in the vault."""

    parts: tuple[bytes, ...]
    error: HyperTrackerError | None
    requests: int
    seconds: float

    @property
    def body(self) -> bytes:
        assert self.error is None, self.error
        (body,) = self.parts
        return body


class Asker:
    """Asks a provider as the project does, and checks after every ask what must always hold."""

    def __init__(self, provider: Sandbox, vault: Vault, log: pytest.LogCaptureFixture) -> None:
        self.provider, self.vault, self._log = provider, vault, log
        self._before = len(provider.requests())
        self.slot = NOON

    def __call__(self, dataset: Dataset | str, scope: str = "", bounds: Bounds = QUICK, **access: Any) -> Answer:
        return self.together([(dataset, scope)], bounds, **access)[0]

    def together(
        self, asks: list[tuple[Dataset | str, str]], bounds: Bounds = QUICK, turns: Turns | None = None, **access: Any
    ) -> list[Answer]:
        """Asks at once, by one client."""
        self._before = len(self.provider.requests())
        answers = asyncio.run(self._ask(asks, bounds, turns, access))
        self._check(answers)
        return answers

    def served(self, leg: str = "api") -> list[str]:
        """Path and query of the requests that the provider counted since the last ask began."""
        return [request.path for request in self.provider.requests()[self._before :] if request.leg == leg]

    async def _ask(
        self, asks: list[tuple[Dataset | str, str]], bounds: Bounds, turns: Turns | None, access: dict[str, Any]
    ) -> list[Answer]:
        given = {"base_url": self.provider.api_url, "token": SecretStr(self.provider.token), **access}
        async with Client[Part](ApiAccess(**given), bounds, turns) as client:
            return await asyncio.gather(*(self._one(client, dataset, scope) for dataset, scope in asks))

    async def _one(self, client: Client[Part], dataset: Dataset | str, scope: str) -> Answer:
        known = BY_NAME[dataset] if isinstance(dataset, str) else dataset
        tally, began, parts, error = Tally(), time.monotonic(), tuple[Part, ...](), None
        bodies = VaultBodies(self.vault, known.name, self.slot, known.suffix)
        try:
            parts = await client.fetch(known, scope, self.slot, bodies, tally)
        except HyperTrackerError as caught:
            error = caught
        kept = tuple(self._stored(part) for part in parts)
        return Answer(kept, error, tally.requests, time.monotonic() - began)

    def _stored(self, part: Part) -> bytes:
        """The bytes as they were received, still compressed where they came so."""
        assert self.vault.verify(part)
        path = self.vault.path(part)
        return self.vault.read(part) if path.suffix == ".zst" else path.read_bytes()

    def _check(self, answers: list[Answer]) -> None:
        spent = sum(answer.requests for answer in answers)
        self._await_record(spent)
        assert len(self.served()) == spent
        assert not any(request.has_auth for request in self.provider.requests() if request.leg == "storage")
        assert not list(self.vault.temporary.iterdir())
        told = [line for answer in answers if answer.error for line in traceback.format_exception(answer.error)]
        for text in (*told, *(answer.error.mend for answer in answers if answer.error), self._log.text):
            assert self.provider.token not in text
            assert "sig=" not in text

    def _await_record(self, spent: int) -> None:
        """The provider notes a request when it answers, which may be after the client has given up."""
        until = time.monotonic() + RECORDED_WITHIN_S
        while len(self.served()) < spent and time.monotonic() < until:
            time.sleep(0.01)


@pytest.fixture(scope="session")
def only_provider() -> Iterator[Sandbox]:
    with running_sandbox(SandboxSettings(start=NOON, clock="manual", coins=4, positions=200, orders=120)) as sandbox:
        yield sandbox


@pytest.fixture
def provider(only_provider: Sandbox) -> Sandbox:
    only_provider.faults.clear()
    only_provider.clock.set(NOON)
    return only_provider


@pytest.fixture
def ask(provider: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Asker:
    """Asks of a client whose libraries log all they can."""
    install_redaction()
    for name in ("httpx", "httpcore", "hypertracker"):
        caplog.set_level(logging.DEBUG, logger=name)
    vault = Vault(tmp_path / "vault")
    vault.create()
    return Asker(provider, vault, caplog)


@pytest.fixture
def spoil(provider: Sandbox) -> Any:
    """Puts a fault in force: `spoil("cut", leg="storage", count=1)`."""
    return lambda kind, path="", **given: provider.faults.add(Fault(kind, path, **given))


@cache
def by_hand() -> httpx.Client:
    """One client for all tests: making one costs more than most requests."""
    return httpx.Client(timeout=20)


@pytest.fixture
def sent(provider: Sandbox) -> Any:
    """The bytes that the provider serves at a path, fetched by hand."""

    def fetch(path: str) -> bytes:
        answer = by_hand().get(f"{provider.api_url}/api/external{path}", headers={"Authorization": f"Bearer {provider.token}"})
        if answer.status_code == 302 or b"downloadUrl" in answer.content[:20]:
            answer = by_hand().get(answer.headers.get("location") or answer.json()["downloadUrl"])
        assert answer.status_code == 200, answer.text
        return answer.content

    return fetch


def paged(dataset: str, page_limit: int, **changes: Any) -> Dataset:
    """A dataset in smaller pages."""
    return replace(BY_NAME[dataset], page_limit=page_limit, **changes)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL of the tests of a file; whoever stops it starts it again."""
    with running_cluster(required_binaries()) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """An S3-compatible server of the tests of a file, likewise."""
    from tests.stores import running_store

    with running_store() as store:
        yield store


@pytest.fixture
def lake(cluster: Cluster, store: Store, request: pytest.FixtureRequest) -> Lake:
    """A shared lake of which nothing is there yet."""
    from tests.stores import new_lake

    return new_lake(cluster, store, f"lake{abs(hash(request.node.name)) % 10**9}")
