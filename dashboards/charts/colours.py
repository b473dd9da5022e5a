"""One colour per idea on every page; long and short can be told apart by those who see red and green alike.

Belongs here: colours and their order. Does not: shapes.
"""

from __future__ import annotations

LONG, SHORT, NEUTRAL = "#0d9488", "#e4572e", "#f3f4f6"
MAIN, SECOND, THIRD, QUIET = "#2563eb", "#f59e0b", "#8b5cf6", "#9ca3af"
INK = "#111827"
# Lowest bound to highest, on both axes.
COHORTS = ("#1e3a8a", "#2563eb", "#0891b2", "#0d9488", "#65a30d", "#d97706", "#dc2626", "#9d174d")
LEANING = (SHORT, "#f6b8a6", NEUTRAL, "#86cdc6", LONG)
HEAT = ("#fff7ed", "#fdba74", "#ea580c", "#7c2d12")
STATES = {
    "arrived": "#0d9488", "in part": "#99d5cf", "can be healed": "#fbbf24", "lost": "#e4572e", "not planned": "#e5e7eb",
}  # fmt: skip
REASONS = {"trading": MAIN, "migration": SECOND, "price": QUIET}
# Rest comes last.
PARTS = ("#2563eb", "#f59e0b", "#0d9488", "#8b5cf6", "#e4572e", "#60a5fa", "#a16207", "#9ca3af")
EQUITY = {"perp": MAIN, "spot": SECOND, "staking": THIRD, "vault": "#14b8a6"}
