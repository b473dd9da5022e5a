"""When the provider's states happen: irregular passes 15 to 17 minutes apart, with milliseconds.

What a state holds belongs to `positions`.
"""

from __future__ import annotations

import threading

import numpy as np

from sandbox.market.hashing import Array, integers

MIN_GAP_MS = 900_000
GAP_SPREAD_MS = 117_000
MEAN_GAP_MS = MIN_GAP_MS + GAP_SPREAD_MS // 2
_CHUNK = 8_192
_SALT = 101


class StateTimes:
    """The endless sequence of state times; state 0 is at `epoch_ms`, earlier ones count evenly backwards."""

    def __init__(self, seed: int, epoch_ms: int) -> None:
        """Fix the sequence by seed and first instant."""
        self._seed = seed
        self._lock = threading.Lock()
        self._times = np.array([epoch_ms], dtype=np.int64)

    def index_at(self, moment_ms: int) -> int:
        """Give the index of the latest state at or before the moment; before the epoch that is a negative number."""
        if moment_ms < self._times[0]:
            return int((moment_ms - int(self._times[0])) // MEAN_GAP_MS)
        self._reach(moment_ms)
        return int(np.searchsorted(self._times, moment_ms, side="right")) - 1

    def time(self, index: int) -> int:
        """Give the time of one state in epoch milliseconds."""
        return int(self.times(np.array([index]))[0])

    def times(self, indexes: Array) -> Array:
        """Give the times of many states in epoch milliseconds."""
        highest = int(indexes.max(initial=0))
        while highest >= len(self._times):
            self._grow()
        times = self._times
        return np.where(indexes < 0, times[0] + indexes * MEAN_GAP_MS, times[np.maximum(indexes, 0)])

    def between(self, first_ms: int, last_ms: int) -> Array:
        """Give the indexes of the states in [first, last], ascending."""
        first = self.index_at(first_ms)
        if self.time(first) < first_ms:
            first += 1
        return np.arange(first, self.index_at(last_ms) + 1)

    def _reach(self, moment_ms: int) -> None:
        while self._times[-1] <= moment_ms:
            self._grow()

    def _grow(self) -> None:
        with self._lock:
            steps = np.arange(len(self._times), len(self._times) + _CHUNK)
            gaps = MIN_GAP_MS + integers(GAP_SPREAD_MS, self._seed, _SALT, steps)
            self._times = np.concatenate([self._times, self._times[-1] + np.cumsum(gaps)])
