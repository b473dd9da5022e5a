"""Lines 6 and 15: polling and backfilling beside plain httpx asking the same sandbox for the same bytes.

Belongs here: requests and what becomes of their bytes. Does not: whole ticks (`ticks`).
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import httpx

from benchmarks.measuring import Check, Finding, Size, by_turns, in_child, in_order, ratio, spread, stages
from benchmarks.provider import START, Provider, provider
from orchestration.filling import Wanted, run_errands, survey
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.pipeline import Outcome, Pipeline
from warehouse.fetches import FetchRecord

POSITIONS = BY_NAME["open_positions"]
QUARTER = timedelta(minutes=15)
AT_ONCE = 16
COINS_OF_A_BACKFILL = 2
CALM = 1.2  # how much larger a peak counts as flat


class OnlyPolls(Pipeline):
    """A pipeline whose polls end in the vault."""

    def load(self, records: Sequence[FetchRecord] = ()) -> list[Outcome]:
        self.received = [record for record in records if record.outcome == "received"]
        return []


def poll_of_the_market(size: Size) -> Finding:
    slots = (START + number * QUARTER for number in count(1))
    with provider(size.coins, size.positions, size.coins) as served, tempfile.TemporaryDirectory() as folder:
        paths = [f"/api/external/positions/open/coin/{coin}" for coin in _coins(served)]

        def pair(ours_first: bool) -> tuple[float, float]:
            slot = next(slots)
            served.set(slot + timedelta(seconds=5))
            download(served, paths, Path(folder))  # the sandbox makes the bytes of a state once
            return in_order(
                lambda: _poll(served, Path(folder) / f"{slot:%H%M}", slot, len(paths)),
                lambda: download(served, paths, Path(folder)),
                ours_first,
            )

        pairs = by_turns(pair, size.runs)
    checks = [Check(f"{len(paths)} coins, to the vault and durable / to plain files", ratio(pairs), "x", most=1.5)]
    return Finding(checks, [spread(pairs), f"both ask one sandbox process, {AT_ONCE} at once; its own time is in both"])


def backfill_of_a_day(size: Size) -> Finding:
    few, many = size.backfill_slots
    end = START + timedelta(days=2)
    with provider(size.coins, size.positions // 10 or size.coins, size.coins, end) as served:
        peaks, asked, notes = {}, {}, []
        for slots in (few, many):
            ours = in_child("polling", "backfill", served.api_url, served.token, slots)
            peaks[slots], asked[slots] = ours["peak_mib"], ours["stages"]["asked and loaded"]
            notes.append(
                stages(f"{slots} slots of {COINS_OF_A_BACKFILL} coins, a peak of {ours['peak_mib']:.0f} MiB", ours["stages"])
            )
        theirs = in_child("polling", "plain", served.api_url, served.token, few)["stages"]["asked"]
    checks = [
        Check(f"{few} slots of {COINS_OF_A_BACKFILL} coins, to raw / plain httpx", asked[few] / theirs, "x", most=2),
        Check(f"peak memory, {many} slots / {few} slots", peaks[many] / peaks[few], "x", most=CALM),
    ]
    return Finding(checks, [*notes, f"plain httpx: {theirs:.2f} s; models are built once after a backfill, and not counted"])


def main(what: str, api_url: str, token: str, slots: str) -> dict[str, dict[str, float]]:
    """A backfill, or the same requests by plain httpx, in this process."""
    served, end = Provider(api_url, token), START + timedelta(days=2)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = served.pipeline(Path(folder), _named(served))
        first = end - int(slots) * QUARTER
        begun = time.perf_counter()
        if what == "plain":
            download(served, _past_paths(served, first, int(slots)), Path(folder))
            return {"stages": {"asked": time.perf_counter() - begun}}
        pipeline.plan()
        wanted = Wanted(POSITIONS, tuple(_named(served).split(",")), first, end)
        errands = survey(pipeline, wanted).errands
        surveyed = time.perf_counter()
        outcomes = [outcome for batch in run_errands(pipeline, errands, publish=False) for outcome in batch]
        done = time.perf_counter()
    loaded = sum(outcome.judgement.verdict.arrived for outcome in outcomes)
    if loaded < int(slots):
        raise RuntimeError(f"{loaded} of {int(slots) * COINS_OF_A_BACKFILL} arrived")
    return {"stages": {"surveyed": surveyed - begun, "asked and loaded": done - surveyed}}


def download(served: Provider, paths: Sequence[str], folder: Path) -> None:
    """What a script would do: ask, follow the link, write a file."""

    async def one(client: httpx.AsyncClient, bare: httpx.AsyncClient, turn: asyncio.Semaphore, number: int, path: str) -> None:
        async with turn:
            answer = await client.get(path)
            link = answer.headers.get("location") or _link_in(answer.json())
            async with bare.stream("GET", link) as stream:
                stream.raise_for_status()
                with (folder / f"plain-{number}").open("wb") as file:
                    async for chunk in stream.aiter_bytes():
                        file.write(chunk)

    async def run() -> None:
        headers, turn = {"Authorization": f"Bearer {served.token}"}, asyncio.Semaphore(AT_ONCE)
        async with (
            httpx.AsyncClient(base_url=served.api_url, headers=headers, timeout=120) as client,
            httpx.AsyncClient(timeout=120) as bare,
        ):
            await asyncio.gather(*(one(client, bare, turn, number, path) for number, path in enumerate(paths)))

    asyncio.run(run())


def _link_in(answer: dict[str, object]) -> str:
    for value in (answer, *answer.values()):
        if isinstance(value, dict) and "downloadUrl" in value:
            return str(value["downloadUrl"])
    raise RuntimeError(f"no link in {answer}")


def _poll(served: Provider, data_dir: Path, slot: datetime, wanted: int) -> None:
    pipeline = served.pipeline(data_dir, "all", OnlyPolls)
    pipeline.poll([POSITIONS], slot)
    received = {record.scope for record in pipeline.received if record.dataset == POSITIONS.name}
    if len(received) < wanted:
        raise RuntimeError(f"{len(received)} of {wanted} coins were received")


def _past_paths(served: Provider, first: datetime, slots: int) -> list[str]:
    ends = [first + number * QUARTER for number in range(slots)]
    coins = _named(served).split(",")
    return [
        f"/api/external/coin/{coin}/open-positions/history?end={end:%Y-%m-%dT%H:%M:%S.000Z}" for end in ends for coin in coins
    ]


def _coins(served: Provider) -> list[str]:
    headers = {"Authorization": f"Bearer {served.token}"}
    rows = httpx.get(f"{served.api_url}/api/external/positions/coins", headers=headers, timeout=120).json()
    return [row["coin"] for row in rows]


def _named(served: Provider) -> str:
    return ",".join(_coins(served)[:COINS_OF_A_BACKFILL])
