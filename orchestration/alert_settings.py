"""Settings of the alerts: which channels they go to.

Belongs here: their names, defaults and what must go together. Does not: other settings (`settings`),
sending (`alerting.channels`).
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode

from orchestration.setting_texts import checked_address


class AlertSettings(BaseSettings):
    """The part of all settings that says who is told of problems."""

    alert_slack_webhook: SecretStr | None = None
    alert_webhook: SecretStr | None = None
    # In this order: whether an address is of use depends on the host before it, a sender on the user.
    smtp_host: str = ""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_user: str = ""
    smtp_password: SecretStr | None = Field(default=None, validate_default=True)
    smtp_starttls: bool = True
    alert_email_from: str = ""
    alert_email_to: Annotated[tuple[str, ...], NoDecode] = ()

    @field_validator("alert_slack_webhook", "alert_webhook")
    @classmethod
    def _webhook_address(cls, value: SecretStr | None) -> SecretStr | None:
        parts = urlsplit(value.get_secret_value()) if value else None
        if parts is not None and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("is no web address such as https://hooks.example/...; it is not shown, because it is a secret")
        return value

    @field_validator("smtp_password")
    @classmethod
    def _password_of_a_user(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if bool(value) != bool(info.data.get("smtp_user")):
            raise ValueError("and HTW_SMTP_USER belong together: set both, or neither where the server asks for no login")
        return value

    @field_validator("alert_email_from")
    @classmethod
    def _one_address(cls, value: str) -> str:
        return checked_address(value) if value else value

    @field_validator("alert_email_to")
    @classmethod
    def _deliverable(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        lacking = [] if not value or info.data.get("smtp_host") else ["HTW_SMTP_HOST"]
        is_sender_known = info.data.get("alert_email_from", "wrong already") or "@" in info.data.get("smtp_user", "")
        lacking += ["HTW_ALERT_EMAIL_FROM"] if value and not is_sender_known else []
        if lacking:
            raise ValueError(f"needs {' and '.join(lacking)} too")
        return tuple(map(checked_address, value))
