"""The pytest plugin, in runs of their own: with pytest-asyncio in strict mode, with anyio's plugin, with neither."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

pytest_plugins = ["pytester"]

# Other plugins that are here, and take long to load.
NOT_NEEDED = [f"-pno:{name}" for name in ("hypothesispytest", "respx", "timeout", "xdist", "schemathesis")]
INI = """
    [pytest]
    asyncio_mode = strict
    asyncio_default_fixture_loop_scope = function
"""
STRICT = """
    import pytest

    pytestmark = pytest.mark.asyncio

    async def test_one(dfinery_emulator, dfinery_client):
        await dfinery_client.send_events("u1", ["df_login"])
        dfinery_emulator.assert_event("df_login", identity="u1")

    async def test_another_begins_empty(dfinery_emulator, dfinery_client):
        dfinery_emulator.assert_no_event()
        assert dfinery_emulator.requests == []
        async with dfinery_client.producer() as producer:
            await producer.track("u2", "df_logout")
        dfinery_emulator.assert_names(["df_logout"])

    @pytest.mark.asyncio(loop_scope="session")
    async def test_on_the_loop_of_the_session(dfinery_emulator, dfinery_client):
        await dfinery_client.send_events("u1", ["df_login"])
        dfinery_emulator.assert_event("df_login")

    @pytest.mark.asyncio(loop_scope="module")
    class TestInAClass:
        async def test_on_the_loop_of_the_module(self, dfinery_emulator, dfinery_client):
            await dfinery_client.send_events("u1", ["df_login"])
            dfinery_emulator.assert_event("df_login")
"""
ANYIO = """
    import pytest

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    pytestmark = pytest.mark.anyio

    async def test_one(dfinery_emulator, dfinery_client):
        await dfinery_client.send_events("u1", ["df_login"])
        dfinery_emulator.assert_event("df_login", identity="u1")

    async def test_another_begins_empty(dfinery_emulator, dfinery_client):
        dfinery_emulator.assert_no_event()
        async with dfinery_client.producer() as producer:
            await producer.track("u2", "df_logout")
        dfinery_emulator.assert_names(["df_logout"])
"""
PLAIN = """
    import asyncio

    import httpx

    from dfinery_async import DfineryClient
    from dfinery_async.emulator import Fault

    async def send():
        async with DfineryClient.from_env() as client:
            await client.send_events("u1", ["df_login"])

    def test_by_the_environment(dfinery_emulator, dfinery_environment):
        asyncio.run(send())
        dfinery_emulator.assert_event("df_login")
        dfinery_emulator.inject(Fault("hang"))

    def test_faults_are_gone(dfinery_emulator, dfinery_environment, monkeypatch):
        asyncio.run(send())
        assert len(dfinery_emulator.requests) == 1

    def test_the_environment_is_as_before():
        import os
        assert "DFINERY_BASE_URL" not in os.environ
"""


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    for name in ("BASE_URL", "SERVICE_ID", "IMPORT_TOKEN", "EXPORT_TOKEN"):
        monkeypatch.delenv(f"DFINERY_{name}", raising=False)


def run(pytester: pytest.Pytester, code: str, *options: str, ini: str = "") -> pytest.RunResult:
    pytester.makepyfile(test_it=code)
    pytester.makeini(INI + ini)
    return pytester.runpytest_subprocess("-W", "error", *NOT_NEEDED, *options)


def test_the_plugin_is_installed() -> None:
    found = entry_points(group="pytest11", name="dfinery")

    assert [point.value for point in found] == ["dfinery_async.integrations.pytest_plugin"], (
        "install the project again: its entry points have changed"
    )


def test_with_pytest_asyncio_in_strict_mode(pytester: pytest.Pytester) -> None:
    run(pytester, STRICT).assert_outcomes(passed=4)


def test_with_the_loop_of_the_session_for_all(pytester: pytest.Pytester) -> None:
    ini = "    asyncio_default_test_loop_scope = session\n"

    run(pytester, STRICT, ini=ini).assert_outcomes(passed=4)


@pytest.mark.parametrize("options", [["-p", "no:asyncio", "-W", "ignore"], []], ids=["alone", "beside asyncio"])
def test_with_anyio(pytester: pytest.Pytester, options: list[str]) -> None:
    run(pytester, ANYIO, *options).assert_outcomes(passed=2)


ANYIO_AUTO = ANYIO.replace("pytestmark = pytest.mark.anyio", "")
ANYIO_ASKED_FOR = """
    import pytest

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    async def test_by_an_argument(anyio_backend, dfinery_emulator, dfinery_client):
        await dfinery_client.send_events("u1", ["df_login"])
        dfinery_emulator.assert_event("df_login", identity="u1")

    @pytest.mark.usefixtures("anyio_backend")
    async def test_by_usefixtures(dfinery_emulator, dfinery_client):
        await dfinery_client.send_events("u1", ["df_login"])
        dfinery_emulator.assert_event("df_login", identity="u1")
"""


def test_with_anyio_in_auto_mode(pytester: pytest.Pytester) -> None:
    run(pytester, ANYIO_AUTO, ini="    anyio_mode = auto\n").assert_outcomes(passed=2)


def test_with_anyio_without_its_mark(pytester: pytest.Pytester) -> None:
    run(pytester, ANYIO_ASKED_FOR).assert_outcomes(passed=2)


def test_in_plain_tests(pytester: pytest.Pytester) -> None:
    run(pytester, PLAIN).assert_outcomes(passed=3)


WRONG = """
    import pytest

    @pytest.fixture
    def anyio_backend_name():
        return "trio"

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    @pytest.mark.anyio
    async def test_on_trio(dfinery_client): ...

    def test_not_async(dfinery_client): ...

    def test_nothing_came(dfinery_emulator):
        dfinery_emulator.assert_event("df_login", identity="u1")
"""


def test_what_is_wrong_says_so(pytester: pytest.Pytester) -> None:
    result = run(pytester, WRONG)

    result.assert_outcomes(errors=2, failed=1)
    for line in [
        "*dfinery_client runs on asyncio, and this test on trio*",
        "*dfinery_client is for async tests: mark the test with*",
        "E * No event fits:",
        "E * name: df_login",
        "E *No event has arrived.",
    ]:
        result.stdout.fnmatch_lines([line])
    result.stdout.no_fnmatch_line("*emulator/assertions.py*")


LIGHT = """
    import sys

    def test_it():
        assert sys.modules.keys() & {"httpx", "msgspec", "starlette", "uvicorn"} == set()
        ours = {name for name in sys.modules if name.startswith("dfinery_async")}
        assert ours == {"dfinery_async", "dfinery_async.integrations", "dfinery_async.integrations.pytest_plugin"}
"""


def test_a_run_without_it_pays_for_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=LIGHT)

    result = pytester.runpytest_subprocess("-W", "error", *NOT_NEEDED, "-pno:asyncio", "-pno:anyio")

    result.assert_outcomes(passed=1)
