"""Faults of transport, redirects, answers and paging, end to end: what each costs and says, and that nothing is left of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from orchestration.modelling import raise_for_failures
from orchestration.pipeline import Outcome, Pipeline
from tests.reliability import oracles
from tests.reliability.cases import CASES, TROUBLES
from tests.reliability.gauntlet import BEGIN, COINS, NEW_TOKEN, Case, Gauntlet, Trouble, gauntlet, rounds_of

pytestmark = pytest.mark.long

SIGNATURE = re.compile(r"sig=([0-9a-f]{20,})")
Said = Callable[..., None]


LOUD = ("httpx", "httpcore", "hypertracker", "asyncio", "stamina")


@dataclass
class Run:
    """What the gauntlet left behind."""

    gauntlet: Gauntlet
    reader: oracles.Reader
    log: list[str]


class Heard(logging.Handler):
    """Every message of the libraries that talk to the provider, and of whoever else speaks up."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture(scope="module")
def heard() -> Iterator[list[str]]:
    handler, levels = Heard(), {name: logging.getLogger(name).level for name in LOUD}
    logging.getLogger().addHandler(handler)
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield handler.lines
    logging.getLogger().removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, heard: list[str]) -> Iterator[Run]:
    """The whole of it: every round, the first of them published, every trouble, the last build."""
    first, *others = rounds_of(CASES)
    with gauntlet(tmp_path_factory.mktemp("gauntlet")) as made:
        made.run_round(first)
        build(made.struck)
        made.struck.publish()
        with oracles.reading(made.struck.settings.published_file, "fct_open_positions") as reader:
            for placed in others:
                made.run_round(placed)
            made.run_troubles(TROUBLES)
            build(made.calm)
            build(made.struck)
            made.struck.publish()
        yield Run(made, reader, heard)


def build(pipeline: Pipeline) -> None:
    raise_for_failures(pipeline.build())


def marked(proven: Case | Trouble) -> object:
    marks = [pytest.mark.proves(fault, sees=sees) for fault, sees in proven.proves]
    return pytest.param(proven, marks=marks, id=proven.name)


def words(outcomes: list[Outcome]) -> list[str]:
    return [text for outcome in outcomes for text in (outcome.judgement.reason, outcome.judgement.mend)]


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_a_fault_costs_its_own_slot_only_and_says_why(run: Run, said: Said, case: Case) -> None:
    placed = run.gauntlet.placed[case.name]
    (struck,) = placed.struck
    said(*words(placed.struck + placed.after))
    assert (struck.judgement.verdict.value, struck.record.requests_spent) == (case.verdict, case.requests)
    assert case.mend in struck.judgement.mend
    if case.verdict != "loaded":
        oracles.check_words(struck.judgement)
    verdicts = [outcome.judgement.verdict.value for outcome in placed.after]
    assert verdicts == ([] if case.verdict == "loaded" else ["failed", "loaded"] if case.by_name else ["loaded"])


@pytest.mark.parametrize("trouble", [marked(trouble) for trouble in TROUBLES])
def test_what_strikes_everything_is_told_of_every_slot(run: Run, said: Said, trouble: Trouble) -> None:
    outcomes = run.gauntlet.troubled[trouble.name]
    said(*words(outcomes))
    assert {outcome.judgement.verdict.value for outcome in outcomes} <= trouble.verdicts
    failed = [outcome for outcome in outcomes if outcome.judgement.verdict.value == "failed"]
    assert all(trouble.mend in outcome.judgement.mend for outcome in failed)
    for outcome in failed:
        oracles.check_words(outcome.judgement)


def test_a_refused_token_is_shown_by_those_only_who_were_under_way(run: Run) -> None:
    outcomes = run.gauntlet.troubled["401"]
    unasked = [outcome for outcome in outcomes if outcome.judgement.reason.startswith("not asked: ")]
    assert len(unasked) >= len(COINS)
    assert all(outcome.record.requests_spent == 0 for outcome in unasked)


@pytest.mark.parametrize("name", ["refused", "dns"])
def test_what_never_reached_the_provider_costs_nothing(run: Run, name: str) -> None:
    assert sum(outcome.record.requests_spent for outcome in run.gauntlet.troubled[name]) == 0


def test_facts_are_those_of_the_calm_folder(run: Run) -> None:
    calm, struck = oracles.facts(run.gauntlet.calm), oracles.facts(run.gauntlet.struck)
    assert calm.keys() == struck.keys()
    assert [table for table in calm if calm[table] != struck[table]] == []
    assert all(len(calm[f"fct_{name}"]) > 20 for name in ("open_positions", "order_versions", "market_metrics"))


def test_bytes_are_those_of_the_calm_folder_but_for_odd_answers(run: Run) -> None:
    calm, struck = oracles.payloads(run.gauntlet.calm), oracles.payloads(run.gauntlet.struck)
    odd = {
        (placed.case.dataset, placed.scope, placed.slot.replace(tzinfo=None))
        for placed in run.gauntlet.placed.values()
        if placed.case.is_odd
    }
    readings = {key for key in calm.keys() | struck.keys() if key[0] == "state_status"}
    different = {key for key in calm.keys() | struck.keys() if calm.get(key) != struck.get(key)}
    assert different - readings == odd


def test_every_due_slot_has_a_verdict_and_nothing_is_missing(run: Run) -> None:
    made = run.gauntlet
    assert oracles.check_coverage(made.struck, BEGIN, made.end) == []
    assert oracles.check_vault(made.struck) > len(CASES)


def test_requests_are_counted_alike_by_provider_ledger_and_budget(run: Run) -> None:
    made = run.gauntlet
    oracles.check_requests(made.struck, len(made.served["struck"]), BEGIN)
    oracles.check_requests(made.calm, len(made.served["calm"]), BEGIN)


def test_no_file_no_log_and_no_reason_holds_a_token_or_a_signature(run: Run) -> None:
    made = run.gauntlet
    issued = SIGNATURE.findall(" ".join(request.path for request in made.sandbox.requests()))
    assert len(issued) > len(CASES)
    outcomes = [outcome for placed in made.placed.values() for outcome in placed.struck + placed.after]
    outcomes += [outcome for found in made.troubled.values() for outcome in found]
    secrets = {"sandbox-token", NEW_TOKEN, "sig=", "5ec4e7", *issued}
    files = oracles.check_secrets(made.struck.settings.data_dir, [*run.log, *words(outcomes)], secrets)
    assert files > len(CASES)
    assert [line for line in run.log if "HTTP Request: GET" in line]


def test_readers_saw_whole_states_all_the_time(run: Run) -> None:
    assert run.reader.errors == []
    assert len(run.reader.counts) > 20
    seen = sorted(set(run.reader.counts))
    assert seen[0] > 0
    assert len(seen) <= 2
