"""Asking the provider once about everything the contract leaves open, and finding what is not as the registry expects.

Belongs here: making the requests, trying to load what came. Does not: which requests (`probe_errand`), the comparison
(`hypertracker.expectations`), samples (`probe_samples`), the words of the report (`probe_report`).

Nothing a probe receives reaches the vault or the warehouse: it is loaded into a warehouse of its own, which is thrown away.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb

from orchestration.clock import Clock
from orchestration.collecting import Ask
from orchestration.hypertracker.answer_forms import AnswerForm, read_form
from orchestration.hypertracker.client import ApiAccess, Client
from orchestration.hypertracker.endpoint import Dataset, Paging
from orchestration.hypertracker.errors import HyperTrackerError, NotFoundError, QuotaSpentError, RefusedError, TokenError
from orchestration.hypertracker.expectations import Answered, Aspect, Difference, compare, merged
from orchestration.hypertracker.tally import Tally
from orchestration.hypertracker.turns import Turns
from orchestration.landing import land
from orchestration.planning.urgency import Claim, Urgency
from orchestration.probe_errand import Errand, counted, largest_of_each_dex
from orchestration.probe_report import Asked, Report
from orchestration.probe_samples import Samples
from orchestration.registering import prepare
from orchestration.vault_bodies import VaultBodies
from warehouse.fetches import FetchRecord, Part, new_fetch_id
from warehouse.ledger import Judgement, Verdict
from warehouse.vault import Vault, VaultError

COMPRESSIONS = {".gz": "gzip", ".lz4": "lz4"}

Tell = Callable[[str, bool], None]


def run_probe(
    access: ApiAccess, clock: Clock, errand: Errand, samples: Path, tell: Tell = lambda _, __: None, turns: Turns | None = None
) -> Report:
    """Ask everything, one after the other, and compare. A refused token or a spent quota ends it early, as a failure.

    `tell` is given words and whether they are worth keeping: the exact cost is, each ask before it is made is not. Samples of
    what came are written below `samples`.
    """
    with tempfile.TemporaryDirectory(prefix="htw-probe-") as folder, duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        prepare(connection)
        vault = Vault(Path(folder))
        vault.create()
        probe = _Probe(connection, vault, clock, Samples(samples), tell)
        asyncio.run(probe.run(access, errand, turns))
    probe.report.differences = merged(probe.report.differences)
    return probe.report


class _Probe:
    """One run, and what it has found so far."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, vault: Vault, clock: Clock, samples: Samples, tell: Tell) -> None:
        self._connection, self._vault, self._clock, self._samples, self._tell = connection, vault, clock, samples, tell
        self._hide = samples.pseudonyms.hide
        self.report = Report()

    async def run(self, access: ApiAccess, errand: Errand, turns: Turns | None) -> None:
        async with Client[Part](access, turns=turns) as client:
            try:
                coins = await self._coins(client, errand)
                asks = errand.asks(coins)
                if errand.needs_coins and not coins:
                    self.report.failures.append("without a list of coins nothing is asked by coin; mend what is said of it first")
                by_coin = f"; by coin: {', '.join(largest_of_each_dex(coins))}" if coins else ""
                self._tell(f"{counted(len(self.report.asked) + len(asks), 'request')}{by_coin}", True)
                for ask in asks:
                    await self._answer(client, ask)
            except (TokenError, QuotaSpentError) as error:
                self.report.failures.append(f"the probe ends early: {error}; {error.mend}")

    async def _coins(self, client: Client[Part], errand: Errand) -> list[str]:
        """The listed coins, largest first; none where the list is not to be had or not to be read."""
        ask = errand.coins_ask()
        text = await self._answer(client, ask) if ask else ""
        try:
            return [str(row["coin"]) for row in sorted(json.loads(text), key=lambda row: -float(row["totalValue"]))]
        except (ValueError, TypeError, KeyError):
            return []

    async def _answer(self, client: Client[Part], ask: Ask) -> str:
        """Ask and look at what came; the text of the answer, empty where there is none."""
        self._tell(f"asking {ask.source.name} {ask.scope}".rstrip(), False)
        tally = Tally()
        try:
            source = first_page_of(ask.source)
            bodies = VaultBodies(self._vault, ask.dataset.name, ask.slot, ask.source.suffix)
            parts = await client.fetch(source, ask.scope, ask.slot, bodies, tally, Claim(Urgency.FRESHNESS))
        except HyperTrackerError as error:
            self._note_error(ask, tally, error)
            return ""
        return self._examine(ask, tally, parts[0])

    def _note_error(self, ask: Ask, tally: Tally, error: HyperTrackerError) -> None:
        """A refusal is a difference, everything else a failure. Raises what makes further asks useless."""
        verdict = Verdict.ABSENT if isinstance(error, NotFoundError) else Verdict.FAILED
        self._note(ask, tally, Judgement(verdict, str(error)), 0)
        if isinstance(error, TokenError | QuotaSpentError):
            raise error
        if isinstance(error, RefusedError):
            self._differ(ask, Aspect.REFUSAL, "an answer", str(error), refusal_change(ask.source, error))
        else:
            self.report.failures.append(self._hide(f"{ask.source.name} {ask.scope}: {error}; {error.mend}"))

    def _examine(self, ask: Ask, tally: Tally, part: Part) -> str:
        judgement = land(self._connection, self._vault, self._record(ask, tally, part))
        self._note(ask, tally, judgement, part.byte_count)
        text, form = self._read(part)
        found = self._compared(ask, tally, form) if form and judgement.verdict is not Verdict.EMPTY else []
        self.report.differences += [replace(difference, scopes=(ask.scope,)) for difference in found]
        if judgement.verdict is Verdict.QUARANTINED and not found:
            change = "`shape` or `columns` of the record, once the sample says what they should be"
            self._differ(ask, Aspect.CONTENT, "an answer that can be loaded", judgement.reason, change)
        if form:
            self.report.samples = self._samples.keep(ask, tally, text, form.file, self._clock.now())
        return text

    def _read(self, part: Part) -> tuple[str, AnswerForm | None]:
        try:
            text = self._vault.read(part).decode("utf-8-sig")
            return text, read_form(text, COMPRESSIONS.get(Path(part.file).suffix, ""))
        except (ValueError, RecursionError, VaultError):
            return "", None

    def _compared(self, ask: Ask, tally: Tally, form: AnswerForm) -> list[Difference]:
        first = ask.source.url_paths(ask.scope, ask.slot)[0]
        return compare(ask.source, Answered(form, tally.delivery, tally.content_type, tally.path, first, self._clock.now()))

    def _record(self, ask: Ask, tally: Tally, part: Part) -> FetchRecord:
        now, source = self._clock.now(), "" if ask.source is ask.dataset else ask.source.name
        return FetchRecord(
            new_fetch_id(), ask.dataset.name, ask.scope, ask.slot, now, now, "received", parts=(part,),
            requests_spent=tally.requests, source=source, extra=tally.notes,
        )  # fmt: skip

    def _note(self, ask: Ask, tally: Tally, judgement: Judgement, byte_count: int) -> None:
        delivery, reason = tally.delivery.value if tally.delivery else "", self._hide(judgement.reason)
        self.report.asked.append(
            Asked(ask.source.name, ask.scope, tally.requests, judgement.verdict, reason, delivery, tally.content_type, byte_count)
        )

    def _differ(self, ask: Ask, aspect: Aspect, expected: str, came: str, change: str) -> None:
        self.report.differences.append(Difference(ask.source.name, aspect, expected, self._hide(came), change, (ask.scope,)))


def first_page_of(source: Dataset) -> Dataset:
    """The same record asked for its first page alone, as large as it is asked for in earnest."""
    if source.paging is Paging.NONE:
        return source
    first = {"limit": str(source.page_limit)} | ({"offset": "0"} if source.paging is Paging.OFFSET else {})
    return replace(source, paging=Paging.NONE, query={**source.query, **first})


def refusal_change(source: Dataset, error: RefusedError) -> str:
    if isinstance(error, NotFoundError) and source.is_optional:
        return f"HTW_DATASETS, to leave {source.name} out: every poll of it is a request for nothing"
    if isinstance(error, NotFoundError):
        return "`path` of the record, if no scope of it is found; else nothing: the provider does not have this one"
    return error.mend
