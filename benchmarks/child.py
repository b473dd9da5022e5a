"""A measured process of its own: calls `main` of a module, and prints its answer with the peak of its memory.

Belongs here: the frame round it. Does not: what is measured.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
from pathlib import Path


def main() -> None:
    module, *arguments = sys.argv[1:]
    answer = importlib.import_module(f"benchmarks.{module}").main(*arguments)
    own = resource.getrusage(resource.RUSAGE_SELF)
    written = [line for line in Path("/proc/self/io").read_text().splitlines() if line.startswith("write_bytes")]
    # Not `ru_maxrss`, which tells of the peak of whoever started this process too.
    held = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    facts = {
        "peak_mib": int(held.split()[1]) / 1024,
        "cpu_s": own.ru_utime + own.ru_stime,
        "written_mib": int(written[0].split()[1]) / 2**20 if written else 0.0,
    }
    print(json.dumps({**facts, **answer}))


if __name__ == "__main__":
    main()
