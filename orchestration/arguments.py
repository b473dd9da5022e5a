"""What a person names to several commands: datasets and UTC minutes.

Belongs here: words of the command line as values, or an error that says which are known. Does not: options (the `*_command`
modules), what `htw backfill` takes, past datasets and days among it (`filling_run`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orchestration.settings import Settings, SettingsError


def chosen_datasets(settings: Settings, names: Sequence[str]) -> set[str]:
    """The datasets that were named, all that are wanted where none was. Raises `SettingsError` for one that is not wanted."""
    wanted = {dataset.name for dataset in settings.wanted_datasets()}
    unknown = [name for name in names if name not in wanted]
    if unknown:
        raise SettingsError(f"{', '.join(unknown)}: no such dataset is wanted; known are {', '.join(sorted(wanted))}")
    return set(names) or wanted


def minute_of(option: str, text: str | None) -> datetime | None:
    """The instant (UTC) that an option names, if it does. Raises `SettingsError` for what is no minute."""
    from orchestration.partitions import slot_of

    if text is None:
        return None
    try:
        return slot_of(text)
    except ValueError:
        raise SettingsError(f"{option} {text} is not a UTC minute such as 2026-03-24T10:15Z") from None
