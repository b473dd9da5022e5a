"""Views of the same positions agree on a consistent market, and an error of one position in one view is noticed by name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from orchestration.hypertracker.datasets import BY_NAME
from orchestration.modelling import raise_for_failures
from orchestration.pipeline import Pipeline
from sandbox import Fault
from tests.pipeline.conftest import DAY, Day
from warehouse.query import query

DATASETS = (
    "state_status", "coins", "heatmap", "open_positions", "order_snapshots", "position_metrics_export", "segment_metrics_export",
    "breakdown_by_size_export", "breakdown_by_cohort_export", "liquidation_heatmap_export", "market_metrics", "coin_metrics",
    "latest_order_snapshot",
)  # fmt: skip
BREAKDOWNS = {"breakdown_by_size_equals_breakdown_by_size_cohort", "breakdown_by_size_equals_breakdown_by_pnl_cohort"}
BOTH_HEATMAP_AXES = {"cohorts_by_size_equal_coins", "cohorts_by_pnl_equal_coins"}
POSITIONS_BY_COHORT = {
    f"open_positions_by_{axis}_cohort_equal_{other}" for axis in ("size", "pnl") for other in ("heatmap", "breakdown")
}
SEGMENT_METRICS = {"segment_metrics_by_size_equal_position_metrics", "segment_metrics_by_pnl_equal_position_metrics"}

# Which path is planted with the error of one BTC position (or order), and which rules must notice it.
ERRORS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "none": ({}, set()),
    "coins": (
        {"path": "/positions/coins"},
        BOTH_HEATMAP_AXES
        | {
            "coin_metrics_equal_coins",
            "open_positions_equal_coins",
            "position_metrics_equal_coins",
            "market_equals_sum_of_coins",
            "coin_long_equals_short",
        },
    ),
    "heatmap": ({"path": "/positions/heatmap"}, BOTH_HEATMAP_AXES | {r for r in POSITIONS_BY_COHORT if "heatmap" in r}),
    "breakdown by size": (
        {"path": "position-breakdown-by-size"},
        BREAKDOWNS | {"breakdown_by_size_equals_position_metrics", "open_positions_by_bucket_equal_breakdown"},
    ),
    "breakdown by cohort": (
        {"path": "position-breakdown-by-cohort"},
        BREAKDOWNS | {r for r in POSITIONS_BY_COHORT if "breakdown" in r},
    ),
    "position metrics": (
        {"path": "/exports/coins/BTC/position-metrics"},
        SEGMENT_METRICS | {"breakdown_by_size_equals_position_metrics", "position_metrics_equal_coins"},
    ),
    "segment metrics": ({"path": "segment-metrics"}, SEGMENT_METRICS),
    "open positions": (
        {"path": "/positions/open/coin"},
        POSITIONS_BY_COHORT | {"open_positions_equal_coins", "open_positions_by_bucket_equal_breakdown"},
    ),
    "liquidation heatmap": ({"path": "liquidation-heatmap"}, {"liquidation_bins_equal_open_positions"}),
    "an order twice": ({"path": "/orders/5m-snapshots/coins", "mode": "twice"}, {"order_ids_are_unique"}),
}
NAMES = tuple(ERRORS)
# A series reaches hours back, so its error comes long after the others.
SERIES_SLOT = DAY + timedelta(hours=2 * len(NAMES) + 8)
SERIES_PATHS = ("/position-metrics/general", "/position-metrics/coin/BTC")
SERIES_RULES = {"market_equals_sum_of_coins", "market_long_equals_short", "coin_metrics_equal_coins"}


def slot_of(error: str) -> datetime:
    return DAY + timedelta(hours=2 * NAMES.index(error))


@pytest.fixture(scope="session")
def broken_rules(new_day: Any) -> pd.DataFrame:
    """Two hours after two hours, each with another error planted."""
    made: Day = new_day(coins="BTC,ETH")
    pipeline = made.pipeline
    planted = [(slot_of(error), [fault] if fault else []) for error, (fault, _) in ERRORS.items()]
    for slot, faults in [*planted, (SERIES_SLOT, [{"path": path} for path in SERIES_PATHS])]:
        made.sandbox.clock.set(slot + timedelta(seconds=5))
        made.sandbox.faults.clear()
        for fault in faults:
            made.sandbox.faults.add(Fault(kind="planted", **fault))
        pipeline.poll([BY_NAME[name] for name in DATASETS], slot)
    return _judged(pipeline, made)


def _judged(pipeline: Pipeline, made: Day) -> pd.DataFrame:
    raise_for_failures(pipeline.build())
    pipeline.publish()
    return query(made.settings.published_file, "select * from fct_reconciliations")


def broken_at(rules: pd.DataFrame, slot: datetime) -> set[str]:
    """The rules broken about the state that was polled at a slot; a state is at most 17 minutes old, and lasts 15."""
    begin, end = (pd.Timestamp(slot + timedelta(minutes=m)).tz_localize(None) for m in (-18, 15))
    chosen = rules[(rules["verdict"] == "differs") & (rules["snapshot_at"] > begin) & (rules["snapshot_at"] <= end)]
    return set(chosen["rule"].str.split(":").str[0])


@pytest.mark.parametrize("error", NAMES)
def test_an_error_of_one_position_breaks_the_rules_that_see_it(broken_rules: pd.DataFrame, error: str) -> None:
    found, expected = broken_at(broken_rules, slot_of(error)), ERRORS[error][1]
    assert expected <= found
    # Besides, a missing position may move a fraction or empty a price range; nothing else may be blamed.
    assert found - expected <= {"heatmap_fraction_equals_segment_metrics_fraction", "liquidation_bins_equal_open_positions"}


def test_errors_in_series_break_their_rules(broken_rules: pd.DataFrame) -> None:
    assert broken_at(broken_rules, SERIES_SLOT) == SERIES_RULES


def test_every_rule_was_tried_within_one_state(broken_rules: pd.DataFrame) -> None:
    tried = broken_rules[broken_rules["is_same_state"]]["rule"].str.split(":").str[0]
    every = set().union(*(rules for _, rules in ERRORS.values()))
    assert every | SERIES_RULES | {"market_long_equals_short", "coin_long_equals_short", "order_snapshot_is_on_its_mark"} <= set(
        tried
    )


@pytest.mark.proves(
    "cut-at-line-end",
    sees="where the announced length agrees and no count is declared, the rows are loaded, and the reconciliation with the list "
    "of coins says that they differ",
)
def test_a_broken_rule_names_both_values_and_both_payloads(broken_rules: pd.DataFrame) -> None:
    is_it = broken_rules["rule"] == "open_positions_equal_coins:position_count"
    counts = broken_rules[is_it & (broken_rules["verdict"] == "differs")].iloc[0]
    assert counts["scope"] == "BTC"
    assert abs(counts["left_value"] - counts["right_value"]) == counts["difference"] == 1
    assert counts["left_payload_id"] != counts["right_payload_id"]


@pytest.mark.proves("cut-at-line-end", sees="where a count is declared, the slot is incomplete: “the provider counts”")
def test_a_history_file_short_of_its_declared_rows_is_incomplete(new_day: Any, said: Callable[..., None]) -> None:
    made: Day = new_day(coins="BTC", start=DAY + timedelta(days=3))
    made.sandbox.faults.add(Fault(kind="planted", path="open-positions/history"))
    slot = DAY + timedelta(days=2, hours=12)
    outcomes = made.pipeline.poll([BY_NAME["open_positions"]], slot)
    (outcome,) = [outcome for outcome in outcomes if outcome.record.dataset == "open_positions"]
    assert outcome.judgement.verdict.value == "incomplete"
    said(outcome.judgement.reason)
    made.sandbox.faults.clear()
    (healed,) = [o for o in made.pipeline.poll([BY_NAME["open_positions"]], slot) if o.record.dataset == "open_positions"]
    assert healed.judgement.verdict.value == "loaded"
