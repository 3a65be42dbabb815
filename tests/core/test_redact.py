"""Foreign texts are shortened and stripped before anybody sees them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, strategies as st

from dfinery_async.redact import looks_personal, safe_name, safe_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("VALIDATION_FAILURE", "VALIDATION_FAILURE"),
        ("", ""),
        ("  too   many\nrequests\t", "too many requests"),
        ("no event df_login of service xyroon", "no event df_login of service xyroon"),
        ("이벤트가 없습니다", "이벤트가 없습니다"),
        ("bad kim.minsu@example.com here", "bad <e-mail> here"),
        ("bad <kim@example.com>, sorry", "bad <e-mail> sorry"),
        ('{"email":"kim@example.com"}', "<e-mail>"),
        ("kim%40example.com", "<e-mail>"),
        ("kim\uff20example.com", "<e-mail>"),
        ("김@예.한국", "<e-mail>"),
        ("@", "<e-mail>"),
        ("phone 821012345678", "phone <number>"),
        ("phone +82 10-1234-5678!", "phone <number>!"),
        ("phone 010.1234.5678", "phone <number>"),
        ("phone (02) 123-4567", "phone (<number>"),
        ("phone \uff18\uff12\uff11\uff10\uff11\uff12\uff13\uff14", "phone <number>"),
        ("kim\ufe6bexample.com", "<e-mail>"),
        ("phone 010/1234/5678", "phone <number>"),
        ("phone 010_1234_5678", "phone <number>"),
        ("phone 010,1234,5678", "phone <number>"),
        ("phone 010\u20111234\u20115678", "phone <number>"),
        ("phone 010\u20131234\u22125678", "phone <number>"),
        ("phone 010\uff0d1234\uff0d5678", "phone <number>"),
        ("line 40001 of 123456", "line 40001 of 123456"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("a\r\nb\x00c\x9bd", "a b c d"),
        ("a\u2028b\u202ec\u2066d\u200be\ufefff", "a b c d e f"),
        ("kim\u200b@example.com", "kim <e-mail>"),
        ("half \ud800 pair", "half pair"),
    ],
)
def test_a_text_is_cleaned(text: str, shown: str) -> None:
    assert safe_text(text) == shown


@pytest.mark.parametrize("filler", ["x", "x ", "1", "1 ", "@", "-", "1-", "a@", "\x00", "(", "한"])
def test_a_megabyte_is_cut_at_once(filler: str) -> None:
    started = time.perf_counter()
    text = filler * 1_000_000
    shown = safe_text(text)
    personal = looks_personal(text)

    assert len(shown) <= 200
    assert personal
    assert time.perf_counter() - started < 1


def test_a_cut_never_leaves_the_first_half_of_an_address() -> None:
    long_address = f"{'a' * 780}@x"
    for gap in range(20):
        text = f"{long_address}{' ' * (gap + 1)}kim.minsu@example.com"

        assert "kim" not in safe_text(text)


@given(st.text(), st.emails(), st.text())
def test_no_address_is_shown(before: str, email: str, after: str) -> None:
    assert email not in safe_text(f"{before}{email}{after}")
    assert looks_personal(f"{before}{email}{after}")


@given(st.text(max_size=1000))
def test_what_is_shown_is_short_and_prints_on_one_line(text: str) -> None:
    shown = safe_text(text)

    assert len(shown) <= 200
    assert len(shown.splitlines()) <= 1
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in shown)
    shown.encode()
    assert safe_text(shown) == shown


@pytest.mark.parametrize("text", ["u1", "member-00417", "dfn-user-123", "5f0c7c0e", "1234567", "", "김민수"])
def test_plain_ids_do_not_look_personal(text: str) -> None:
    assert not looks_personal(text)


@pytest.mark.parametrize(
    ("name", "shown"), [("df_login", "df_login"), ("kim@example.com", "<e-mail>"), ("x" * 300, f"{'x' * 199}…")]
)
def test_a_name_that_looks_personal_is_not_shown(name: str, shown: str) -> None:
    assert safe_name(name) == shown


def test_a_secret_is_not_shown() -> None:
    assert safe_text("bearer abc/1 and ABC%2F1, abcd", ["abc/1"]) == "bearer <token> and <token>, abcd"


def test_a_short_secret_is_no_part_of_other_words() -> None:
    assert safe_text("the test of testing: test", ["test"]) == "the <token> of testing: <token>"
