"""A local HyperTracker: the same contract over real sockets, with a generated market, for tests and tokenless users.

Only the names others may use are gathered here; `python -m sandbox` runs it in the foreground.
"""

from sandbox.clock import SandboxClock
from sandbox.core import RequestRecord
from sandbox.drift import CohortRebounded, CohortRenamed, CoinDelisted, CoinListed, Restated
from sandbox.faults import Fault
from sandbox.market.market import Market
from sandbox.server import Sandbox, running_sandbox
from sandbox.settings import SandboxSettings
from sandbox.shapes import Shapes

__all__ = [
    "CohortRebounded",
    "CohortRenamed",
    "CoinDelisted",
    "CoinListed",
    "Fault",
    "Market",
    "RequestRecord",
    "Restated",
    "Sandbox",
    "SandboxClock",
    "SandboxSettings",
    "Shapes",
    "running_sandbox",
]
