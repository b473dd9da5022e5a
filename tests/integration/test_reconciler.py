"""Runs whose process is gone are failed, and the pool slots they held are free for the next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from orchestration.reconciler import LIVE_FOLDER, POOLS, free_lost_runs, live_run
from orchestration.runs import dagster_instance
from orchestration.settings import load_offline_settings
from tests.integration.processes import python_process

POOL = POOLS[0]
DIES_IN_A_STEP = """
    import sys, time
    from pathlib import Path
    import dagster as dg
    from orchestration.reconciler import live_run
    from orchestration.runs import dagster_instance
    from orchestration.settings import load_offline_settings

    @dg.op(pool="duckdb_writer")
    def write():
        print("in the step", flush=True)
        time.sleep(600)

    @dg.job(executor_def=dg.in_process_executor)
    def writing():
        write()

    with dagster_instance(load_offline_settings(data_dir=Path(sys.argv[1]).parent)) as instance, live_run(instance, sys.argv[2]):
        writing.execute_in_process(instance=instance, run_id=sys.argv[2])
"""
RUN_ID = "00000000-0000-4000-8000-000000000001"


@dg.op(pool=POOL)
def write() -> int:
    return 1


@dg.job(executor_def=dg.in_process_executor)
def writing() -> None:
    write()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "dagster"


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dagster_instance(load_offline_settings(data_dir=home.parent)) as instance:
        free_lost_runs(instance)
        yield instance


@pytest.fixture
def lost_run(instance: dg.DagsterInstance) -> str:
    """A run that is started and holds the only slot of the pool, with nobody to end it."""
    run = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED)
    claim = instance.event_log_storage.claim_concurrency_slot(POOL, run.run_id, "write")
    assert claim.is_claimed
    return run.run_id


def slots_taken(instance: dg.DagsterInstance) -> int:
    return instance.event_log_storage.get_concurrency_info(POOL).active_slot_count


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


@pytest.mark.proves("host-lost", sees="the run is marked failed at the next start, and why")
def test_a_run_left_started_is_failed_at_boot_and_its_slot_freed(instance: dg.DagsterInstance, lost_run: str) -> None:
    assert slots_taken(instance) == 1
    assert free_lost_runs(instance) == [lost_run]
    assert status(instance, lost_run) is dg.DagsterRunStatus.FAILURE
    assert slots_taken(instance) == 0
    assert writing.execute_in_process(instance=instance).success
    assert free_lost_runs(instance) == []


@pytest.mark.parametrize("ended", [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
def test_runs_that_are_not_under_way_are_left_alone(instance: dg.DagsterInstance, ended: dg.DagsterRunStatus) -> None:
    run = create_run_for_test(instance, status=ended)
    assert free_lost_runs(instance) == []
    assert status(instance, run.run_id) is ended


def test_each_pool_has_one_slot(instance: dg.DagsterInstance) -> None:
    assert [instance.event_log_storage.get_concurrency_info(pool).slot_count for pool in POOLS] == [1] * len(POOLS)


@pytest.mark.proves("host-lost", sees="the next poll ends the run of one that was killed, and takes its place")
def test_the_next_run_frees_what_a_killed_one_held(instance: dg.DagsterInstance, home: Path) -> None:
    with python_process(DIES_IN_A_STEP, home, RUN_ID) as child:
        assert slots_taken(instance) == 1
        with live_run(instance, "another"):
            assert status(instance, RUN_ID) is dg.DagsterRunStatus.STARTED, "it lives"
        assert free_lost_runs(instance) == [], "a daemon that starts leaves it alone"
        child.kill()
        child.wait()
    with live_run(instance, "another"):
        assert status(instance, RUN_ID) is dg.DagsterRunStatus.FAILURE
        assert slots_taken(instance) == 0
        assert writing.execute_in_process(instance=instance).success
    assert list((home / LIVE_FOLDER).iterdir()) == []


def test_a_run_cut_off_by_an_error_is_ended_by_the_next(instance: dg.DagsterInstance, lost_run: str) -> None:
    with pytest.raises(OSError, match="full"), live_run(instance, lost_run):
        raise OSError("the disk is full")
    with live_run(instance, "another"):
        assert status(instance, lost_run) is dg.DagsterRunStatus.FAILURE
        assert slots_taken(instance) == 0
