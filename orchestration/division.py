"""How machines that share a lake divide the work: where what is polled becomes facts.

Belongs here: the words of `HTW_LANDING`, and which models a machine builds. Does not: sending and taking raw rows
(`warehouse.lake_sending`, `warehouse.lake_taking`), running dbt (`modelling`).

Most models are made of raw rows, and can be built wherever those are. What tells of polling itself is made of fetches, plans and
verdicts, which stay with whoever polls, so that every machine builds it for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

# Of the ledger, what is known of any payload, wherever it was polled.
OF_PAYLOADS = "payloads"


class Landing(StrEnum):
    """What becomes of what a machine polls."""

    HERE = "here"
    SEND = "send"
    TAKE = "take"

    @property
    def is_shared(self) -> bool:
        """Whether raw rows go through a lake that machines share."""
        return self is not Landing.HERE


def left_out(manifest: Mapping[str, Any], landing: Landing) -> frozenset[str]:
    """The models that a machine leaves to others, by their dbt ids."""
    if landing is not Landing.SEND:
        return frozenset()
    models = {uid for uid, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    return frozenset(uid for uid in models if not _is_about_polls({*_sources(manifest, uid)}))


def _is_about_polls(sources: set[tuple[str, str]]) -> bool:
    schemas = {schema for schema, _ in sources}
    return schemas == {"ops"} and ("ops", OF_PAYLOADS) not in sources


def _sources(manifest: Mapping[str, Any], unique_id: str) -> Iterator[tuple[str, str]]:
    """Schema and name of all that a model is made of in the end."""
    if unique_id in manifest["sources"]:
        source = manifest["sources"][unique_id]
        yield source["schema"], source["name"]
        return
    for parent in manifest["parent_map"].get(unique_id, ()):
        yield from _sources(manifest, parent)
