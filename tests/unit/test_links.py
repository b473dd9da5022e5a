"""Where a pre-signed link may lead."""

from __future__ import annotations

import httpx
import pytest

from orchestration.hypertracker.errors import UnsafeLinkError
from orchestration.hypertracker.links import is_loopback, safe_link

API = httpx.URL("https://api.example.com")
SANDBOX = httpx.URL("http://127.0.0.1:8000")
ALLOWED = ("*.amazonaws.com",)


def test_an_allowed_storage_host_is_followed() -> None:
    assert safe_link("https://bucket.s3.amazonaws.com/a?sig=1", API, ALLOWED).host == "bucket.s3.amazonaws.com"


def test_a_loopback_api_may_name_loopback() -> None:
    assert safe_link("http://127.0.0.1:8001/a?sig=1", SANDBOX, ()).port == 8001


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("http://bucket.s3.amazonaws.com/a", id="plain http"),
        pytest.param("ftp://bucket.s3.amazonaws.com/a", id="another scheme"),
        pytest.param("file:///etc/passwd", id="file"),
        pytest.param("https://evil.example/a", id="a host off the list"),
        pytest.param("https://amazonaws.com.evil.example/a", id="a look-alike"),
        pytest.param("https://10.0.0.1/a", id="private"),
        pytest.param("https://169.254.169.254/latest/meta-data", id="link-local"),
        pytest.param("http://127.0.0.1:9/a", id="loopback from a public API"),
        pytest.param("/api/external/again", id="back to the API"),
        pytest.param("https://user:pw@bucket.s3.amazonaws.com/a", id="with credentials"),
    ],
)
def test_anything_else_is_refused(target: str) -> None:
    with pytest.raises(UnsafeLinkError):
        safe_link(target, API, ALLOWED)


def test_a_refusal_does_not_repeat_the_signature() -> None:
    with pytest.raises(UnsafeLinkError) as caught:
        safe_link("https://evil.example/a?X-Amz-Signature=abcdef", API, ALLOWED)
    assert "abcdef" not in str(caught.value)


def test_loopback_is_only_this_machine() -> None:
    assert is_loopback("localhost")
    assert is_loopback("127.9.9.9")
    assert is_loopback("::1")
    assert not is_loopback("192.168.0.1")
    assert not is_loopback("localhost.example.com")
