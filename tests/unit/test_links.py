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


INNER = [
    "localhost", "LOCALHOST", "localhost.", "api.localhost", "ip6-localhost", "metadata.google.internal", "printer.local.",
    "127.0.0.1", "127.1", "0x7f.1", "0XA9FEA9FE", "%31%30.0.0.7", "\uff11\uff10.0.0.7", "10\u30020\u30020\u30027", "\u2469.0.0.7",
    "[::1]", "[::]", "[fe80::1%25eth0]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]", "[fc00::1]",
    "0.0.0.0", "100.64.0.1", "192.168.1.1", "172.16.0.1", "224.0.0.1", "255.255.255.255",
]  # fmt: skip


@pytest.mark.proves("private-address", sees="refused in whatever form it is written, also where every host is allowed")
@pytest.mark.parametrize("host", INNER, ids=ascii)
def test_no_pattern_allows_what_lies_inside_a_network(host: str) -> None:
    with pytest.raises(UnsafeLinkError):
        safe_link(f"https://{host}/a.csv", API, ("*",))


# Links that make one host look like another, and the host that would be asked.
DISGUISED = [
    "https://bucket.s3.amazonaws.com@evil.example/a", "https://bucket.s3.amazonaws.com:443@evil.example/a",
    "https://evil.example#bucket.s3.amazonaws.com", "https://evil.example?bucket.s3.amazonaws.com",
    "https://evil.example/bucket.s3.amazonaws.com", "https://evil.example\\.s3.amazonaws.com/a",
    "https:\\\\evil.example/a", "//evil.example/a", "https://bucket.s3.amaz\u043enaws.com/a",
    "https://bucket.s3.amazonaws.com.evil.example/a", "https://xs3-amazonaws.com/a",
]  # fmt: skip


@pytest.mark.proves("host-unlisted", sees="refused, however much it looks like one on the list")
@pytest.mark.parametrize("target", DISGUISED, ids=ascii)
def test_no_host_passes_for_another(target: str) -> None:
    with pytest.raises(UnsafeLinkError):
        safe_link(target, API, ALLOWED)


def test_what_lies_inside_a_network_is_asked_where_it_is_listed_as_it_is() -> None:
    assert safe_link("https://minio.internal/a", API, ("minio.internal",)).host == "minio.internal"
    assert safe_link("https://10.0.0.7/a", API, ("10.0.0.7",)).host == "10.0.0.7"


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
