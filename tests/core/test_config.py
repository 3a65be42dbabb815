"""Settings are refused when they are made, by name, and without a secret in the text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from dfinery_async import ConfigError, ConnectionConfig, PacingConfig, RetryConfig, SpoolConfig, TimeoutConfig
from dfinery_async.addresses import DEFAULT_BASE_URL, Origin, parse_origin
from dfinery_async.config import DeliveryConfig, Token, environment, parse_service_id

# --- the address


@pytest.mark.parametrize(
    ("base_url", "origin", "authority"),
    [
        (DEFAULT_BASE_URL, "https://openapi.dfinery.ai", "openapi.dfinery.ai"),
        ("https://openapi.dfinery.ai/", "https://openapi.dfinery.ai", "openapi.dfinery.ai"),
        ("HTTPS://OpenAPI.DFINERY.ai", "https://openapi.dfinery.ai", "openapi.dfinery.ai"),
        ("https://openapi.dfinery.ai.", "https://openapi.dfinery.ai.", "openapi.dfinery.ai."),
        ("https://openapi.dfinery.ai:443", "https://openapi.dfinery.ai:443", "openapi.dfinery.ai:443"),
        ("https://openapi.dfinery.ai:", "https://openapi.dfinery.ai", "openapi.dfinery.ai"),
        ("https://gateway.example:8443/dfinery/", "https://gateway.example:8443/dfinery", "gateway.example:8443"),
        ("https://gateway.example/a/b~c_d-e.f//", "https://gateway.example/a/b~c_d-e.f", "gateway.example"),
        ("https://xn--9n2bp8q.example", "https://xn--9n2bp8q.example", "xn--9n2bp8q.example"),
        ("https://my_host", "https://my_host", "my_host"),
        ("https://10.0.0.1", "https://10.0.0.1", "10.0.0.1"),
        ("https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443/x", "[2001:db8::1]:8443"),
        ("https://[::ffff:10.0.0.1]", "https://[::ffff:10.0.0.1]", "[::ffff:10.0.0.1]"),
        ("http://localhost:8000", "http://localhost:8000", "localhost:8000"),
        ("http://LocalHost", "http://localhost", "localhost"),
        ("http://127.0.0.1:65535", "http://127.0.0.1:65535", "127.0.0.1:65535"),
        ("http://127.255.255.255:1", "http://127.255.255.255:1", "127.255.255.255:1"),
        ("http://127.1.20.249", "http://127.1.20.249", "127.1.20.249"),
        ("http://[::1]:8000", "http://[::1]:8000", "[::1]:8000"),
    ],
)
def test_an_address_is_taken_apart(base_url: str, origin: str, authority: str) -> None:
    parsed = parse_origin(base_url)

    assert str(parsed) == origin
    assert parsed.authority == authority
    assert parse_origin(str(parsed)) == parsed


@pytest.mark.parametrize(
    "base_url",
    [
        None,
        1,
        b"https://openapi.dfinery.ai",
        "",
        "openapi.dfinery.ai",
        "//openapi.dfinery.ai",
        "https:openapi.dfinery.ai",
        "https://",
        "https:///api",
        "https://:443",
        "ftp://openapi.dfinery.ai",
        "file:///etc/passwd",
        "javascript:alert(1)",
        # plain http to anywhere but loopback
        "http://openapi.dfinery.ai",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://128.0.0.1",
        "http://127.0.0.256",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1.",
        "http://127.1",
        "http://2130706433",
        "http://0x7f000001",
        "http://localhost.example.com",
        "http://localhost.",
        "http://[::2]",
        "http://[::ffff:127.0.0.1]",
        "http://[::]",
        # users and passwords
        "https://user@openapi.dfinery.ai",
        "https://user:pw@openapi.dfinery.ai",
        "https://@openapi.dfinery.ai",
        "http://localhost@openapi.dfinery.ai",
        "http://127.0.0.1:80@openapi.dfinery.ai",
        "https://openapi.dfinery.ai\\@example.com",
        # queries and fragments
        "https://openapi.dfinery.ai?",
        "https://openapi.dfinery.ai/?a=b",
        "https://openapi.dfinery.ai#",
        "https://openapi.dfinery.ai/#a",
        # ports
        "https://openapi.dfinery.ai:0",
        "https://openapi.dfinery.ai:65536",
        "https://openapi.dfinery.ai:-1",
        "https://openapi.dfinery.ai:https",
        "https://openapi.dfinery.ai:4 43",
        "https://openapi.dfinery.ai:\u0664\u0664\u0663",
        # hosts
        "https://openapi..dfinery.ai",
        "https://.dfinery.ai",
        "https://.",
        f"https://{'a' * 64}.example",
        "https://openapi.dfinery.ai,example.com",
        "https://openapi%2edfinery.ai",
        "https://openapi.dfinery.ai\\example.com",
        "https://한글.example",
        "https://openapi\u3002dfinery.ai",
        "https://openap\u0131.dfinery.ai",
        "https://[::1",
        "https://::1",
        "https://[fe80::1%25eth0]",
        "https://[example]",
        "https://[v1.a]",
        # paths
        "https://openapi.dfinery.ai/a b",
        "https://openapi.dfinery.ai/%2e%2e",
        "https://openapi.dfinery.ai/a;b",
        "https://openapi.dfinery.ai/a:b",
        "https://openapi.dfinery.ai/é",
        # space and what ends a line
        " https://openapi.dfinery.ai",
        "https://openapi.dfinery.ai ",
        "https://openapi.dfinery.ai\n",
        "https://openapi.dfi\nnery.ai",
        "https://openapi.dfi\tnery.ai",
        "https://openapi.dfinery.ai\r\nx: y",
        "\ufeffhttps://openapi.dfinery.ai",
        "https://openapi.dfinery.ai\x00",
        "https://\ud800",
    ],
)
def test_an_address_that_could_send_tokens_elsewhere_is_refused(base_url: Any) -> None:
    with pytest.raises(ConfigError, match="base_url") as caught:
        parse_origin(base_url)

    assert "pw" not in str(caught.value)


@given(st.text(max_size=40) | st.text("htps:/@?#[]%.\\01279localhst \n", max_size=40).map("http://".__add__))
def test_any_text_is_an_address_or_a_config_error(base_url: str) -> None:
    try:
        origin = parse_origin(base_url)
    except ConfigError:
        return
    assert parse_origin(str(origin)) == origin
    assert origin.scheme == "https" or origin.host in {"localhost", "::1"} or origin.host.startswith("127.")
    assert not set(str(origin)) & set("@?# \n\\%")


def test_origins_are_equal_by_their_parts() -> None:
    assert parse_origin("https://example.com/a/") == Origin("https", "example.com", None, "/a")


# --- service ids


@pytest.mark.parametrize("service_id", ["xyroon", "A-1_b.2", "0", "a" * 128])
def test_a_service_id_is_plain(service_id: str) -> None:
    assert parse_service_id(service_id) == service_id


@pytest.mark.parametrize(
    "service_id",
    [None, "", 1, b"x", "a b", "a&x=1", "a#b", "../x", "a/b", "a?b", "a%20", "a\n", "a\r\nb", "é", "٣", "a" * 129],
)
def test_a_service_id_never_changes_the_address(service_id: Any) -> None:
    with pytest.raises(ConfigError, match="service_id"):
        parse_service_id(service_id)


# --- tokens


def test_a_token_gives_its_text_only_when_asked() -> None:
    token = Token("!tok-9f8e~")

    assert token.reveal() == "!tok-9f8e~"
    assert {repr(token), str(token), f"{token}", f"{token:>40}", f"{token!s}", "%s" % token} == {"Token('***')"}  # noqa: UP031
    assert not hasattr(token, "__dict__")


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        1,
        b"canary",
        "canary\n",
        "canary\r\nx: y",
        " canary",
        "can ary",
        "canary\t",
        "canary\x00",
        "canary\x7f",
        "canaré",
        "canary٣",
        "canary\ud800",
        "canary" * 1000,
    ],
)
def test_a_token_that_cannot_stand_in_a_header_is_refused_without_being_shown(text: Any) -> None:
    with pytest.raises(ConfigError, match=r"^import_token ") as caught:
        Token(text, "import_token")

    assert "canar" not in f"{caught.value} {caught.value!r} {caught.value.__context__!r}"


# --- numbers

WRONG = [math.nan, math.inf, -math.inf, -1, -0.5, True, False, None, "1", b"1", [1], 1j]
POSITIVE = [
    *((TimeoutConfig, name) for name in ("connect", "read", "write", "total")),
    (ConnectionConfig, "keepalive_expiry"),
    (ConnectionConfig, "max_age"),
    (RetryConfig, "base"),
    (RetryConfig, "cap"),
    (PacingConfig, "share"),
    (PacingConfig, "limit_rate"),
    (PacingConfig, "horizon"),
    (DeliveryConfig, "delivery_timeout"),
]
NOT_NEGATIVE = [(RetryConfig, "total"), (DeliveryConfig, "linger")]
COUNTS = [
    (ConnectionConfig, "max_connections"),
    (RetryConfig, "unexpected_attempts"),
    *((PacingConfig, name) for name in ("events", "identities", "profiles", "exports", "concurrent_exports")),
    *(
        (DeliveryConfig, name)
        for name in ("max_in_flight", "max_pending_events", "max_pending_bytes", "max_batch_bytes")
    ),
]


@pytest.mark.parametrize(("kind", "name"), [*POSITIVE, *NOT_NEGATIVE, *COUNTS])
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_a_number_must_make_sense(kind: Any, name: str, value: Any) -> None:
    if value is None and name in {"delivery_timeout", "limit_rate"}:
        return
    with pytest.raises(ConfigError, match=rf"^{name} must be "):
        kind(**{name: value})


@pytest.mark.parametrize(("kind", "name"), [*POSITIVE, *COUNTS])
def test_nothing_is_too_little(kind: Any, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} must be "):
        kind(**{name: 0})


@pytest.mark.parametrize(("kind", "name"), COUNTS)
def test_a_count_is_a_whole_number(kind: Any, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} must be a whole number"):
        kind(**{name: 1.5})


@pytest.mark.parametrize(("kind", "name"), [*POSITIVE, *NOT_NEGATIVE, *COUNTS])
def test_one_is_enough(kind: Any, name: str) -> None:
    assert getattr(kind(**{name: 1}), name) == 1


@pytest.mark.parametrize(("kind", "name"), NOT_NEGATIVE)
@pytest.mark.parametrize("value", [0, 0.0, 0.5])
def test_no_wait_is_a_wait_too(kind: Any, name: str, value: float) -> None:
    assert getattr(kind(**{name: value}), name) == value


def test_every_number_of_the_settings_is_checked() -> None:
    checked = {(kind, name) for kind, name in [*POSITIVE, *NOT_NEGATIVE, *COUNTS]}
    others = {(ConnectionConfig, "verify"), (ConnectionConfig, "proxy"), (DeliveryConfig, "on_full")}
    kinds = (TimeoutConfig, ConnectionConfig, RetryConfig, PacingConfig, DeliveryConfig)

    assert checked | others == {(kind, name) for kind in kinds for name in kind.__struct_fields__}


@pytest.mark.parametrize("share", [1.0001, 2])
def test_a_share_is_at_most_all(share: float) -> None:
    with pytest.raises(ConfigError, match="share must be at most 1"):
        PacingConfig(share=share)


@pytest.mark.parametrize("on_full", ["", "WAIT", "drop", None, 1, ["wait"]])
def test_what_happens_when_full_is_one_of_three(on_full: Any) -> None:
    with pytest.raises(ConfigError, match="on_full must be"):
        DeliveryConfig(on_full=on_full)


def test_a_delivery_may_take_for_ever() -> None:
    assert DeliveryConfig(delivery_timeout=None).delivery_timeout is None


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        RetryConfig().total = 1.0  # type: ignore[misc]


# --- the environment


def test_the_environment_sets_what_it_names() -> None:
    variables = {
        "DFINERY_SERVICE_ID": "xyroon",
        "DFINERY_IMPORT_TOKEN": "tok-1",
        "DFINERY_EXPORT_TOKEN": "",
        "DFINERY_BASE_URL": "http://127.0.0.1:8000",
        "DFINERY_OTHER": "x",
        "SERVICE_ID": "y",
    }

    assert environment(variables) == {
        "service_id": "xyroon",
        "import_token": "tok-1",
        "base_url": "http://127.0.0.1:8000",
    }
    assert environment({}) == {}


def test_the_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVICE_ID", "IMPORT_TOKEN", "EXPORT_TOKEN", "BASE_URL"):
        monkeypatch.delenv(f"DFINERY_{name}", raising=False)
    monkeypatch.setenv("DFINERY_EXPORT_TOKEN", "tok-2")

    assert environment() == {"export_token": "tok-2"}


def test_a_spool_is_named_by_a_path_or_a_config(tmp_path: Path) -> None:
    assert SpoolConfig.of("here") == SpoolConfig(path="here")
    assert SpoolConfig.of(tmp_path) == SpoolConfig(path=tmp_path, mode="always", durability="power")
    config = SpoolConfig(path="here", mode="on_failure", durability="process", exclusive=True)
    assert SpoolConfig.of(config) is config


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"path": ""}, "path of a spool"),
        ({"path": "a\0b"}, "path of a spool"),
        ({"path": 7}, "path of a spool"),
        ({"path": "x", "mode": "sometimes"}, "mode of a spool"),
        ({"path": "x", "durability": "eternal"}, "durability of a spool"),
        ({"path": "x", "max_bytes": 0}, "max_bytes"),
        ({"path": "x", "max_bytes": 1000}, "at least 1048576"),
    ],
)
def test_a_spool_that_cannot_work_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        SpoolConfig(**options)


@pytest.mark.parametrize(
    "proxy",
    [
        "",
        "proxy.example.com:3128",
        "ftp://proxy.example.com",
        "http://",
        "http://user:pass-CANARY@proxy.example.com:port",
        "http://user:pass-CANARY@proxy example.com",
        8080,
    ],
)
def test_a_proxy_that_is_none_is_refused_and_not_shown(proxy: Any) -> None:
    with pytest.raises(ConfigError, match="proxy must be a URL") as caught:
        ConnectionConfig(proxy=proxy)
    assert caught.value.__context__ is None
    assert "CANARY" not in repr(caught.value)


def test_a_socks_proxy_names_the_package_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfinery_async.addresses.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="socksio"):
        ConnectionConfig(proxy="socks5://127.0.0.1:1080")
    monkeypatch.setattr("dfinery_async.addresses.find_spec", lambda name: True)
    assert ConnectionConfig(proxy="socks5://127.0.0.1:1080").max_connections == 64


def test_what_is_trusted_is_a_context() -> None:
    with pytest.raises(ConfigError, match="verify"):
        ConnectionConfig(verify=False)  # type: ignore[arg-type]


def test_no_more_exports_at_once_than_the_api_takes() -> None:
    assert PacingConfig(concurrent_exports=5).concurrent_exports == 5
    with pytest.raises(ConfigError, match="at most 5"):
        PacingConfig(concurrent_exports=6)


def test_an_address_that_cannot_be_read_leaves_no_copy_behind() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_origin("https://example.com:secret")
    assert caught.value.__context__ is None
