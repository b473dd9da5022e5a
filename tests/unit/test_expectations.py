"""Differences between an answer and its record, on the smallest answers that have them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestration.hypertracker.answer_forms import read_form
from orchestration.hypertracker.datasets import BY_NAME, SOURCES
from orchestration.hypertracker.endpoint import Dataset, Delivery
from orchestration.hypertracker.expectations import Answered, Aspect, Difference, compare, merged
from orchestration.hypertracker.forms import Form, maybe, number, opaque, rooted, text, time, under

NOW = datetime(2026, 3, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

RECORDS = Form(rooted(under("rows[]", text("coin") | number("value", "count") | opaque("object", "criteria"))))
TABLE = Form(
    rooted(under("table<rows>", time("timestamp") | number("value"))),
    time="$.table<rows>.timestamp", newest_first=True, step=HOUR, window=4 * HOUR, updates=HOUR,
)  # fmt: skip
CSV = Form(rooted(under("[]", text("id") | number("value"))), file="csv")


def compared(form: Form, value: Any, **changes: Any) -> list[Difference]:
    """Differences of an answer that was handed over as it should be, unless `changes` say otherwise."""
    record = replace(BY_NAME["coins"], form=form)
    body = read_form(value if isinstance(value, str) else json.dumps(value), changes.pop("packed", ""))
    return compare(record, Answered(body, Delivery.INLINE, "", record.path, record.path, NOW))


def aspects(differences: list[Difference]) -> list[Aspect]:
    return [difference.aspect for difference in differences]


def record(**changes: Any) -> dict[str, Any]:
    return {"coin": "BTC", "value": 1.5, "count": 2, "criteria": {"least": 1}, **changes}


def table(*hours_ago: float, columns: tuple[str, ...] = ("timestamp", "value")) -> dict[str, Any]:
    times = [(NOW - hours * HOUR).isoformat() for hours in hours_ago]
    return {"table": {"columns": list(columns), "data": [[moment, 1][: len(columns)] for moment in times]}}


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([record()], id="as expected"),
        pytest.param([], id="an empty list has no keys to miss"),
        pytest.param([record(value=None), record()], id="null is of every kind"),
        pytest.param([record(coin="2026-03-26T12:00:00Z")], id="text may look like a time"),
        pytest.param([dict(reversed(record().items()))], id="keys of an object have no order"),
        pytest.param([record(criteria={"new": [{"deep": 1}]})], id="what is opaque is not looked into"),
    ],
)
def test_an_answer_as_expected_has_no_differences(rows: list[Any]) -> None:
    assert compared(RECORDS, {"rows": rows}) == []


@pytest.mark.parametrize(
    ("value", "aspect", "came"),
    [
        pytest.param([record()], Aspect.LAYOUT, "a list at the top", id="bare"),
        pytest.param({"data": [record()]}, Aspect.LAYOUT, "under `data`", id="under another name"),
        pytest.param({"rows": {"1": record(), "2": record()}}, Aspect.LAYOUT, "an object by id under `rows`", id="by id"),
        pytest.param({"rows": [record(count="2")]}, Aspect.RETYPED, "`count` is text", id="number as text"),
        pytest.param({"rows": [record(value=[1])]}, Aspect.RETYPED, "`value` is list", id="number as list"),
        pytest.param({"rows": [record(more=1)]}, Aspect.ADDED, "`more` in `rows[]`", id="new key"),
        pytest.param({"rows": [record(more={"deep": 1})]}, Aspect.ADDED, "`deep` in `rows[].more`", id="new object"),
        pytest.param({"rows": [record()], "total": 1}, Aspect.ADDED, "`total`", id="new key beside the list"),
    ],
)
def test_a_changed_layout_or_key_is_one_difference(value: Any, aspect: Aspect, came: str) -> None:
    (difference,) = compared(RECORDS, value)
    assert (difference.aspect, difference.came) == (aspect, came)


def test_one_key_for_another_is_a_renaming_and_several_are_not() -> None:
    one = {name: value for name, value in record(total=2).items() if name != "count"}
    two = {name: value for name, value in record(total=2, worth=1).items() if name not in ("count", "value")}
    (renamed,) = compared(RECORDS, {"rows": [one]})
    assert (renamed.aspect, renamed.expected) == (Aspect.RENAMED, "`count` in `rows[]`")
    assert aspects(compared(RECORDS, {"rows": [two]})) == [Aspect.MISSING, Aspect.ADDED]


def test_optional_keys_may_be_missing_and_others_may_not() -> None:
    form = Form(rooted(number("a") | maybe(number("b")) | under("part", number("c"))))
    assert compared(form, {"a": 1, "part": {"c": 1}}) == []
    (difference,) = compared(form, {"a": 1})
    assert (difference.aspect, difference.expected) == (Aspect.MISSING, "`c` in `part`")


def test_the_order_of_columns_counts_where_columns_have_one() -> None:
    assert compared(CSV, "id,value\nab,1\n") == []
    assert aspects(compared(CSV, "value,id\n1,ab\n")) == [Aspect.COLUMN_ORDER]
    turned = {"table": {"columns": ["value", "timestamp"], "data": [[1, NOW.isoformat()]]}}
    assert aspects(compared(replace(TABLE, window=None), turned)) == [Aspect.COLUMN_ORDER]


def test_a_file_of_another_format_or_packing_is_told() -> None:
    assert aspects(compared(CSV, [{"id": "ab", "value": 1}])) == [Aspect.FILE]
    assert aspects(compared(CSV, "id,value\nab,1\n", packed="gzip")) == [Aspect.PACKING]


@pytest.mark.parametrize(
    ("hours_ago", "found"),
    [
        pytest.param((0, 1, 2, 3, 4), [], id="as expected"),
        pytest.param((0.2, 1, 2, 3, 4.1), [], id="a head and a tail off the grid"),
        pytest.param((0, 1, 3, 4), [], id="a mark missing"),
        pytest.param((4, 3, 2, 1, 0), [Aspect.ROW_ORDER], id="oldest first"),
        pytest.param((0, 2, 1, 3, 4), [Aspect.ROW_ORDER], id="no order"),
        pytest.param((0, 2, 4), [Aspect.STEP], id="every two hours"),
        pytest.param((0, 1, 2, 3, 4, 5, 6), [Aspect.WINDOW], id="a longer window"),
        pytest.param((5, 6, 7, 8, 9), [Aspect.FRESHNESS], id="hours late"),
    ],
)
def test_the_times_of_rows_are_held_against_order_step_window_and_cadence(
    hours_ago: tuple[float, ...], found: list[Aspect]
) -> None:
    assert aspects(compared(TABLE, table(*hours_ago))) == found


def test_times_are_found_where_the_rows_moved_to() -> None:
    moved = {"other": table(5, 6, 7, 8, 9)["table"]}
    assert aspects(compared(TABLE, moved)) == [Aspect.LAYOUT, Aspect.FRESHNESS]


def test_the_same_difference_of_two_coins_is_one() -> None:
    one = Difference("coins", Aspect.FILE, "CSV", "JSON", "it", ("BTC",))
    assert merged([one, replace(one, scopes=("ETH",)), replace(one, came="XML")]) == [
        replace(one, scopes=("BTC", "ETH")),
        replace(one, came="XML"),
    ]


DOCUMENTED = {
    "exports_position_breakdown_by_size_BTC.json": "breakdown_by_size_export",
    "exports_position_metrics_BTC.json": "position_metrics_export",
    "exports_total_wallets_equity_chart_data.json": "wallets_equity_export",
    "metrics_perp_volume.json": "perp_volume",
    "orders_5m_snapshots_latest.json": "order_pages",
    "orders_5m_snapshots_latest_snapshot_timestamp.json": "latest_order_snapshot",
    "position_metrics_coin_BTC.json": "coin_metrics",
    "position_metrics_general.json": "market_metrics",
    "positions.json": "positions",
    "positions_coins.json": "coins",
    "positions_open_coin_BTC.csv": "open_positions",
    "segment_assets_liquidation_risk.json": "liquidation_risk",
    "segments_bias_history_9.json": "segment_bias_history",
}


@pytest.mark.parametrize(("sample", "dataset"), [pytest.param(*pair, id=pair[1]) for pair in DOCUMENTED.items()])
def test_the_documented_samples_have_the_keys_that_are_expected(samples: Path, sample: str, dataset: str) -> None:
    source: Dataset = SOURCES[dataset]
    body = read_form((samples / sample).read_text("utf-8"), source.form.packed if source.form else "")
    found = compare(source, Answered(body, source.delivery, "", source.path, source.path, NOW))
    # Samples are old, thinned and cut: times and pages say nothing.
    told = {Aspect.ROW_ORDER, Aspect.STEP, Aspect.WINDOW, Aspect.FRESHNESS, Aspect.PAGE}
    assert [difference for difference in found if difference.aspect not in told] == []
