"""Text of row-shaped files as values, in SQL: read exactly as it stands, or not at all.

Belongs here: what text counts as a value of a column's type. Does not: where the text comes from (`row_relations`), which rows
are at fault (`rejects`).

DuckDB's own casts are kinder: they round `12.5` to a whole number, leave an offset out of a time, and know `NaN` and `infinity`.
"""

from __future__ import annotations

SHOWN_CHARS = 60
LARGEST = 1e30  # sums of more could be infinite
AS_SENT = ("varchar", "json")
WHOLE_NUMBER = r"-?\d+(\.0+)?"
INSTANT = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)"
YEARS = "timestamp '0001-01-01' and timestamp '9999-12-31 23:59:59.999999'"
WORDS = {
    "double": f"not a number up to {LARGEST:g}", "bigint": "not a whole number of at most 64 bits",
    "timestamp": "not a time with its zone", "boolean": "neither true nor false",
}  # fmt: skip


def value_of(text: str, kind: str) -> str:
    """The value that a text expression stands for, as SQL; null where it stands for none."""
    if kind == "double":
        return f"case when abs(try_cast({text} as double)) <= {LARGEST:g} then try_cast({text} as double) end"
    if kind == "bigint":
        return f"case when regexp_full_match({text}, '{WHOLE_NUMBER}') then try_cast({text} as bigint) end"
    if kind == "timestamp":
        return f"case when regexp_full_match({text}, '{INSTANT}') and {_moment(text)} between {YEARS} then {_moment(text)} end"
    return text if kind in AS_SENT else f"try_cast({text} as {kind})"


def _moment(text: str) -> str:
    """Read as a plain time it would lose its offset; one in UTC has none to lose, and is read three times as fast so."""
    with_offset = f"timezone('UTC', try_cast({text} as timestamptz))"
    return f"case when ends_with({text}, 'Z') then try_cast({text} as timestamp) else {with_offset} end"


def checked(text: str, kind: str, name: str, is_required: bool) -> str:
    """The same, but text that stands for no value stops the statement in words that name the column."""
    given = f"coalesce({text}, error('no value in ' || {literal(name)}))" if is_required else text
    if kind in AS_SENT:
        return given
    words = literal(f"{WORDS.get(kind, 'no ' + kind)} in {name}: ")
    value = f"coalesce({value_of(text, kind)}, error({words} || {text}[:{SHOWN_CHARS}]))"
    return f"case when {text} is null then {f'cast({given} as {kind})' if is_required else 'null'} else {value} end"


def flaw(text: str, kind: str, name: str, is_required: bool) -> str:
    """What is wrong with the text of a column, as a struct of `name` and `cause`; null where nothing is."""
    no_value = f"when {text} is null then {{'name': {literal(name)}, 'cause': 'no value'}}" if is_required else ""
    bad = f"{text} is not null and {value_of(text, kind)} is null"
    cause = f"{literal(WORDS.get(kind, 'no ' + kind) + ': ')} || {text}[:{SHOWN_CHARS}]"
    return f"case {no_value} when {bad} then {{'name': {literal(name)}, 'cause': {cause}}} end"


def literal(value: str) -> str:
    """Text as SQL."""
    return "'" + value.replace("'", "''") + "'"
