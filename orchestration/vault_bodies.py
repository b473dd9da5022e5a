"""The vault as the client's body store.

Belongs here: where the bodies of one slot go while they arrive. Does not: the vault's layout (`warehouse.vault`), what is asked
(`collecting`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime

from warehouse.bodies import BodyWriter
from warehouse.fetches import Part
from warehouse.vault import Vault


class VaultBodies:
    """The vault as the client's body store, for one slot of a dataset. `key` tells payloads of many pages apart whose fetch may
    be cut off; without one, pages are not remembered."""

    def __init__(self, vault: Vault, dataset: str, slot: datetime, suffix: str, key: str = "") -> None:
        self._vault, self._place, self._key = vault, (dataset, slot, suffix), key

    def new_body(self) -> contextlib.AbstractContextManager[BodyWriter]:
        return self._vault.new_body(*self._place)

    def read(self, part: Part) -> bytes:
        return self._vault.read(part)

    def begun(self) -> Sequence[Part]:
        return self._vault.begun(self._key) if self._key else ()

    def note(self, parts: Sequence[Part]) -> None:
        if self._key:
            self._vault.note_begun(self._key, parts)
