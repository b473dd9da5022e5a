"""What a look at the house gives: one sentence a subject, and the command that mends it.

Belongs here: the value alone. Does not: looking (`doctor`, `repairing`), showing (`doctor_command`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing looked at, or put right; `mend` is empty where all is well."""

    subject: str
    is_well: bool
    says: str
    mend: str = ""
