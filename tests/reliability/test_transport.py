"""One endless line: it is quarantined within seconds and within little memory, whatever reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.processes import python_process

MOST_GROWTH_MIB = 400
MOST_S = 20.0
LONGEST_REASON = 700
# Lands bodies of a single line each, and says how that ended: the words of each, then the growth of the process in MiB.
LANDING = """
    print("here", flush=True)
    import json, sys, time
    from datetime import UTC, datetime, timedelta
    from pathlib import Path
    from orchestration.hypertracker.datasets import BY_NAME
    from orchestration.landing import land
    from orchestration.registering import prepare
    from warehouse.connection import open_writer
    from warehouse.fetches import FetchRecord, new_fetch_id
    from warehouse.vault import Vault

    SLOT = datetime(2026, 3, 26, tzinfo=UTC)

    def kept(name, head, tail, mebibytes):
        with vault.new_body(name, SLOT, BY_NAME[name].suffix) as body:
            body.write(head.encode())
            for _ in range(mebibytes):
                body.write(b"x" * (1 << 20))
            body.write(tail.encode())
            part = body.finish()
        moment = SLOT + timedelta(seconds=5)
        scope = "BTC" if BY_NAME[name].is_per_coin else ""
        return FetchRecord(new_fetch_id(), name, scope, SLOT, moment, moment, "received", parts=(part,))

    def landed(record):
        began = time.monotonic()
        judgement = land(connection, vault, record)
        return [str(judgement.verdict), judgement.reason, judgement.mend, time.monotonic() - began]

    vault = Vault(Path(sys.argv[1]) / "vault")
    vault.create()
    records = [kept(*line) for line in json.loads(sys.argv[2])]
    with open_writer(Path(sys.argv[1]) / "warehouse.duckdb") as connection:
        prepare(connection)
        before = peak_mib()
        print(json.dumps([[landed(record) for record in records], peak_mib() - before]), flush=True)
"""
HEADER = (
    "id,address,coin,side,dex,size,value,entryPrice,unrealizedPnl,funding,liquidationPrice,liquidationProgress,crossLeverage,"
    "isolatedLeverage,openTime,profile_totalEquity,profile_perpEquity,profile_countOpenPositions,profile_pnl,profile_balance,"
    "profile_perpPnlSegmentId,profile_sizeSegmentId\n"
)
# A body of one line: dataset, what stands before it and behind it, its length in MiB.
LINES = {
    "CSV without a header": ("open_positions", "", "", 160),
    "CSV behind a header": ("open_positions", HEADER, "", 100),
    "JSON of one string": ("coins", '["', '"]', 64),
    "rows of JSON": ("order_snapshots", '[{"oid": "', '"}]', 100),
}


@pytest.mark.proves("endless-line", sees="within seconds and little memory the payload is quarantined")
def test_one_endless_line_costs_little_time_and_memory(tmp_path: Path) -> None:
    with python_process(LANDING, tmp_path, json.dumps(list(LINES.values()))) as child:
        assert child.stdout is not None
        ended, growth_mib = json.loads(child.stdout.readline())
    assert len(ended) == len(LINES)
    for case, (verdict, reason, mend, seconds) in zip(LINES, ended, strict=True):
        assert (case, verdict) == (case, "quarantined")
        assert len(reason) < LONGEST_REASON, case
        assert "kept in the vault" in mend, case
        assert seconds < MOST_S, case
    assert growth_mib < MOST_GROWTH_MIB
