"""pytest: an emulator that is empty for each test, and a client that talks to it.

pytest loads this by itself where the package is installed, and nothing else of it until a test asks for a fixture.

* `dfinery_emulator`: the emulator, with its assertions; for any kind of test.
* `dfinery_client`: a client of it, for tests of pytest-asyncio (in strict mode or not) and of anyio's plugin.
* `dfinery_environment`: sets the variables `DFINERY_…` for the test, for code that makes its client from them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from dfinery_async.client import DfineryClient
    from dfinery_async.emulator import Emulator

_LOOP_SCOPES = ("function", "class", "module", "package", "session")
_ASYNCIO = "_dfinery_client_on_{}_loop"
_ANYIO = "_dfinery_client_on_anyio"


def pytest_configure(config: pytest.Config) -> None:
    """Make the fixtures that pytest-asyncio has to run, where it is there."""
    asyncio_plugin = config.pluginmanager.get_plugin("asyncio")
    if asyncio_plugin is None or not hasattr(asyncio_plugin, "fixture"):
        return
    fixtures = ModuleType("dfinery_async_pytest_asyncio")
    for scope in _LOOP_SCOPES:
        name = _ASYNCIO.format(scope)
        setattr(fixtures, name, asyncio_plugin.fixture(loop_scope=scope, name=name)(_opened_function()))
    config.pluginmanager.register(fixtures, "dfinery-asyncio")


@pytest.fixture(scope="session")
def _dfinery_emulator_server() -> Iterator[Emulator]:  # pyright: ignore[reportUnusedFunction]  # asked for by name
    from dfinery_async.emulator import Emulator  # noqa: PLC0415  # whoever uses no fixture pays for nothing

    with Emulator(export_days=None) as emulator:
        yield emulator


@pytest.fixture
def dfinery_emulator(_dfinery_emulator_server: Emulator) -> Iterator[Emulator]:
    """The API on the loopback interface, empty and without faults; one server for the whole run.

    A call from an earlier test that is still waiting, in an injected latency for instance, is not carried out.
    """
    _dfinery_emulator_server.reset()
    yield _dfinery_emulator_server
    _dfinery_emulator_server.reset()


@pytest.fixture
def dfinery_environment(dfinery_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables that point `DfineryClient.from_env()` at the emulator, set for this test."""
    for name, value in dfinery_emulator.environment.items():
        monkeypatch.setenv(name, value)
    return dfinery_emulator.environment


@pytest.fixture
def dfinery_client(request: pytest.FixtureRequest, dfinery_emulator: Emulator) -> DfineryClient:
    """A client of the emulator, open for this test and closed in its event loop."""
    del dfinery_emulator  # begins before the client, and outlives it
    client: DfineryClient = request.getfixturevalue(_fixture_of(request))
    return client


def _fixture_of(request: pytest.FixtureRequest) -> str:
    """The fixture that is run by the plugin that runs the test."""
    marker = request.node.get_closest_marker("asyncio")
    if marker is not None:
        scope = marker.kwargs.get("loop_scope") or marker.kwargs.get("scope") or _default_scope(request.config)
        return _ASYNCIO.format(scope)
    # anyio runs whatever has its backend: by its mark, as an argument, by `usefixtures`, or by its mode `auto`.
    if request.node.get_closest_marker("anyio") is not None or "anyio_backend" in request.fixturenames:
        backend: str = request.getfixturevalue("anyio_backend_name")
        if backend != "asyncio":
            pytest.fail(
                f"dfinery_client runs on asyncio, and this test on {backend}: let a fixture named anyio_backend return "
                "'asyncio'",
                pytrace=False,
            )
        return _ANYIO
    pytest.fail(
        "dfinery_client is for async tests: mark the test with @pytest.mark.asyncio (pytest-asyncio) or "
        "@pytest.mark.anyio; a plain test can use dfinery_emulator and dfinery_environment",
        pytrace=False,
    )


def _default_scope(config: pytest.Config) -> str:
    try:
        return str(config.getini("asyncio_default_test_loop_scope") or "function")
    except (KeyError, ValueError):  # pytest-asyncio before 0.26 has no such option
        return "function"


async def _opened(dfinery_emulator: Emulator) -> AsyncGenerator[DfineryClient]:
    from dfinery_async.client import DfineryClient  # noqa: PLC0415  # see above

    async with DfineryClient(
        service_id=dfinery_emulator.service_id,
        import_token=dfinery_emulator.import_token,
        export_token=dfinery_emulator.export_token,
        base_url=dfinery_emulator.base_url,
    ) as client:
        yield client


def _opened_function() -> Any:
    """A function of its own for each fixture."""

    async def opened(dfinery_emulator: Emulator) -> AsyncGenerator[DfineryClient]:
        async for client in _opened(dfinery_emulator):
            yield client

    return opened


_dfinery_client_on_anyio = pytest.fixture(name=_ANYIO)(_opened)
