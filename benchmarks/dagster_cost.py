"""Line 13: what Dagster takes for a run that does nothing, from its tick to its end, and the CPU of all its processes.

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

MOST_S, MOST_CPU_S = 8, 6
JOB, ASKED_AT, EVERY_S = "idle", "asked_at", 15
IDLE_S = 4.0
PATIENCE_S = 120.0
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
        with dagster_instance(Path(folder) / "dagster") as instance:
            return _measured(instance, environment, size.idle_runs)


def _measured(instance: dg.DagsterInstance, environment: dict[str, str], runs: int) -> Finding:
    command = [sys.executable, "-m", "dagster._daemon", "run", "-m", CODE]
    daemon = subprocess.Popen(command, env=environment, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _ended(instance, 1)  # the first run of a daemon waits for its code server
        idle_s, before = _idle_cpu(daemon.pid), _cpu_s(daemon.pid)
        begun = time.monotonic()
        ended = _ended(instance, 1 + runs)[-runs:]
        took = time.monotonic() - begun
        used = (_cpu_s(daemon.pid) - before - idle_s * took) / runs
    finally:
        daemon.terminate()
        daemon.wait()
    waits = [end - asked for asked, end in ended]
    checks = [Check("from tick to end", median(waits), "s", most=MOST_S), Check("CPU a run", used, "s", most=MOST_CPU_S)]
    return Finding(
        checks,
        [
            f"runs: {', '.join(f'{wait:.1f} s' for wait in waits)}",
            f"the daemon and its code server use {idle_s:.2f} CPU s a second while idle",
        ],
    )


def _ended(instance: dg.DagsterInstance, count: int) -> list[tuple[float, float]]:
    """When runs were asked for and when they ended, oldest first, once there are so many."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        records = instance.get_run_records(dg.RunsFilter(job_name=JOB, statuses=[dg.DagsterRunStatus.SUCCESS]))
        if len(records) >= count:
            return sorted((float(record.dagster_run.tags[ASKED_AT]), record.end_time or 0.0) for record in records)
        time.sleep(POLL_S)
    raise RuntimeError(f"{count} idle runs did not end within {PATIENCE_S:.0f} s")


def _idle_cpu(daemon: int) -> float:
    """CPU seconds a second of the daemon and its code server between runs."""
    time.sleep(1)  # the last run's process is leaving
    before = _cpu_s(daemon)
    time.sleep(IDLE_S)
    return (_cpu_s(daemon) - before) / IDLE_S


def _cpu_s(root: int) -> float:
    """CPU seconds of a process and of all below it, also of those that have ended."""
    found, parents = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])
        found[int(folder.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return sum(cpu for process, cpu in found.items() if root in _line(process, parents))


def _line(process: int, parents: dict[int, int]) -> list[int]:
    line = [process]
    while line[-1] in parents and line[-1] != parents[line[-1]]:
        line.append(parents[line[-1]])
    return line
