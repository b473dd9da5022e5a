"""Repeatable randomness: every number of the market is a hash of what it belongs to, so any state can be made alone.

What the numbers mean belongs to the other files of this folder.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Value = TypeVar("Value")

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_UNIT = 2.0**-53


def hash64(*parts: int | Array) -> Array:
    """Mix integers or arrays of them (broadcast together) into unsigned 64-bit hashes, after splitmix64."""
    with np.errstate(over="ignore"):
        mixed: Array = np.zeros((), dtype=np.uint64)
        for part in parts:
            mixed = mixed * _MIX_1 + np.asarray(part).astype(np.int64).view(np.uint64) + _GOLDEN
            mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
            mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
            mixed = mixed ^ (mixed >> np.uint64(31))
    return np.asarray(mixed)


def unit(*parts: int | Array) -> Array:
    """Give uniform numbers in [0, 1) for the hashed parts."""
    return (hash64(*parts) >> np.uint64(11)) * _UNIT


def integers(below: int, *parts: int | Array) -> Array:
    """Give uniform integers in [0, below) for the hashed parts."""
    return (unit(*parts) * below).astype(np.int64)


def log_uniform(low: float, high: float, *parts: int | Array) -> Array:
    """Give numbers between `low` and `high`, uniform in their logarithm."""
    return np.exp(np.log(low) + unit(*parts) * (np.log(high) - np.log(low)))


def smooth_noise(moments_ms: int | Array, period_ms: int, *parts: int | Array) -> Array:
    """Give noise in [-1, 1) that changes smoothly in time, with one new value a period."""
    moments = np.asarray(moments_ms)
    step = moments // period_ms
    fraction = (moments - step * period_ms) / period_ms
    fraction = fraction * fraction * (3 - 2 * fraction)
    before = unit(*parts, step)
    return (before + (unit(*parts, step + 1) - before) * fraction) * 2 - 1


class Cache:
    """The most recent results of a pure function, by key; one thread computes at a time."""

    def __init__(self, size: int) -> None:
        """Keep at most `size` results."""
        self._size = size
        self._lock = threading.RLock()
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Give the kept result, or make and keep it."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            else:
                self._kept[key] = make()
                while len(self._kept) > self._size:
                    self._kept.popitem(last=False)
            value: Value = self._kept[key]
            return value
