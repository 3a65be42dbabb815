"""The emulator itself: a server in a thread of its own, and the face that tests use."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfinery_async.emulator import state
from dfinery_async.emulator.api import Api
from dfinery_async.emulator.assertions import Assertions
from dfinery_async.emulator.desk import Desk
from dfinery_async.emulator.faults import FaultBoard
from dfinery_async.emulator.journal import Journal
from dfinery_async.emulator.saving import Saver
from dfinery_async.emulator.settings import Settings
from dfinery_async.emulator.store import Store
from dfinery_async.emulator.thread import ServerThread

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from dfinery_async.emulator.faults import Fault, FaultHandle
    from dfinery_async.emulator.profiles import Profile
    from dfinery_async.emulator.records import RequestRecord

_HOST = "127.0.0.1"
_BACKLOG = 2048
_WAIT_SECONDS = 10.0


class Emulator(Assertions):
    """A DFINERY API on this machine, in memory, for development and tests.

    It listens on the loopback interface only and runs in a thread of its own, so it also answers while the caller's
    event loop is blocked. Use it as a context manager, async or not, or with `start` and `stop`:

        async with Emulator(quota={"events": "100/1s"}) as emulator:
            client = DfineryClient(
                service_id=emulator.service_id, import_token=emulator.import_token, base_url=emulator.base_url
            )

    All properties and methods may be used from any thread.

    Args:
        settings: the switches as one value.
        switches: fields of `Settings` by keyword; they win over `settings`.

    Attributes:
        settings: the switches.
        import_token: an Import token that is valid from the start.
        export_token: an Export token that is valid from the start.
    """

    def __init__(self, *, settings: Settings | None = None, **switches: Any) -> None:
        self.settings: Settings = replace(settings or Settings(), **switches)
        self.import_token: str = self.settings.import_token or f"import-{secrets.token_urlsafe(18)}"
        self.export_token: str = self.settings.export_token or f"export-{secrets.token_urlsafe(18)}"
        self._store = Store(self.settings.seed)
        self._board = FaultBoard(self.settings.seed)
        self._api = Api(self.settings, self._store, self._board)
        self._journal = Journal(self.settings.keep_requests)
        self._port: int | None = None
        self._run: ServerThread | None = None
        self._reset_tokens()

    @property
    def base_url(self) -> str:
        """The address of the API, without a path.

        Raises:
            RuntimeError: the emulator has not been started.
        """
        if self._port is None:
            raise RuntimeError("the emulator has not been started")
        return f"http://{_HOST}:{self._port}"

    @property
    def service_id(self) -> str:
        """The id of the only service."""
        return self.settings.service_id

    @property
    def import_tokens(self) -> set[str]:
        """The valid Import tokens; add to the set or take away from it, as a reissue does."""
        return self._api.import_tokens

    @property
    def export_tokens(self) -> set[str]:
        """The valid Export tokens; add to the set or take away from it."""
        return self._api.export_tokens

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events that were stored, in order of arrival: as they were sent, with their "identity" beside."""
        return self._store.events()

    @property
    def profiles(self) -> list[Profile]:
        """The unified profiles as they are now, in order of creation."""
        return self._store.profiles()

    @property
    def requests(self) -> list[RequestRecord]:
        """The requests that were received, in order of their answers."""
        return self._journal.records()

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that point a client here."""
        return {
            "DFINERY_BASE_URL": self.base_url,
            "DFINERY_SERVICE_ID": self.service_id,
            "DFINERY_IMPORT_TOKEN": self.import_token,
            "DFINERY_EXPORT_TOKEN": self.export_token,
        }

    def inject(self, fault: Fault) -> FaultHandle:
        """Put a fault in the way of calls; the handle counts its hits and takes it away again."""
        return self._board.inject(fault)

    def reset(self) -> None:
        """Forget all events, profiles, requests, used quota, faults and changes of tokens; the server stays up."""
        self._api.generation += 1
        self._board.reset()
        self._store.reset()
        self._api.limiter.reset()
        self._reset_tokens()
        self._journal.clear()

    def start(self) -> Self:
        """Start the server; returns when it answers.

        Raises:
            ImportError: the packages of the extra `emulator` are not installed.
            OSError: the port is taken.
            RuntimeError: the emulator runs already.
            ValueError: the file of `state` can't be read.
        """
        self._launch().result(_WAIT_SECONDS)
        return self

    def stop(self) -> None:
        """Stop the server and wait for its thread; does nothing when it does not run.

        Raises:
            OSError: the file of `state` can't be written.
        """
        run, self._run = self._run, None
        if run is not None:
            run.signal_stop()
            run.finished.result(_WAIT_SECONDS)
            run.thread.join()

    def wait(self) -> None:
        """Wait until the server has stopped."""
        run = self._run
        # In slices, so that Ctrl-C gets through on every system.
        while run is not None and run.thread.is_alive():
            run.thread.join(0.5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        started = self._launch()
        try:
            await asyncio.wrap_future(started)
        except asyncio.CancelledError:
            self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.signal_stop()
            async with asyncio.timeout(_WAIT_SECONDS):
                await asyncio.wrap_future(run.finished)
            # The thread ends right after its future is set: joining it does not hold up the caller's loop.
            run.thread.join()

    def _reset_tokens(self) -> None:
        for tokens, first in ((self.import_tokens, self.import_token), (self.export_tokens, self.export_token)):
            tokens.clear()
            tokens.add(first)

    def _launch(self) -> Future[None]:
        if self._run is not None and self._run.thread.is_alive():
            raise RuntimeError("the emulator runs already")
        _require_packages()
        listener = _listen(self.settings.port)
        self._port = listener.getsockname()[1]
        self._run = ServerThread(self._serve, listener)
        return self._run.started

    async def _serve(self, listener: socket.socket, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        # Here, so that the package can be imported without the extra, and quickly.
        from dfinery_async.emulator.app import App  # noqa: PLC0415
        from dfinery_async.emulator.pages import pages  # noqa: PLC0415
        from dfinery_async.emulator.wire import serve  # noqa: PLC0415

        path = Path(self.settings.state) if self.settings.state is not None else None
        if path is not None and path.exists():
            state.load(self._store, path)
        desk = Desk(
            api=self._api,
            board=self._board,
            journal=self._journal,
            store=self._store,
            address=self.base_url,
            environment=self.environment,
            reset=self.reset,
        )
        app = App(self._api, self._board, record=self._journal.add, pages=pages(desk), stop=stop)
        if path is None:
            await serve(app, listener, self.settings.keep_alive, stop, ready)
            return
        saver = Saver(self._store, path)
        saving = asyncio.create_task(saver.while_running())
        try:
            await serve(app, listener, self.settings.keep_alive, stop, ready)
        finally:
            saver.end()
            await saving
        saver.finish()


def _listen(port: int) -> socket.socket:
    # asyncio switches Nagle's algorithm off only for sockets that name their protocol; with it, an answer of several
    # parts waits 40 ms for an acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _require_packages() -> None:
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"the emulator needs {', '.join(missing)}: install it with pip install 'dfinery-async[emulator]'"
        )
