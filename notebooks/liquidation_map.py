"""Where positions would be liquidated, around the price and over time: `marimo edit notebooks/liquidation_map.py`.

Reads the published file that HTW_PUBLISHED or HTW_DATA_DIR names.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Liquidation map")


@app.cell
def _():
    import altair as alt
    import marimo as mo
    import pandas as pd

    import warehouse

    return alt, mo, pd, warehouse


@app.cell
def _(mo):
    mo.md("""
    # Liquidation map

    The value of positions that would be liquidated in each range of prices. Below the price these are longs, above it shorts.
    Ranges move with the price from snapshot to snapshot, so they are compared by price, never by their number. All times are UTC.
    """)
    return


@app.cell
def _(mo, warehouse):
    coins = """
        select coin from fct_liquidation_heatmap group by coin order by sum(liquidation_value_usd) desc
    """
    by_value = [found for (found,) in warehouse.connect_published().execute(coins).fetchall()]
    mo.stop(not by_value, mo.md("No coin has a map yet: the dataset `liquidation_heatmap_export` has to be polled."))
    coin = mo.ui.dropdown(by_value, value=by_value[0], label="coin")
    reach = mo.ui.slider(5, 50, value=25, step=5, label="percent around the price")
    days = mo.ui.slider(1, 30, value=7, label="days of history")
    mo.hstack([coin, reach, days], justify="start")
    return coin, days, reach


@app.cell
def _(coin, days, mo, pd, warehouse):
    newest = warehouse.frame("fct_liquidation_heatmap", coins=[coin.value], columns=["snapshot_at"]).snapshot_at.max()
    bins = warehouse.frame("fct_liquidation_heatmap", coins=[coin.value], since=newest - pd.Timedelta(days=days.value))
    # The mark price is value over size of any position; the newest snapshot not after the map's is its own, if it was polled.
    open_positions = warehouse.frame(
        "fct_open_positions",
        coins=[coin.value],
        since=newest - pd.Timedelta(days=1),
        until=newest + pd.Timedelta(microseconds=1),
        columns=["snapshot_at", "value_usd", "size"],
    )
    marks = open_positions.groupby("snapshot_at")[["value_usd", "size"]].sum()
    mo.stop(marks.empty, mo.md(f"No open positions of {coin.value} that tell the price: `open_positions` has to be polled."))
    price, priced_at = marks.value_usd.iloc[-1] / marks["size"].iloc[-1], marks.index[-1]
    return bins, newest, price, priced_at


@app.cell
def _(bins, newest, price, reach):
    latest = bins[bins.snapshot_at == newest].sort_values("price_from")
    latest = latest.assign(
        side=(latest.price_to <= price).map({True: "longs", False: "shorts"}),
        distance_pct=100 * ((latest.price_from + latest.price_to) / 2 / price - 1),
    )
    around = latest[latest.distance_pct.abs() <= reach.value].copy()
    # From the price outwards: what a move all the way to a range would liquidate.
    around["cumulative_usd"] = 0.0
    for _side, _ascending in (("longs", False), ("shorts", True)):
        _rows = around[around.side == _side].sort_values("price_from", ascending=_ascending)
        around.loc[_rows.index, "cumulative_usd"] = _rows.liquidation_value_usd.cumsum()
    return around, latest


@app.cell
def _(alt, around, coin, mo, newest, pd, price, priced_at):
    mo.stop(around.empty, mo.md("Nothing would be liquidated this near to the price."))
    ends = alt.Scale(domain=[around.price_from.min(), around.price_to.max()], nice=False)
    price_axis = alt.X("price_from:Q", title="price, USD per coin", scale=ends)
    colour = alt.Color(
        "side:N", scale=alt.Scale(domain=["longs", "shorts"], range=["#1b7837", "#b2182b"]), title="would be liquidated"
    )
    bars = (
        alt.Chart(around)
        .mark_rect()
        .encode(
            price_axis,
            x2="price_to:Q",
            y=alt.Y("liquidation_value_usd:Q", title="in each range, USD"),
            y2=alt.datum(0),
            color=colour,
            tooltip=[
                alt.Tooltip("price_from:Q", format=",.6~g"),
                alt.Tooltip("price_to:Q", format=",.6~g"),
                alt.Tooltip("liquidation_value_usd:Q", format=",.0f"),
                "position_count:Q",
                alt.Tooltip("distance_pct:Q", format="+.1f"),
            ],
        )
    )
    rule = alt.Chart(pd.DataFrame({"price": [price]})).mark_rule(strokeDash=[4, 3]).encode(x="price:Q")
    outwards = (
        alt.Chart(around)
        .mark_line(interpolate="step-after")
        .encode(price_axis, alt.Y("cumulative_usd:Q", title="from the price to there, USD"), colour)
    )
    title = f"{coin.value} at {newest:%Y-%m-%d %H:%M} UTC; price {price:,.6g} of {priced_at:%H:%M}"
    near = alt.vconcat(
        (bars + rule).properties(width=640, height=240, title=title), (outwards + rule).properties(width=640, height=160)
    )
    near  # noqa: B018  # what a cell ends with is what it shows
    return (near,)


@app.cell
def _(alt, bins, mo, price, reach):
    over_time = bins[
        (((bins.price_from + bins.price_to) / 2 / price - 1).abs() * 100 <= reach.value) & (bins.liquidation_value_usd > 0)
    ]
    order = [f"{moment:%m-%d %H:%M}" for moment in sorted(over_time.snapshot_at.unique())]
    over_time = over_time.assign(snapshot=over_time.snapshot_at.dt.strftime("%m-%d %H:%M"))
    history = (
        alt.Chart(over_time, title="The map over time")
        .mark_rect()
        .encode(
            alt.X("snapshot:O", sort=order, title="snapshot (UTC)"),
            alt.Y("price_from:Q", title="price, USD per coin", scale=alt.Scale(zero=False)),
            y2="price_to:Q",
            color=alt.Color("liquidation_value_usd:Q", scale=alt.Scale(type="log", scheme="inferno"), title="USD"),
        )
        .properties(width=640, height=320)
    )
    history if not over_time.empty else mo.md("")
    return (history,)


@app.cell
def _(around, mo):
    largest = around.nlargest(5, "liquidation_value_usd").reset_index(drop=True)
    largest = largest[
        ["side", "price_from", "price_to", "distance_pct", "liquidation_value_usd", "position_count", "cumulative_usd"]
    ]
    mo.vstack([mo.md("**The five largest ranges**"), mo.ui.table(largest.round(2), selection=None)])
    return (largest,)


if __name__ == "__main__":
    app.run()
