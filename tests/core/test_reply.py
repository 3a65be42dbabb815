"""Replies are read as tolerantly as the vendor's pages disagree, and nothing that is sent back can hurt."""

from __future__ import annotations

import json
from typing import Any

import pytest
import samples
from hypothesis import given, strategies as st

from dfinery_async.core.reply import Envelope, read_envelope, read_export_failure

OK = Envelope(status=True, code=20000, message="OK")


def body(**fields: Any) -> bytes:
    return json.dumps({"status": True, "code": 20000, "message": "OK", "data": None} | fields).encode()


@pytest.mark.parametrize(
    ("sample", "envelope"),
    [
        (samples.OK_WITH_TEXT_CODE, OK),
        (samples.OK_WITH_NUMBER_CODE, OK),
        (samples.TOO_MANY_EVENTS, Envelope(status=False, code=40402, message="TOO_MANY_EVENTS")),
        (samples.VALIDATION_FAILURE, Envelope(status=False, code=40001, message="VALIDATION_FAILURE")),
        (samples.INTERNAL_SERVER_ERROR, Envelope(status=False, code=50000, message="INTERNAL_SERVER_ERROR")),
    ],
)
def test_the_vendors_samples_are_read(sample: bytes, envelope: Envelope) -> None:
    assert read_envelope(sample) == envelope


@pytest.mark.parametrize("data", [None, True, False, 0, 1.5, "x", [], [{"a": [1]}], {"status": False, "code": 50000}])
def test_data_may_be_anything(data: Any) -> None:
    assert read_envelope(body(data=data)) == OK


@pytest.mark.parametrize(
    "text",
    [
        b'{"code":20000,"status":true,"message":"OK"}',
        b'\r\n\t {"status" : true , "code" : "20000" , "message" : "OK" } \n',
        b'{"status":true,"code":"020000","message":"OK"}',
        b'{"status":true,"code":20000,"message":"OK","trace":{"a":[]},"timestamp":1}',
        b'{"\\u0073tatus":true,"code":20000,"message":"\\u004fK"}',
    ],
)
def test_order_space_and_further_fields_do_not_matter(text: bytes) -> None:
    assert read_envelope(text) == OK


@pytest.mark.parametrize("message", [None, 1, [], {}, True])
def test_a_message_that_is_no_text_is_none(message: Any) -> None:
    assert read_envelope(body(message=message)) == Envelope(status=True, code=20000, message="")


def test_the_message_may_be_missing() -> None:
    assert read_envelope(b'{"status":true,"code":20000}') == Envelope(status=True, code=20000, message="")


@pytest.mark.parametrize("status", [None, 1, 0, "true", "false", "", [], {}, 1.0])
def test_a_status_that_is_no_boolean_is_not_believed(status: Any) -> None:
    assert read_envelope(body(status=status)) is None


@pytest.mark.parametrize(
    "code",
    [
        None,
        True,
        20000.0,
        "",
        " 20000",
        "20000 ",
        "+20000",
        "-20000",
        "20,000",
        "20_000",
        "2e4",
        "20000.0",
        "OK",
        "2000\u0660",
        "2000\u00b2",
        "1" * 10,
        "1" * 5000,
        [20000],
        {},
    ],
)
def test_a_code_that_is_no_number_is_not_believed(code: Any) -> None:
    assert read_envelope(body(code=code)) is None


DEEP = 100_000
NOT_THE_APIS = [
    b"",
    b" ",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b'"OK"',
    b"20000",
    b"OK",
    b"<!doctype html><html><title>Sign in</title></html>",
    b"{",
    b'{"status":true,"code":20000',
    b'{"status":true,"code":20000}}',
    b'{"status":true,"code":20000}{"status":true,"code":20000}',
    b'{"status":true,"code":20000}\x00',
    b'{"status":true,"code":20000,}',
    b"{'status':true,'code':20000}",
    b'{"status":True,"code":20000}',
    b'{"status":true,"code":20000 /* fine */}',
    b'{"status":true,"code":NaN}',
    b'{"status":true,"code":1e999}',
    b'{"status":true,"code":0x4e20}',
    b'{"status":true,"code":' + b"9" * 5000 + b"}",
    b'{"status":true,"code":20000,"message":"\xff\xfe"}',
    b'{"status":true,"code":20000,"message":"\\ud800"}',
    b'{"status":true,"code":20000,"message":"a\nb"}',
    b' \xef\xbb\xbf{"status":true,"code":20000}',
    '{"status":true,"code":20000}'.encode("utf-16"),
    '{"status":true,"code":20000}'.encode("utf-16-le"),
    b'[{"status":true,"code":20000}]',
    b'{"result":{"status":true,"code":20000}}',
    b'{"Status":true,"Code":20000}',
    b'{"status":false,"status":null,"code":20000}',
    b"[" * DEEP,
    b'{"data":' * DEEP,
    b'{"status":true,"code":20000,"data":' + b"[" * DEEP + b"]" * DEEP + b"}",
    b'{"status":true,"code":' + b"[" * DEEP + b"]" * DEEP + b"}",
    b'{"message":' * DEEP + b"1" + b"}" * DEEP,
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
    bytes(range(256)),
]


@pytest.mark.parametrize("text", NOT_THE_APIS, ids=lambda text: repr(text[:40]))
def test_what_is_not_the_apis_is_no_envelope_and_no_failure(text: bytes) -> None:
    assert read_envelope(text) is None
    assert read_export_failure(text) is None


@given(st.binary())
def test_any_bytes_can_be_read(text: bytes) -> None:
    read_envelope(text)
    read_export_failure(text)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("no profile of kim.minsu@example.com", "no profile of <e-mail>"),
        ("phone 821012345678 is taken", "phone <number> is taken"),
        ("\x1b[31mBAD\x1b[0m\r\nX", "[31mBAD [0m X"),
        ("x" * 1_000_000, f"{'x' * 199}…"),
        ("", ""),
    ],
    ids=["e-mail", "phone", "escapes", "a megabyte", "empty"],
)
def test_a_message_is_cleaned(message: str, shown: str) -> None:
    envelope = read_envelope(body(status=False, code=40001, message=message))

    assert envelope == Envelope(status=False, code=40001, message=shown)
    assert read_export_failure(json.dumps({"result": "fail", "message": message}).encode()) == shown


@pytest.mark.parametrize(
    ("sample", "message"),
    [(samples.EXPORT_DATE_RANGE, "exceed_date_range_limit"), (samples.EXPORT_UNKNOWN_ERROR, "unknown_error")],
)
def test_a_failed_export_is_read(sample: bytes, message: str) -> None:
    assert read_export_failure(sample) == message


@pytest.mark.parametrize(
    "text",
    [
        b'{"result":"ok","message":"unknown_error"}',
        b'{"result":"FAIL","message":"unknown_error"}',
        b'{"result":true,"message":"unknown_error"}',
        b'{"result":"fail"}',
        b'{"result":"fail","message":null}',
        b'{"result":"fail","message":1}',
        b'{"message":"unknown_error"}',
        b"df_unified_id,df_gender\nAb3dE9k,Male\n",
        b'"result","fail"\n"message","unknown_error"\n',
    ],
)
def test_what_is_no_failed_export_is_none(text: bytes) -> None:
    assert read_export_failure(text) is None
