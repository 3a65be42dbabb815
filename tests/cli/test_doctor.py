from __future__ import annotations

import http.server
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import certifi
import pytest
import trustme
from cli_kit import on_a_terminal

from dfinery_async.cli import doctor as doctor_module
from dfinery_async.config import TimeoutConfig
from dfinery_async.emulator import Emulator, Fault

SECRETS = ("hunter2", "made-up-by")


@pytest.fixture
def doctor(dfinery, monkeypatch):
    """Run the command: its exit code, the object it prints, and the results by name."""

    def call(*arguments, env=None):
        for name, value in (env or {}).items():
            monkeypatch.setenv(name, value)
        code, output, errors = dfinery("doctor", *arguments, "--json")
        assert errors == ""
        assert not any(secret in output for secret in SECRETS)
        found = json.loads(output)
        for check in found["checks"]:
            assert list(check) == ["name", "result", "detail", "remedy"]
            assert bool(check["remedy"]) == (check["result"] in {"failed", "warning"})
        return code, found, {check["name"]: check for check in reversed(found["checks"])}

    return call


def results(checks):
    return {name: check["result"] for name, check in checks.items()}


def test_all_is_well(doctor, emulator):
    code, found, checks = doctor()

    assert code == 0
    assert results(checks) == {
        "settings": "ok",
        "name": "ok",
        "connection": "ok",
        "TLS": "not checked",
        "import token": "ok",
        "export token": "not checked",
        "clock": "ok",
        "quota": "ok",
    }
    assert found["quota"]["events"]["remaining"] == 999_999
    assert found["quota"]["exports"] is None
    assert list(found["seconds"]) == ["resolve", "connect", "tls", "answer"]
    assert (found["seconds"]["tls"], found["skew"], found["expires_at"]) == (None, 0.0, None)


def test_nothing_is_changed(doctor, emulator):
    doctor("--exports")

    assert (emulator.events, list(emulator.profiles)) == ([], [])
    assert [(request.family, request.event_count) for request in emulator.requests] == [("events", 0)] * 2 + [
        ("exports", 0)
    ] * 2


def test_the_export_token_is_checked_when_asked_for(doctor, emulator):
    code, found, checks = doctor("--exports")

    assert (code, checks["export token"]["result"]) == (0, "ok")
    assert found["quota"]["exports"]["remaining"] == 99
    code, _, checks = doctor("--exports", env={"DFINERY_EXPORT_TOKEN": "hunter2"})
    assert (code, checks["import token"]["result"], checks["export token"]["result"]) == (3, "ok", "failed")


@pytest.mark.parametrize(
    ("setting", "name"), [("DFINERY_IMPORT_TOKEN", "import token"), ("DFINERY_SERVICE_ID", "service id")]
)
def test_a_refusal(doctor, emulator, setting, name):
    code, _, checks = doctor(env={setting: "hunter3"})

    assert (code, checks[name]["result"]) == (3, "failed")
    assert "check" in checks[name]["remedy"]


def test_missing_settings(doctor):
    code, found, _ = doctor("--exports")

    assert code == 2
    assert [check["result"] for check in found["checks"]] == ["failed"] * 3
    assert "set DFINERY_SERVICE_ID" in found["checks"][0]["remedy"]
    assert "set DFINERY_IMPORT_TOKEN" in found["checks"][1]["remedy"]
    assert "set DFINERY_EXPORT_TOKEN" in found["checks"][2]["remedy"]
    assert found["quota"] == dict.fromkeys(["events", "identities", "profiles", "exports"])


@pytest.mark.parametrize(
    ("env", "arguments"),
    [
        ({"DFINERY_IMPORT_TOKEN": "hunter2 hunter2"}, []),
        ({}, ["--base-url", "http://example.com"]),
        ({}, ["--base-url", "nowhere"]),
        ({}, ["--service-id", "a&b"]),
        ({}, ["--import-token-file", "no-such-file"]),
    ],
)
def test_settings_that_will_not_do(doctor, emulator, env, arguments):
    code, _, checks = doctor(*arguments, env=env)

    assert (code, results(checks)) == (2, {"settings": "failed"})
    assert emulator.requests == []


def test_nobody_listens(doctor, emulator):
    with socket.socket() as listener:  # bound, but it does not listen: connections are refused
        listener.bind(("127.0.0.1", 0))
        code, found, checks = doctor("--exports", "--base-url", f"http://127.0.0.1:{listener.getsockname()[1]}")

    assert code == 4
    assert results(checks) == {
        "settings": "ok",
        "name": "ok",
        "connection": "failed",
        "TLS": "not checked",
        "import token": "not checked",
        "export token": "not checked",
        "clock": "not checked",
        "quota": "not checked",
    }
    assert found["seconds"]["answer"] is None


def test_a_name_that_is_not_known(doctor, emulator):
    code, _, checks = doctor("--base-url", "https://no.such.name.invalid")

    assert (code, checks["name"]["result"], checks["connection"]["result"]) == (4, "failed", "not checked")


@pytest.mark.parametrize(
    ("fault", "code", "result"),
    [
        (Fault("html"), 4, "failed"),
        (Fault("redirect", location="https://example.com/"), 4, "failed"),
        (Fault("status", status=404, body="html"), 4, "failed"),
        (Fault("status", status=503), 1, "warning"),
        (Fault("code", code=50000), 1, "warning"),
        (Fault("throttle", seconds=900.0), 1, "warning"),
        (Fault("reset"), 4, "failed"),
    ],
)
def test_trouble_with_the_answer(doctor, emulator, fault, code, result):
    emulator.inject(fault)
    got, _, checks = doctor()

    assert (got, checks["import token"]["result"]) == (code, result)


def test_an_api_that_never_answers(doctor, emulator, monkeypatch):
    monkeypatch.setattr(doctor_module, "_TIMEOUTS", TimeoutConfig(read=0.2))
    emulator.inject(Fault("hang"))
    code, _, checks = doctor()

    assert (code, checks["import token"]["result"], checks["clock"]["result"]) == (4, "failed", "not checked")


def test_a_quota_that_is_used_up(doctor, monkeypatch):
    with Emulator(quota={"events": "1/1H"}) as emulator:
        code, found, checks = doctor(env=emulator.environment)

    assert (code, checks["quota"]["result"]) == (1, "warning")
    assert found["quota"]["events"]["remaining"] == 0


def test_an_answer_that_tells_no_quota(doctor):
    with Emulator(limit_headers="none") as emulator:
        code, found, checks = doctor(env=emulator.environment)

    assert (code, checks["quota"]["result"]) == (0, "not checked")
    assert "1,000,000" in checks["quota"]["detail"]
    assert found["quota"]["events"] is None


@pytest.mark.parametrize(("ahead", "words"), [(-3600, "ahead of"), (3600, "behind")])
def test_a_clock_that_is_off(doctor, ahead, words):
    with Emulator(clock=lambda: time.time() + ahead) as emulator:
        code, found, checks = doctor(env=emulator.environment)

    assert (code, checks["clock"]["result"]) == (1, "warning")
    assert words in checks["clock"]["detail"]
    assert found["skew"] == pytest.approx(-ahead, abs=60)


# --- an API of our own: TLS, and another order of checks


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = b'{"status":false,"code":"40001","message":"VALIDATION_FAILURE","data":true}'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Api(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing where a connection was reset: it is the command's standard error that is looked at."""


@contextmanager
def answering(context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run an API that refuses every body before it looks at a token."""
    server = Api(("127.0.0.1", 0), Answers)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"{'http' if context is None else 'https'}://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def made_up_settings(monkeypatch):
    monkeypatch.setenv("DFINERY_SERVICE_ID", "svc")
    monkeypatch.setenv("DFINERY_IMPORT_TOKEN", "hunter2")


def test_what_is_not_proven_is_not_claimed(doctor, made_up_settings):
    with answering() as url:
        code, _, checks = doctor("--base-url", url)

    assert (code, checks["import token"]["result"]) == (0, "not checked")
    assert "nothing is proven" in checks["import token"]["detail"]


@pytest.mark.parametrize("known", [True, False])
def test_the_certificate(doctor, made_up_settings, monkeypatch, tmp_path, known):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusted = tmp_path / "ca.pem"
    (authority if known else trustme.CA()).cert_pem.write_to_path(str(trusted))
    monkeypatch.setattr(certifi, "where", lambda: str(trusted))
    with answering(context) as url:
        code, found, checks = doctor("--base-url", url)

    if known:
        assert (code, checks["TLS"]["result"]) == (0, "ok")
        assert "certificate for localhost, until " in checks["TLS"]["detail"]
        assert found["expires_at"] is not None
    else:
        assert (code, checks["TLS"]["result"], checks["connection"]["result"]) == (4, "failed", "ok")
        assert "certificate is not trusted" in checks["TLS"]["detail"]


def test_a_certificate_that_is_about_to_expire(doctor, made_up_settings, monkeypatch, tmp_path):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    soon = doctor_module._now() + doctor_module._EXPIRY / 2
    authority.issue_cert("localhost", not_after=soon).configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setattr(certifi, "where", lambda: str(tmp_path / "ca.pem"))
    with answering(context) as url:
        code, _, checks = doctor("--base-url", url)

    assert (code, checks["TLS"]["result"]) == (1, "warning")


# --- for people


def test_lines_for_people(emulator):
    code, drawn = on_a_terminal(80, emulator.environment, "doctor", "--exports", results=True)
    output = "\n".join(drawn)

    assert code == 0
    heads = [line.split()[:3] for line in output.splitlines() if line and not line.startswith(" ")]
    assert heads[0] == ["+", "ok", "settings"]
    assert ["-", "not", "checked"] in heads
    assert max(map(len, output.splitlines())) <= 80
    assert emulator.import_token not in output
    assert emulator.export_token not in output


def test_a_failure_for_people(dfinery, emulator, monkeypatch):
    monkeypatch.setenv("DFINERY_IMPORT_TOKEN", "hunter2")
    code, output, errors = dfinery("doctor")

    assert (code, errors) == (3, "")
    assert "x failed       import token  refused: 40201 INVALID_TOKEN; check the token" in output
    assert "hunter2" not in output
