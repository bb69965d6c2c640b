from __future__ import annotations

import pytest

from receptor.backends.http_proxies import Proxy, proxy_for


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_without_a_word_in_the_environment_there_is_no_proxy() -> None:
    assert proxy_for("foo.example.com", 80, secure=False) is None
    assert proxy_for("foo.example.com", 443, secure=True) is None


@pytest.mark.parametrize("write", [str.upper, str.lower])
def test_each_scheme_has_its_own_proxy(monkeypatch: pytest.MonkeyPatch, write: type[str]) -> None:
    monkeypatch.setenv(write("HTTP_PROXY"), "http://plain:3128")
    assert proxy_for("foo.example.com", 443, secure=True) is None
    monkeypatch.setenv(write("HTTPS_PROXY"), "http://secure:3129/")
    assert proxy_for("foo.example.com", 80, secure=False) == Proxy("plain", 3128, "")
    assert proxy_for("foo.example.com", 443, secure=True) == Proxy("secure", 3129, "")


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://proxy", Proxy("proxy", 80, "")),
        ("proxy:3128", Proxy("proxy", 3128, "")),
        ("http://[::1]:3128", Proxy("::1", 3128, "")),
        ("http://me:p%40ss@proxy:3128", Proxy("proxy", 3128, "me:p@ss")),
        ("http://me@proxy:3128", Proxy("proxy", 3128, "me:")),
    ],
)
def test_urls_of_proxies(monkeypatch: pytest.MonkeyPatch, url: str, proxy: Proxy) -> None:
    monkeypatch.setenv("HTTP_PROXY", url)
    found = proxy_for("foo.example.com", 80, secure=False)
    assert found == proxy
    assert "ss" not in f"{found} {found!r}"


@pytest.mark.parametrize(
    "url", ["https://secret@proxy", "socks5://secret@proxy", "http://", "http://secret@proxy:x", "http://[secret"]
)
def test_a_proxy_that_can_not_be_used_is_told_without_showing_it(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(OSError, match="HTTPS_PROXY in the environment must be a URL such as") as caught:
        proxy_for("foo.example.com", 443, secure=True)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_needs_no_proxy(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    assert proxy_for(host, 80, secure=False) is None


@pytest.mark.parametrize(
    ("no_proxy", "host", "is_direct"),
    [
        ("*", "foo.example.com", True),
        ("example.com", "example.com", True),
        ("example.com", "foo.example.com", True),
        ("EXAMPLE.com", "foo.Example.COM", True),
        ("example.com", "fooexample.com", False),
        (".example.com", "foo.example.com", True),
        (".example.com", "example.com", False),
        ("*.example.com", "foo.example.com", True),
        ("example.com:8080", "foo.example.com", True),
        ("example.com:80", "foo.example.com", False),
        ("other, example.com", "foo.example.com", True),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.10", False),
        ("192.0.2.1:8080", "192.0.2.1", True),
        ("192.0.2.0/24", "192.0.2.10", True),
        ("192.0.2.7/24", "192.0.2.10", True),
        ("192.0.2.0/24", "198.51.100.1", False),
        ("192.0.2.0/24", "foo.example.com", False),
        ("2001:db8::/32", "2001:db8::1", True),
        ("2001:db8::1", "2001:db8::1", True),
        ("2001:db8::/32", "192.0.2.1", False),
        ("", "foo.example.com", False),
        (",:80,", "foo.example.com", False),
    ],
)
def test_what_no_proxy_means(monkeypatch: pytest.MonkeyPatch, no_proxy: str, host: str, is_direct: bool) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_for(host, 8080, secure=False) is None) == is_direct
