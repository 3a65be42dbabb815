"""Addresses that a client is given: of the API, and of a proxy. What is wrong with one is said without showing it."""

from __future__ import annotations

import re
from importlib.util import find_spec
from urllib.parse import SplitResult, urlsplit

import msgspec

from dfinery_async.errors import ConfigError

__all__ = ["DEFAULT_BASE_URL", "Origin", "check_proxy", "parse_origin"]

DEFAULT_BASE_URL = "https://openapi.dfinery.ai"
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?|[0-9a-f]*:[0-9a-f:.]*")
_LOOPBACK = re.compile(r"127(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}")
_SOCKS = {"socks5", "socks5h"}
_PROXIES = {"http", "https"} | _SOCKS
_PREFIX = re.compile(r"[A-Za-z0-9._~/-]*")


class Origin(msgspec.Struct, frozen=True):
    """The one place that tokens are sent to."""

    scheme: str
    host: str
    port: int | None
    prefix: str

    @property
    def authority(self) -> str:
        """Host and port as a Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.prefix}"


def parse_origin(base_url: str) -> Origin:
    """Check a base URL: https, or http to loopback; no user, query or fragment.

    Raises:
        ConfigError: it is none of that.
    """
    if not isinstance(base_url, str) or not base_url:
        raise ConfigError(f"base_url must be a URL such as {DEFAULT_BASE_URL}")
    if not _VISIBLE.fullmatch(base_url):  # urlsplit() would drop spaces and line ends in silence
        raise ConfigError("base_url holds a space, a line break or a character outside ASCII; write a host as xn--…")
    parts = _split(base_url)
    if parts is None:
        raise ConfigError(f"base_url is no valid URL; give one such as {DEFAULT_BASE_URL}")
    host, port = parts.hostname, parts.port
    if parts.scheme not in {"http", "https"} or not host or not _HOST.fullmatch(host) or port == 0:
        raise ConfigError(f"base_url must be a URL such as {DEFAULT_BASE_URL}")
    if ("[" in parts.netloc) != (":" in host):
        raise ConfigError("base_url holds brackets around what is no IPv6 address")
    if "@" in parts.netloc:
        raise ConfigError("base_url must not hold a user or a password; tokens have their own settings")
    if parts.query or parts.fragment or "?" in base_url or "#" in base_url:
        raise ConfigError("base_url must not have a query or a fragment")
    if not _PREFIX.fullmatch(parts.path):
        raise ConfigError("the path in base_url holds characters that need quoting")
    if parts.scheme == "http" and not _loopback(host):
        raise ConfigError("base_url must be https; plain http is only for loopback, where an emulator listens")
    return Origin(parts.scheme, host, port, parts.path.rstrip("/"))


def check_proxy(proxy: object) -> None:
    """Check the address of a proxy.

    Raises:
        ConfigError: it is none, or a package for it is missing.
    """
    parts = _split(proxy) if isinstance(proxy, str) and _VISIBLE.fullmatch(proxy) else None
    if parts is None or parts.scheme not in _PROXIES or not parts.hostname:
        raise ConfigError("proxy must be a URL such as http://proxy.example.com:3128")
    if parts.scheme in _SOCKS and find_spec("socksio") is None:
        raise ConfigError('a SOCKS proxy needs the socksio package: pip install "httpx[socks]"')


def _split(url: str) -> SplitResult | None:
    """Divide a URL. Python's own error may hold a password, and must not stay behind ours."""
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port
    except ValueError:
        return None
    return parts


def _loopback(host: str) -> bool:
    return host in {"localhost", "::1"} or _LOOPBACK.fullmatch(host) is not None
