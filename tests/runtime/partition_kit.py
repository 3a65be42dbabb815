"""What tests of `send_partition` share: settings that reach an emulator, and rows."""

from __future__ import annotations

from dfinery_async import RetryConfig

QUICK = RetryConfig(base=0.001, cap=0.01)


def settings(emulator, **more):
    return {
        "service_id": emulator.service_id,
        "import_token": emulator.import_token,
        "base_url": emulator.base_url,
        "retry": QUICK,
        **more,
    }


def row(user="u1", **changes):
    made = {
        "identity": {"external_id": user},
        "event_name": "df_login",
        "event_datetime": "2025-03-02T04:11:09.120Z",
    }
    return {**made, **changes}


def numbered(users: int, each: int):
    for number in range(each):
        for user in range(users):
            yield row(f"u{user}", event_properties={"number": number})


def ids(emulator) -> list[str]:
    return [event["event_log_id"] for event in emulator.events]
