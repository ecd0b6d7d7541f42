"""Starts bqemulator the way this stack needs it: `python -m local._bqemulator <pause>`.

pause: seconds that each page of a result is kept back, as by a network.
Prints one line on stdout, `ready <port>`, once the REST port answers, and ends when its stdin
closes: that happens when the parent stops it and when the parent dies, however it dies, on every
operating system.
"""

import asyncio
import functools
import gc
import logging
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import duckdb

SPATIAL_MISSING = (
    "BigQuery emulator: DuckDB's `spatial` extension could not be downloaded; "
    "everything but GEOGRAPHY works without it."
)
SPATIAL_SECONDS = (
    20  # a few MB on a slow line; behind a firewall that drops packets nobody should wait longer
)

REMEMBERED_TEXTS = 200  # trees of the statements in use, of at most a megabyte each


class Spatial(threading.Thread):
    """Puts DuckDB's `spatial` extension into its cache while the main thread imports the emulator:
    seconds each.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.available = False

    def run(self) -> None:
        """Download only what the cache does not hold."""
        connection = duckdb.connect()
        try:
            connection.execute("LOAD spatial")
        except duckdb.Error:
            self._install(connection)
        else:
            self.available = True

    def _install(self, connection: duckdb.DuckDBPyConnection) -> None:
        try:
            connection.execute("INSTALL spatial")
            self.available = True
        except duckdb.Error:
            self.available = False

    def load_into(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Load the extension, or say once that there is none: the emulator itself would refuse to
        start.
        """
        self.join(SPATIAL_SECONDS)
        if self.available:
            connection.execute("LOAD spatial")
        else:
            print(SPATIAL_MISSING, file=sys.stderr, flush=True)


class _NoGrpc:
    """Stands where the gRPC server would:
    the stack reads over REST only, and needs one port less.
    """

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self, grace: float) -> None:
        """Nothing to stop."""


class _Brief(logging.Formatter):
    """An error of the emulator in one line: its tracebacks through the web framework run to
    hundreds.
    """

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        return f"{ei[0].__name__}: {ei[1]}"


def _tolerant(read: Callable[..., Any]) -> Callable[..., Any]:
    """A null in a dataset's JSON means that it is not there, as in all of Google's APIs; the
    emulator answers 500.
    """

    def read_without_nulls(project: str, body: dict[str, Any], *rest: Any, **named: Any) -> Any:
        return read(
            project,
            {key: value for key, value in body.items() if value is not None},
            *rest,
            **named,
        )

    return read_without_nulls


def _remembering(parse: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Parse each text once: the emulator parses a statement some twenty times before it runs it.

    The callers change what they get, so each gets a copy, which costs a fifth of parsing.
    """

    @functools.lru_cache(maxsize=REMEMBERED_TEXTS)
    def parse_once(dialect: Any, sql: str, options: tuple[tuple[str, Any], ...]) -> list[Any]:
        return parse(dialect, sql, **dict(options))

    def parse_or_copy(dialect: Any, sql: str, **options: Any) -> list[Any]:
        statements = parse_once(dialect, sql, tuple(options.items()))
        return [statement and statement.copy() for statement in statements]

    return parse_or_copy


def _translated_once(translate: Callable[..., Any]) -> Callable[..., Any]:
    """Translate each text once. The values of its parameters are put in after that."""

    translations: OrderedDict[tuple[str, str, str], Any] = OrderedDict()

    def translate_once(
        translator: Any, sql: str, *, schema: Any = None, caller: Any = None, **rest: Any
    ) -> Any:
        key = (sql, repr(schema), repr(caller))
        if key not in translations:
            translations[key] = translate(translator, sql, schema=schema, caller=caller, **rest)
        translations.move_to_end(key)
        if len(translations) > REMEMBERED_TEXTS:
            translations.popitem(last=False)
        return translations[key]

    return translate_once


class _Aside:
    """Serves the pages of results after `pause` seconds, and everything else in an event loop of
    its own.

    The emulator runs its queries inside its event loop and answers nobody meanwhile; BigQuery does
    both at once.
    """

    def __init__(self, app: Callable[..., Any], pause: float) -> None:
        self._app = app
        self._pause = pause
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        if scope["type"] != "http" or (scope["method"] == "GET" and "/queries/" in scope["path"]):
            await asyncio.sleep(self._pause)
            await self._app(scope, receive, send)
            return
        here = asyncio.get_running_loop()
        aside = self._app(scope, _called_in(here, receive), _called_in(here, send))
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(aside, self._loop))


def _called_in(loop: asyncio.AbstractEventLoop, call: Callable[..., Any]) -> Callable[..., Any]:
    """A coroutine function that runs in that event loop, whichever it is called from."""

    async def called(*arguments: Any) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(*arguments), loop))

    return called


async def _serve(spatial: Spatial, pause: float) -> None:
    from bqemulator.config import LogFormat, LogLevel, Settings
    from bqemulator.observability.logging_ import configure_logging

    configure_logging(
        level=LogLevel.CRITICAL, fmt=LogFormat.CONSOLE
    )  # first of all: importing the rest logs already
    from bqemulator import server
    from bqemulator.api import app
    from bqemulator.api.routes import datasets
    from bqemulator.jobs import executor
    from bqemulator.sql.translator import SQLTranslator
    from bqemulator.storage.engine import DuckDBEngine
    from sqlglot.dialects.dialect import Dialect

    patched_translator: Any = SQLTranslator
    patched_translator.translate = _translated_once(SQLTranslator.translate)
    patched_executor: Any = executor
    remember = functools.lru_cache(REMEMBERED_TEXTS)
    patched_executor.rewrite_table_refs = remember(patched_executor.rewrite_table_refs)
    patched_dialect: Any = Dialect
    patched_dialect.parse = _remembering(Dialect.parse)
    patched_engine: Any = DuckDBEngine
    patched_engine._load_spatial = lambda engine: spatial.load_into(engine.connection)
    patched_server: Any = server
    patched_server.build_grpc_server = lambda _context: (_NoGrpc(), 0)
    patched_server.create_app = lambda context: _Aside(app.create_app(context), pause)
    patched_datasets: Any = datasets
    patched_datasets._rest_to_dataset_meta = _tolerant(datasets._rest_to_dataset_meta)
    settings = Settings(rest_port=0, enable_format_extensions=False, log_level=LogLevel.CRITICAL)
    emulator = server.EmulatorServer(settings)
    await emulator.start()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    gc.enable()
    print(f"ready {emulator.rest_port}", flush=True)
    os.dup2(
        sys.stderr.fileno(), sys.stdout.fileno()
    )  # nobody reads stdout from here on, and a full pipe would block
    await asyncio.Event().wait()


def _exit_with_parent() -> None:
    """Block until stdin closes, then leave at once: everything is in memory, so there is nothing
    to tidy up.
    """
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Run until stdin closes."""
    brief = logging.StreamHandler()
    brief.setFormatter(_Brief("BigQuery emulator: %(message)s"))
    logging.getLogger("uvicorn").addHandler(brief)
    gc.disable()  # nothing is dropped while modules load; saves a tenth of the start-up
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    spatial = Spatial()
    spatial.start()
    asyncio.run(_serve(spatial, float(sys.argv[1])))


if __name__ == "__main__":
    main()
