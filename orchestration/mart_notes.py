"""What the project knows of its marts beyond the comments inside the published file: a question to start with, what completeness
means, which datasets bring the rows.

Belongs here: reading these from dbt's yml and the registry, without dbt. Does not: descriptions, grain and units, which every
copy carries itself (`warehouse.catalog`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestration.hypertracker.datasets import DATASETS

MARTS_DIR = Path(__file__).parent.parent / "dbt_project" / "models" / "marts"


@dataclass(frozen=True)
class Notes:
    """Notes on one mart; empty where the copy comes from a project that had it, and this one has not."""

    example: str = ""
    completeness: str = ""
    history: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


def notes_of(mart: str) -> Notes:
    """The notes in the yml beside a mart's model."""
    import yaml  # type: ignore[import-untyped]

    file = MARTS_DIR / f"{mart}.yml"
    if not file.is_file():
        return Notes()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    model = yaml.load(file.read_text("utf-8"), loader)["models"][0]
    meta = model.get("config", {}).get("meta", {})
    versions = meta.get("versions", {}).get("model", "")
    history = f"history.{versions.removeprefix('int_')}" if versions else ""
    columns = {column["name"]: column["description"] for column in model.get("columns", ())}
    return Notes(meta.get("example", ""), meta.get("completeness", ""), history, columns)


def feeding(mart: str) -> Sequence[str]:
    """The datasets whose payloads become rows of a mart."""
    return [dataset.name for dataset in DATASETS if mart in dataset.feeds]
