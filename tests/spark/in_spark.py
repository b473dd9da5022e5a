"""Questions in DuckDB's SQL, asked of Spark: runs in Spark's own environment, a line of JSON in, a line of JSON out.

Belongs here: the session, tables of a version by name, sqlglot's translation. Does not: what is asked and expected (the tests).
Nothing of this project is imported here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Values = Mapping[str, str]


def plain(value: Any) -> Any:
    """A value of either engine as JSON has it: times as text in UTC, structs as maps."""
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    if hasattr(value, "asDict"):
        return plain(value.asDict())
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value


def in_spark_sql(sql: str, values: Values) -> str:
    """The same question in Spark's words: a naive time is an instant of the session's zone, as those of an export are."""
    import sqlglot
    from sqlglot import exp

    tree = sqlglot.parse_one(sql, read="duckdb")
    for cast in tree.find_all(exp.Cast):
        if cast.to.is_type("timestampntz"):
            cast.set("to", exp.DataType.build("timestamptz"))
    for named in tree.find_all(exp.CTE):
        # It tells DuckDB how to go about it, not what is asked.
        named.set("materialized", None)
    text = tree.sql(dialect="spark")
    for name in values:
        text = text.replace(f"${name}", f":{name}")
    return text


def started() -> SparkSession:
    from pyspark.sql import SparkSession

    settings = {
        "spark.master": "local[2]", "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2", "spark.sql.catalogImplementation": "in-memory",
    }  # fmt: skip
    return SparkSession.builder.config(map=settings).getOrCreate()


def name_tables(spark: SparkSession, version: Path) -> None:
    """All tables of a version under their names, in the schema `marts`."""
    spark.sql("create database if not exists marts")
    for table in sorted(path for path in version.iterdir() if path.is_dir()):
        spark.sql(f"create or replace view marts.{table.name} as select * from parquet.`{table}`")


def answer(spark: SparkSession, asked: Mapping[str, Any]) -> Sequence[Any]:
    spark.conf.set("spark.sql.session.timeZone", asked["zone"])
    sql, values = in_spark_sql(asked["sql"], asked["values"]), dict(asked["values"])
    return [plain(tuple(row)) for row in spark.sql(sql, args=values).collect()]


def main() -> None:
    """Answer line by line until there are no more."""
    spark, named = started(), ""
    for line in sys.stdin:
        try:
            asked = json.loads(line)
            if asked["version"] != named:
                name_tables(spark, Path(asked["version"]))
                named = asked["version"]
            told = {"rows": answer(spark, asked)}
        except Exception as error:  # what went wrong is the answer
            told = {"error": str(error)}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
