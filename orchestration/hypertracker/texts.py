"""The text of a JSON payload, read strictly: what two readers might understand differently is refused.

Belongs here: bytes to text, text to values. Does not: what the values must look like (`shapes`, `kinds`).
"""

from __future__ import annotations

import json

from orchestration.hypertracker.shapes import ShapeError


def payload_text(body: bytes) -> str:
    """The text of a body. Raises `ShapeError` for what can be no JSON: nothing, markup, bytes that are not UTF-8."""
    if not body.strip():
        raise ShapeError("0 bytes")
    if body.lstrip().startswith(b"<"):
        raise ShapeError(f"HTML or XML instead of JSON: {' '.join(body[:120].decode('utf-8', 'replace').split())}")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ShapeError(f"not UTF-8 text: {error}") from None


def strict_json(text: str) -> object:
    """The value of a JSON text. Raises `ShapeError` for NaN, keys that stand twice, half characters, and what is no JSON."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_once)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError:
        raise ShapeError("half a character (a lone surrogate) in text") from None
    except ValueError as error:
        raise ShapeError(f"no JSON: {error}") from None


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a number")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Of a key that stands twice Python would read the last value, and DuckDB the first."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"a key stands twice: {next(name for name in names if names.count(name) > 1)}")
    return values
