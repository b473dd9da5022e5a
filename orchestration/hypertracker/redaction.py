"""Keeping tokens and signatures out of logs: httpx logs full URLs at INFO, and a pre-signed URL is a key."""

from __future__ import annotations

import logging
import re

# Any query, not only that of a whole URL: a `Location` may be relative, or escaped in JSON.
QUERY = re.compile(r"\?[^\s'\"?=]*=[^\s'\"]*")
BEARER = re.compile(r"(?i)bearer\s+[^\s'\",\]]+")
LOGGERS = ("httpx", "httpcore")


class RedactingFilter(logging.Filter):
    """Strips queries and bearer tokens from a record's finished message."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), ()
        return True


def redact(text: str) -> str:
    """The text without URL queries and bearer tokens."""
    return BEARER.sub("Bearer ***", QUERY.sub("?***", text))


def install_redaction() -> None:
    """Filter the loggers of the HTTP libraries; may be called again."""
    for name in (*LOGGERS, "httpcore.http11", "httpcore.connection", "httpcore.proxy"):
        logger = logging.getLogger(name)
        if not any(isinstance(existing, RedactingFilter) for existing in logger.filters):
            logger.addFilter(RedactingFilter())
