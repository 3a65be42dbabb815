"""Producers that look into the taxonomy: what is refused, what is only told, and what it costs to have it off."""

from __future__ import annotations

import pytest
from far_end import FarEnd, client_of, virtually

from dfinery_async import ConfigError, Event, InvalidInputError, Producer
from dfinery_async.core.taxonomy import read_content
from dfinery_async.runtime.taxonomy import standard_taxonomy

SHOP = read_content(
    {"events": ["shop_rated"], "event_properties": [{"name": "shop_stars", "type": "Long"}]}, standard_taxonomy()
)


def test_what_is_not_registered_is_refused_at_the_call_and_nothing_is_queued():
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client, client.producer(taxonomy=SHOP, validate="raise") as producer:
            with pytest.raises(InvalidInputError, match=r"^name: no event df_logn .* did you mean df_login\?$"):
                await producer.track("u1", "df_logn")
            with pytest.raises(InvalidInputError) as caught:
                producer.track_nowait("u1", Event("shop_rated", properties={"shop_stras": 5}))
            assert caught.value.field == "properties.shop_stras"
            with pytest.raises(InvalidInputError, match=r"properties\.df_gendre: .* did you mean df_gender"):
                await producer.set_profile("u1", {"df_gendre": "Other"})
            with pytest.raises(InvalidInputError, match="registered as Long"):
                await producer.track_many([("u1", Event("shop_rated", properties={"shop_stars": "five"}))])
            assert producer.stats().accepted == 0
            await producer.track("u1", Event("shop_rated", properties={"shop_stars": 5}))
            producer.track_nowait("u1", "df_login")
            await producer.set_profile("u1", {"df_gender": "Other"})
            await producer.identify("u1")
        assert [call.path.rsplit("/", 1)[-1] for call in far_end.calls] == ["events", "user-profile", "identities"]

    virtually(scenario())


def test_a_warning_is_told_once_and_everything_is_sent(caplog: pytest.LogCaptureFixture):
    async def scenario() -> None:
        async with client_of(FarEnd()) as client, client.producer(validate="warn") as producer:
            for _ in range(50):
                await producer.track("kim@example.com", Event("df_logn", properties={"x": "kim@example.com"}))
            await producer.set_profile("u1", {"df_gendre": "Other"})
            await producer.track("u1", Event("df_login", properties={"kim@example.com": 1}))
            report = await producer.flush()
            assert report.delivered == 52

    virtually(scenario())
    assert [record.getMessage() for record in caplog.records] == [
        "df_logn: name: no event df_logn is registered; did you mean df_login?",
        "df_logn: properties.x: is not registered",
        "profile: properties.df_gendre: is not registered; did you mean df_gender?",
        "df_login: <e-mail>: is not registered",
    ]
    assert vars(caplog.records[0])["dfinery_event"] == "df_logn"
    assert vars(caplog.records[0])["dfinery_field"] == "name"


def test_without_it_the_producer_is_the_plain_one():
    async def scenario() -> None:
        async with client_of(FarEnd()) as client:
            assert type(client.producer()) is Producer
            assert type(client.producer(taxonomy=SHOP)) is Producer
            with pytest.raises(ConfigError, match='validate must be "off", "warn" or "raise"'):
                client.producer(validate="on")  # type: ignore[arg-type]

    virtually(scenario())


def test_a_load_takes_the_same_options():
    async def scenario() -> None:
        async with client_of(FarEnd()) as client:
            with pytest.raises(InvalidInputError):
                await client.load([("u1", "df_logn")], validate="raise")

    virtually(scenario())
