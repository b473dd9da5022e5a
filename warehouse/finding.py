"""Where the published file is, for those who open it without the command line: notebooks, scripts, BI tools.

Belongs here: the places to look, in order. Does not: any other setting (`orchestration.settings` reads those, and the same two of
the same names). A reader needs no token, and should not pay for importing what polls.
"""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

FILE_BELOW = Path("published") / "hypertracker.duckdb"


class Places(BaseSettings):
    """`HTW_PUBLISHED` names the file; without it, it is in `HTW_DATA_DIR`. From the environment or `.env`."""

    model_config = SettingsConfigDict(env_prefix="HTW_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    published: Path | None = None
    data_dir: Path = Path("data")


def find_published(given: Path | str | None = None) -> Path:
    """The published file: the one given (or the one of the data folder given), else that of the settings. It need not exist."""
    if given is not None:
        place = Path(given).expanduser().absolute()
        return place / FILE_BELOW if place.is_dir() else place
    places = Places()
    return (places.published or places.data_dir / FILE_BELOW).expanduser().absolute()
