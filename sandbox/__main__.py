"""Runs a sandbox in the foreground: `python -m sandbox --coins 12 --speed 60 --api-port 8765`."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

from sandbox.limits import PLANS
from sandbox.server import running_sandbox
from sandbox.settings import FULL_COINS, FULL_ORDERS, FULL_POSITIONS, PLANTABLE, SandboxSettings
from sandbox.times import parse_iso


def _moment(text: str) -> datetime:
    return datetime.fromtimestamp(parse_iso(text) / 1000, UTC)


def parse_settings(arguments: Sequence[str] | None = None) -> SandboxSettings:
    """Read the command line; a wrong one ends the process with status 2."""
    default = SandboxSettings()
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="A local HyperTracker over real sockets.")
    parser.add_argument("--full", action="store_true", help="the real size: 330 coins, 210,000 positions, 350,000 orders")
    parser.add_argument("--coins", type=int, default=default.coins)
    parser.add_argument("--positions", type=int, default=default.positions, help="open positions, about")
    parser.add_argument("--orders", type=int, default=default.orders, help="resting orders")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--start", type=_moment, default=default.start, help="first sandbox time, ISO 8601 UTC; now")
    parser.add_argument("--clock", choices=("running", "manual"), default=default.clock)
    parser.add_argument("--speed", type=float, default=default.speed, help="sandbox seconds a real second")
    parser.add_argument("--plan", choices=tuple(PLANS), default=default.plan)
    parser.add_argument("--token", default=default.token)
    parser.add_argument("--host", default=default.host)
    parser.add_argument("--api-port", type=int, default=default.api_port, help="0 takes a free one")
    parser.add_argument("--storage-port", type=int, default=default.storage_port)
    parser.add_argument("--link-life-s", type=float, default=default.link_life_s)
    parser.add_argument("--planted-error", choices=PLANTABLE, default=default.planted_error, help="lacks one position")
    parser.add_argument("--planted-coin", default=default.planted_coin)
    given = vars(parser.parse_args(arguments))
    if given.pop("full"):
        given.update(coins=FULL_COINS, positions=FULL_POSITIONS, orders=FULL_ORDERS)
    try:
        return SandboxSettings(**given)
    except ValueError as error:
        parser.error(str(error))


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    with running_sandbox(parse_settings()) as sandbox:
        print(f"api      {sandbox.api_url}\nstorage  {sandbox.storage_url}\ntoken    {sandbox.token}", flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
