"""Identities, what values show of themselves, and what survives a pickle."""

from __future__ import annotations

import copy
import datetime as dt
import enum
import io
import pickle
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from dfinery_async import Delivery, Event, Identity, InvalidInputError, Quota, Rejection, Report, Stats, errors
from dfinery_async.config import ConnectionConfig, Token
from dfinery_async.core import codec

EMAIL, PHONE, TOKEN, PASSWORD = "kim.minsu@example.com", "821012345678", "tok-9f8e7d6c5b4a", "s3cret-pw"
NAMES = ("external_id", "email", "phone_no", "kakao_user_id", "line_user_id")
MOMENT = dt.datetime(2025, 3, 2, 4, 11, 9, 120_000, dt.UTC)
ID = "5f0c7c0e-6a0e-4d0e-9d53-6b1f7c1a90aa"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


class Shade(str, enum.Enum):  # noqa: UP042 - the older spelling, which prints as `Shade.DARK`
    DARK = "dark"


class Text(str):
    __slots__ = ()


# --- identities


@pytest.mark.parametrize("fields", [{}, dict.fromkeys(NAMES), dict.fromkeys(NAMES, ""), {"email": Text("")}])
def test_an_identity_needs_a_field(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="needs at least one of external_id, email, phone_no") as caught:
        Identity(**fields)

    assert caught.value.field == "identity"


@pytest.mark.parametrize("name", NAMES)
def test_any_one_field_is_enough(name: str) -> None:
    identity = Identity(**{name: "1"})

    assert [getattr(identity, field) for field in NAMES] == ["1" if field == name else None for field in NAMES]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [1, 0, False, 1.5, b"u", ["u"], {"u": 1}, "\ud800", Identity(external_id="u")])
def test_a_field_must_be_text_that_can_be_sent(name: str, value: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Identity(**{name: value})

    assert caught.value.field == f"identity.{name}"


def test_an_empty_text_is_no_field() -> None:
    identity = Identity(external_id="u", email="")

    assert identity.email is None
    assert identity == Identity(external_id="u")
    assert hash(identity) == hash(Identity(external_id="u"))
    assert codec.encode_identity(identity) == b'{"external_id":"u"}'


@given(st.dictionaries(st.sampled_from(NAMES), TEXT), st.dictionaries(st.sampled_from(NAMES), TEXT))
def test_identities_are_equal_when_all_their_fields_are(one: dict[str, str], other: dict[str, str]) -> None:
    some = [{name: value for name, value in fields.items() if value} for fields in (one, other)]
    if not all(some):
        return
    first, second = Identity(**one), Identity(**other)

    assert (first == second) is (some[0] == some[1])
    assert (first != second) is (some[0] != some[1])
    assert len({first, second}) == 1 + (some[0] != some[1])


def test_a_plain_text_is_an_external_id() -> None:
    identity = Identity(email=EMAIL)

    assert Identity.of("u1") == Identity(external_id="u1")
    assert Identity.of(Shade.DARK) == Identity(external_id="dark")
    assert Identity.of(identity) is identity


@pytest.mark.parametrize("value", [None, 1, b"u", {"external_id": "u"}, ""])
def test_nothing_else_is_an_identity(value: Any) -> None:
    with pytest.raises(InvalidInputError):
        Identity.of(value)


@pytest.mark.parametrize("value", [Text("u"), Shade.DARK])
def test_fields_hold_plain_text(value: str) -> None:
    identity = Identity(external_id=value)

    assert type(identity.external_id) is str
    assert codec.decode_identity(codec.encode_identity(identity)) == identity


def test_an_identity_cannot_be_changed_or_made_by_position() -> None:
    identity = Identity(external_id="u")

    with pytest.raises(AttributeError):
        identity.external_id = "v"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Identity("u")  # type: ignore[call-arg]


def test_a_plain_text_is_an_event_of_that_name() -> None:
    event = Event("df_login")

    assert Event.of("df_login").name == "df_login"
    assert Event.of(event) is event


@pytest.mark.parametrize("value", [None, 1, b"x", {"name": "x"}, ""])
def test_nothing_else_is_an_event(value: Any) -> None:
    with pytest.raises(InvalidInputError):
        Event.of(value)


# --- what is shown


def shown_by_rich(value: object) -> list[str]:
    try:
        from rich.console import Console  # noqa: PLC0415 - optional
        from rich.pretty import pretty_repr  # noqa: PLC0415
    except ImportError:
        return []
    console = Console(file=io.StringIO(), width=200, record=True)
    console.print(value)
    return [pretty_repr(value), console.export_text()]


def shown(value: object) -> list[str]:
    return [
        repr(value),
        str(value),
        f"{value}",
        f"{value!r:>9}",
        f"{[value]}",
        repr({"a": value}),
        *shown_by_rich(value),
    ]


PRIVATE = [
    Identity(email=EMAIL),
    Identity(external_id=EMAIL),
    Identity(external_id=PHONE),
    Identity(external_id="+82 10-1234-5678"),
    Identity(external_id=f"id-{PHONE}"),
    Identity(external_id="u1", phone_no=PHONE, kakao_user_id=f"kakao-{EMAIL}", line_user_id=PHONE),
    Identity(external_id=f"{'x' * 300}{EMAIL}"),
    Event("df_login", properties={"mail": EMAIL, "phone": PHONE}, items=[{"mail": EMAIL}]),
    Rejection(
        identity=Identity(email=EMAIL),
        kind="event",
        event=Event("df_login", properties={"mail": EMAIL}),
        error=errors.ValidationFailure("VALIDATION_FAILURE", status=200, code=40001),
        attempts=1,
    ),
    Rejection(
        identity=Identity(phone_no=PHONE),
        kind="profile",
        properties={"mail": EMAIL},
        error=errors.BadRequest(),
        attempts=2,
    ),
    Token(TOKEN),
    ConnectionConfig(proxy=f"http://user:{PASSWORD}@proxy.example:3128"),
]


@pytest.mark.parametrize("value", PRIVATE, ids=lambda value: type(value).__name__)
def test_nothing_private_is_shown(value: object) -> None:
    for text in shown(value):
        for secret in (EMAIL, "kim", PHONE, "1234-5678", TOKEN, PASSWORD, "proxy.example"):
            assert secret not in text


def test_the_check_for_private_things_can_fail() -> None:
    class Careless(msgspec.Struct):
        email: str

    assert all(EMAIL in text for text in shown(Careless(EMAIL)))


@given(st.emails(), st.from_regex(r"82\d{8,10}", fullmatch=True))
def test_no_address_and_no_number_is_shown(email: str, phone: str) -> None:
    for text in (
        repr(Identity(external_id=email)),
        repr(Identity(external_id=phone)),
        repr(Identity(email=email, phone_no=phone)),
        repr(Event("x", properties={"a": email, "b": phone}, log_id=ID, datetime=MOMENT)),
    ):
        assert email not in text
        assert phone not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Identity(external_id="member-00417"), "Identity(external_id='member-00417')"),
        (
            Identity(external_id="u1", email=EMAIL, phone_no=PHONE),
            "Identity(external_id='u1', email='***', phone_no='***')",
        ),
        (
            Event("df_login", datetime=MOMENT, log_id=ID),
            f"Event('df_login', datetime=2025-03-02T04:11:09.120Z, log_id={ID})",
        ),
        (
            Event("df_purchase", properties={"a": 1, "b": EMAIL}, items=[{"c": 1}], datetime=MOMENT, log_id=ID),
            f"Event('df_purchase', properties=<a, b>, items=<1>, datetime=2025-03-02T04:11:09.120Z, log_id={ID})",
        ),
        (
            Rejection(identity=Identity(email=EMAIL), kind="identity", error=errors.BadRequest(), attempts=2),
            "Rejection(identity=Identity(email='***'), kind='identity', error=BadRequest(''), attempts=2)",
        ),
        (Token(TOKEN), "Token('***')"),
        (ConnectionConfig(), "ConnectionConfig(max_connections=64, keepalive_expiry=5.0, max_age=300.0, proxy=None)"),
        (Delivery(status="delivered", attempts=1), "Delivery(status='delivered', attempts=1)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_shown_still_tells_values_apart(value: object, text: str) -> None:
    assert repr(value) == text


# --- pickles and copies

VALUES = [
    Identity(external_id="u1", email=EMAIL),
    Event("df_purchase", properties={"a": [1, 2]}, items=[{"b": 1.5}]),
    Event("x", datetime=MOMENT, log_id=ID),
    Delivery(status="spooled", attempts=3),
    Stats(accepted=1, pending=1),
    Report(accepted=2, delivered=2, state="closed"),
    Quota(family="events", reset_at=MOMENT, pace=1.5),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_values_survive_a_pickle(value: object, protocol: int) -> None:
    again = pickle.loads(pickle.dumps(value, protocol))  # noqa: S301

    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_can_be_copied(value: object) -> None:
    assert copy.copy(value) == copy.deepcopy(value) == value


def test_a_changed_copy_is_checked_again() -> None:
    with pytest.raises(InvalidInputError):
        msgspec.structs.replace(Event("x"), properties={"a": float("nan")})
    with pytest.raises(InvalidInputError):
        msgspec.structs.replace(Identity(external_id="u"), external_id="")


@pytest.mark.parametrize("dump", [pickle.dumps, copy.copy, copy.deepcopy, lambda token: pickle.dumps({"a": [token]})])
def test_a_token_is_never_pickled(dump: Any) -> None:
    with pytest.raises(TypeError, match="a Token is not pickled") as caught:
        dump(Token(TOKEN))

    assert TOKEN not in str(caught.value)


def test_a_rejection_survives_a_pickle() -> None:
    rejection = Rejection(
        identity=Identity(external_id="u"),
        kind="event",
        event=Event("x"),
        error=errors.ValidationFailure("VALIDATION_FAILURE", status=200, code=40001, attempts=2),
        attempts=2,
    )
    again = pickle.loads(pickle.dumps(rejection))  # noqa: S301

    assert (again.identity, again.event, again.attempts) == (rejection.identity, rejection.event, 2)
    assert vars(again.error) == vars(rejection.error)


@pytest.mark.parametrize("kind", [Stats, Report, Quota])
def test_figures_are_read_by_name(kind: Any) -> None:
    figures = kind(family="events") if kind is Quota else kind(accepted=3)

    assert figures.to_dict() == {name: getattr(figures, name) for name in kind.__struct_fields__}


# --- errors

ERRORS: list[errors.DfineryError] = [
    errors.DfineryError("a"),
    errors.ConfigError("a"),
    errors.InvalidInputError("a", field="properties.b"),
    errors.InvalidInputError("a"),
    errors.ClientClosed("a"),
    errors.QueueFull("a"),
    *(
        kind("MESSAGE", status=500, code=50000, attempts=3)
        for kind in (
            errors.ApiError,
            errors.BadRequest,
            errors.ValidationFailure,
            errors.InvalidServiceId,
            errors.InvalidToken,
            errors.RateLimited,
            errors.TooManyEvents,
            errors.TooManyProfiles,
            errors.ServerError,
            errors.ExportError,
            errors.DateRangeExceeded,
            errors.QueryFailed,
            errors.ExportInterrupted,
        )
    ),
    errors.RateLimited("TOO_MANY_REQUEST", status=429, code=40401, attempts=2, reset_at=MOMENT),
    errors.ConnectionFailed("a", attempts=4, ambiguous=True),
    errors.UnexpectedResponse("a", status=302, attempts=2, retryable=True),
    errors.DeliveryError("a"),
    errors.SpoolError("a"),
    errors.SpoolFull("a"),
    errors.SpoolCorrupt("a"),
    errors.SpoolLocked("a"),
]


def test_every_error_is_looked_at() -> None:
    assert {type(error).__name__ for error in ERRORS} == set(errors.__all__)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_survive_a_pickle_with_all_they_say(error: errors.DfineryError) -> None:
    error.delivered, error.refused = 7, range(7, 9)

    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301
        assert type(again) is type(error)
        assert vars(again) == vars(error)
        assert again.args == error.args
        assert str(again) == str(error)
        assert again.retryable is error.retryable


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.InvalidInputError("must not be empty", field="name"), "name: must not be empty"),
        (errors.InvalidInputError("bad"), "bad"),
        (errors.ApiError("NEW_CODE", status=200, code=40999), "40999 NEW_CODE (HTTP 200)"),
        (errors.ApiError(), "ApiError"),
        (errors.TooManyEvents(code=40402), "40402"),
        (errors.ServerError("server error", status=502, attempts=3), "server error (HTTP 502), after 3 attempts"),
        (
            errors.InvalidServiceId("INVALID_SERVICE_ID", status=200, code=40101),
            "40101 INVALID_SERVICE_ID (HTTP 200). Check service_id (DFINERY_SERVICE_ID)",
        ),
        (
            errors.RateLimited("TOO_MANY_REQUEST", status=429, reset_at=MOMENT),
            "TOO_MANY_REQUEST (HTTP 429); calls are answered again at 2025-03-02 04:11:09 UTC",
        ),
        (errors.RateLimited("TOO_MANY_REQUEST"), "TOO_MANY_REQUEST"),
        (errors.ConnectionFailed("reset", attempts=2), "reset, after 2 attempts"),
        (errors.ConnectionFailed("reset"), "reset"),
        (errors.UnexpectedResponse("HTML", status=200), "HTML (HTTP 200)"),
        (errors.UnexpectedResponse("HTML"), "HTML"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_errors_say_what_to_do(error: errors.DfineryError, text: str) -> None:
    assert str(error) == text


def test_only_what_may_pass_is_retryable() -> None:
    assert {type(error) for error in ERRORS if error.retryable} == {
        errors.ConnectionFailed,
        errors.ExportInterrupted,
        errors.QueueFull,
        errors.RateLimited,
        errors.ServerError,
        errors.UnexpectedResponse,  # the one above was made so
    }
    assert not errors.UnexpectedResponse("a redirect", status=302).retryable
