"""Who leaned which way while the price moved: `marimo edit notebooks/cohorts_against_price.py`.

Reads the published file that HTW_PUBLISHED or HTW_DATA_DIR names.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Cohorts against price")


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
    # Cohorts against price

    A cohort's **long fraction** is its long value over its gross value in a coin: 0.5 is neutral. Here it stands against the
    price, which is value over size of the coin's open positions. Cohorts lie on two axes, by wallet size and by all-time
    profit; each position counts once on each, so one axis is shown at a time. All times are UTC.
    """)
    return


@app.cell
def _(mo, warehouse):
    # Prices come from a dataset that is asked for by coin, so these are the coins one can choose.
    sizes = warehouse.frame(
        "fct_coin_metrics", dataset="coin_metrics", columns=["coin", "snapshot_at", "long_value_usd", "long_size"]
    )
    largest_first = sizes.groupby("coin").long_value_usd.max().sort_values(ascending=False).index.tolist()
    mo.stop(not largest_first, mo.md("No coin has prices yet: the dataset `coin_metrics` has to be polled."))
    coin = mo.ui.dropdown(largest_first, value=largest_first[0], label="coin")
    days = mo.ui.slider(1, 90, value=14, label="days")
    axis = mo.ui.dropdown({"by profit": "pnl", "by wallet size": "size"}, value="by profit", label="cohorts")
    mo.hstack([coin, axis, days], justify="start")
    return axis, coin, days, sizes


@app.cell
def _(coin, days, pd, sizes):
    prices = sizes[sizes.coin.eq(coin.value) & sizes.long_size.gt(0)].sort_values("snapshot_at")
    prices = prices[prices.snapshot_at >= prices.snapshot_at.max() - pd.Timedelta(days=days.value)]
    prices = prices.assign(price=prices.long_value_usd / prices.long_size)[["snapshot_at", "price"]]
    return (prices,)


@app.cell
def _(axis, coin, mo, prices, warehouse):
    held = warehouse.frame("fct_cohort_metrics", coins=[coin.value], axis=axis.value, since=prices.snapshot_at.min())
    mo.stop(held.empty, mo.md(f"No cohorts of {coin.value} yet: one of the datasets that bring them has to be polled."))
    # Datasets describe the same thing: the one with most snapshots makes the longest line.
    dataset = held.groupby("dataset").snapshot_at.nunique().idxmax()
    names = warehouse.frame("dim_cohort")
    names = names[names.valid_to_at.isna()][["cohort_id", "cohort_name", "sort_order"]]
    leanings = held[held.dataset == dataset].merge(names, on="cohort_id").sort_values(["snapshot_at", "sort_order"])
    return dataset, leanings


@app.cell
def _(leanings, pd, prices):
    # The price known last at each snapshot of the cohorts; none from before the first price.
    together = pd.merge_asof(leanings, prices, on="snapshot_at", direction="backward", tolerance=pd.Timedelta(hours=2))
    together = together.dropna(subset=["price", "long_fraction"])
    return (together,)


@app.cell
def _(alt, coin, dataset, leanings, mo, prices, together):
    mo.stop(together.empty, mo.md("Prices and cohorts have no time in common yet."))
    cohort_order = leanings.drop_duplicates("cohort_name").sort_values("sort_order").cohort_name.tolist()
    # From the lowest cohort of an axis to the highest.
    colours = ["#a50026", "#d73027", "#f46d43", "#fdae61", "#74add1", "#4575b4", "#313695", "#000000"]
    ends = [f"{end.isoformat()}Z" for end in together.snapshot_at.agg(["min", "max"])]
    time = alt.X("at:T", title="time (UTC)", scale=alt.Scale(type="utc", domain=ends), axis=alt.Axis(format="%m-%d %H:%M"))
    price_line = (
        alt.Chart(prices.assign(at=prices.snapshot_at.dt.tz_localize("UTC")), title=f"{coin.value}, USD")
        .mark_line(clip=True, color="black")
        .encode(time, alt.Y("price:Q", title="price, USD per coin", scale=alt.Scale(zero=False)))
        .properties(width=640, height=160)
    )
    fraction_lines = (
        alt.Chart(
            together.assign(at=together.snapshot_at.dt.tz_localize("UTC"), moment=together.snapshot_at.astype(str)),
            title=f"Long fraction by cohort ({dataset})",
        )
        .mark_line(clip=True)
        .encode(
            time,
            alt.Y("long_fraction:Q", title="long value over gross value", scale=alt.Scale(domain=[0, 1])),
            alt.Color("cohort_name:N", title="cohort", sort=cohort_order, scale=alt.Scale(range=colours)),
            tooltip=[
                "moment:N",
                "cohort_name:N",
                alt.Tooltip("long_fraction:Q", format=".3f"),
                alt.Tooltip("price:Q", format=",.2f"),
            ],
        )
        .properties(width=640, height=260)
    )
    chart = alt.vconcat(price_line, fraction_lines)
    chart  # noqa: B018  # what a cell ends with is what it shows
    return (chart,)


@app.cell
def _(mo, pd, together):
    def _follows(rows: pd.DataFrame) -> pd.Series:
        moves = (
            rows[["long_fraction", "price"]]
            .assign(price=rows.price.pct_change(), long_fraction=rows.long_fraction.diff())
            .dropna()
        )
        # Rank correlation: a single large step says no more than one step.
        ranks = moves.rank()
        return pd.Series(
            {
                "snapshots": len(rows),
                "first": rows.long_fraction.iloc[0],
                "last": rows.long_fraction.iloc[-1],
                "with_price": ranks.long_fraction.corr(ranks.price) if ranks.nunique().min() > 1 else float("nan"),
            }
        )

    summary = together.groupby(["sort_order", "cohort_name"])[["long_fraction", "price"]].apply(_follows).reset_index()
    mo.vstack(
        [
            mo.md(
                "**Do they buy into rises?** `with_price` is the rank correlation between steps of the long fraction and "
                "steps of the price: near 1 a cohort turns long as the price rises, near -1 it sells into the rise. A long "
                "position grows with the price by itself, so a small positive figure says nothing."
            ),
            mo.ui.table(summary.drop(columns="sort_order").round(3).astype({"snapshots": int}), selection=None),
        ]
    )
    return (summary,)


if __name__ == "__main__":
    app.run()
