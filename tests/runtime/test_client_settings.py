"""A client's settings: tokens, addresses and the environment, and what is told of those that cannot work."""

from __future__ import annotations

from typing import Any

import pytest
from far_end import EXPORT_TOKEN, IMPORT_TOKEN, FarEnd, client_of, virtually

from dfinery_async import ConfigError, DfineryClient
from dfinery_async.runtime.lending import SHARING, QuotaShare
from dfinery_async.runtime.observing import OBSERVING, Observer


class HalfAnObserver:
    def opened(self, *_: object) -> None: ...

    closed = began = opened
    ended = None


def test_a_missing_token_is_told_before_anything_is_sent() -> None:
    async def scenario() -> None:
        async with DfineryClient("svc", export_token=EXPORT_TOKEN, transport=FarEnd()) as client:
            with pytest.raises(ConfigError, match=r"import_token.*DFINERY_IMPORT_TOKEN"):
                await client.send_events("u", "e")
            with pytest.raises(ConfigError, match="import_token"):
                client.producer()
        async with DfineryClient("svc", import_token=IMPORT_TOKEN, transport=FarEnd()) as client:
            with pytest.raises(ConfigError, match="DFINERY_EXPORT_TOKEN"):
                client.export_profiles()

    virtually(scenario())


def test_tokens_may_be_functions_and_may_be_changed() -> None:
    async def scenario() -> None:
        tokens = iter(["one", "two"])
        far_end = FarEnd()
        async with client_of(far_end) as client:
            client.set_tokens(import_token=lambda: next(tokens), export_token="other")
            current = ["0"]
            client.set_tokens(import_token=lambda: f"token-{current[0]}")
            await client.upsert_identity("u")
            current[0] = "1"
            await client.upsert_identity("u")
            client.set_tokens(import_token="plain")
            await client.upsert_identity("u")
            with pytest.raises(ConfigError):
                client.set_tokens(import_token="with\nbreak")
        assert [call.headers["access_token"] for call in far_end.calls] == ["token-0", "token-1", "plain"]

    virtually(scenario())


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"service_id": "svc", "base_url": "http://example.com"}, "https"),
        ({"service_id": "svc", "base_url": "https://user:secret-CANARY@example.com"}, "user"),
        ({"service_id": ""}, "service_id"),
        ({"service_id": "a&b=1"}, "service_id"),
        ({"service_id": "svc", "import_token": "secret-CANARY\r\n"}, "import_token"),
        ({"service_id": "svc", "export_token": "geheim-CANARY-ü"}, "export_token"),
        ({"service_id": "svc", "retry": 5}, "retry must be a RetryConfig, not int"),
        ({"service_id": "svc", "pacing": {}}, "pacing"),
        ({"service_id": "svc", "timeouts": 3.0}, "timeouts"),
        ({"service_id": "svc", "connections": "many"}, "connections"),
        ({"service_id": "svc", "observer": 5}, r"observer must be such as .*OpenTelemetry\(\), not int"),
        ({"service_id": "svc", "observer": print}, "observer .* has no opened, closed, began, ended"),
        ({"service_id": "svc", "observer": HalfAnObserver()}, "observer .* not HalfAnObserver, which has no ended"),
        ({"service_id": "svc", "observer": HalfAnObserver}, "observer .* not the class HalfAnObserver"),
        ({"service_id": "svc", "quota_share": "redis://:CANARY@localhost"}, r"quota_share .*RedisQuota.*, not str"),
        ({"service_id": "svc", "quota_share": HalfAnObserver}, "quota_share .* not the class HalfAnObserver"),
    ],
)
def test_settings_that_cannot_work_are_told_when_the_client_is_made(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=field) as caught:
        DfineryClient(**arguments)
    assert "CANARY" not in str(caught.value)


def test_from_env(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVICE_ID", "IMPORT_TOKEN", "EXPORT_TOKEN", "BASE_URL"):
        monkeypatch.delenv(f"DFINERY_{name}", raising=False)
    with pytest.raises(ConfigError, match="DFINERY_SERVICE_ID"):
        DfineryClient.from_env()
    monkeypatch.setenv("DFINERY_SERVICE_ID", "svc")
    monkeypatch.setenv("DFINERY_BASE_URL", "http://127.0.0.1:1")
    assert "svc at http://127.0.0.1:1" in repr(DfineryClient.from_env())
    assert "other" in repr(DfineryClient.from_env(service_id="other"))


@pytest.mark.parametrize(("protocol", "methods"), [(Observer, OBSERVING), (QuotaShare, SHARING)])
def test_all_methods_of_a_protocol_are_looked_for(protocol: type, methods: tuple[str, ...]) -> None:
    assert tuple(name for name in vars(protocol) if not name.startswith("_")) == methods
