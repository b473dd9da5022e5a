"""Line 13: what Dagster takes for a run that does nothing, from its tick to its end, and the CPU of its process.

Belongs here: a daemon over a code location with one idle job beside the project's own. Does not: what runs do (`ticks`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import dagster as dg

from benchmarks.measuring import REPOSITORY, Check, Finding, Size
from orchestration.runs import dagster_instance
from orchestration.settings import load_offline_settings

MOST_S, MOST_CPU_S = 8, 6
JOB, ASKED_AT, CPU_S, EVERY_S = "idle", "asked_at", "cpu_s", 15
PATIENCE_S = 300.0
POLL_S = 0.1
CODE = "benchmarks.idle_definitions"


def idle_runs(size: Size) -> Finding:
    """Runs are asked for by a sensor's tick, which then takes the way of a schedule's: queue, launch, a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HTW_")},
            "HTW_API_URL": "http://127.0.0.1:1", "HTW_DATA_DIR": folder, "HTW_COINS": "BTC", "PYTHONPATH": str(REPOSITORY),
            "DAGSTER_HOME": str(Path(folder) / "dagster"), "DAGSTER_DISABLE_TELEMETRY": "1",
        }  # fmt: skip
        with dagster_instance(load_offline_settings(data_dir=Path(folder))) as instance:
            return _measured(instance, environment, size.idle_runs)


def _measured(instance: dg.DagsterInstance, environment: dict[str, str], runs: int) -> Finding:
    command = [sys.executable, "-m", "dagster._daemon", "run", "-m", CODE]
    daemon = subprocess.Popen(command, env=environment, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _ended(instance, 1)  # the first run of a daemon waits for its code server
        ended = _ended(instance, 1 + runs)[-runs:]
    finally:
        daemon.terminate()
        daemon.wait()
    waits, used = [end - asked for asked, end, _ in ended], [cpu for *_, cpu in ended]
    checks = [Check("from tick to end", median(waits), "s", most=MOST_S), Check("CPU a run", median(used), "s", most=MOST_CPU_S)]
    return Finding(checks, [f"runs: {', '.join(f'{wait:.1f} s' for wait in waits)}; the CPU is that of the run's own process"])


def _ended(instance: dg.DagsterInstance, count: int) -> list[tuple[float, float, float]]:
    """When runs were asked for, when they ended and their CPU seconds, oldest first, once there are so many."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        records = instance.get_run_records(dg.RunsFilter(job_name=JOB, statuses=[dg.DagsterRunStatus.SUCCESS]))
        if len(records) >= count:
            return sorted(
                (float(record.dagster_run.tags[ASKED_AT]), record.end_time or 0.0, float(record.dagster_run.tags[CPU_S]))
                for record in records
            )
        time.sleep(POLL_S)
    raise RuntimeError(f"{count} idle runs did not end within {PATIENCE_S:.0f} s")
