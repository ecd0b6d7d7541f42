"""Starts bqemulator the way this stack needs it: `python -m local._bqemulator <pause> <threads>`.

pause: seconds that each page of a result is kept back, as by a network.
threads: of DuckDB; 0 for as many as there are cores.
Prints one line on stdout, `ready <port>`, once the REST port answers, and ends when its stdin
closes: that happens when the parent stops it and when the parent dies, however it dies, on every
operating system.
"""

import asyncio
import functools
import gc
import logging
import os
import re
import sys
import threading
from collections.abc import Callable
from typing import Any

import duckdb

from local import _bqemulator_engine, _bqemulator_json
from local._bqemulator_memory import remember_texts
from local._bqemulator_requests import Aside

SPATIAL_MISSING = (
    "BigQuery emulator: DuckDB's `spatial` extension could not be downloaded; "
    "everything but GEOGRAPHY works without it."
)
SPATIAL_SECONDS = (
    20  # a few MB on a slow line; behind a firewall that drops packets nobody should wait longer
)

BYTES_MACRO = """
CREATE OR REPLACE MACRO local_bytes(value) AS
  CASE TYPEOF(value) WHEN 'BLOB' THEN value::BLOB ELSE ENCODE(value::VARCHAR) END"""
UNKNOWN_COLUMN = re.compile(r'Referenced column "?([^"\s]+)"? not found')


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


def _keeping_case(qualify: Callable[..., Any]) -> Callable[..., Any]:
    """The members of a STRUCT keep the case of their names; the emulator makes small letters."""
    from sqlglot import expressions

    def qualified(tree: Any, **options: Any) -> Any:
        for member in tree.find_all(expressions.PropertyEQ):
            member.this.meta["case_sensitive"] = True
        return qualify(tree, **options)

    return qualified


def _encoding_texts(write_cast: Callable[..., str]) -> Callable[..., str]:
    """A CAST of a text to BYTES gives its UTF-8; DuckDB refuses all that is not ASCII."""
    from sqlglot.expressions import DType

    def write(generator: Any, cast: Any, *rest: Any, **options: Any) -> str:
        if cast.to.this in (DType.VARBINARY, DType.BINARY):
            return str(generator.func("LOCAL_BYTES", cast.this))
        return write_cast(generator, cast, *rest, **options)

    return write


def _naming_unknown_columns(translate: Callable[..., Any]) -> Callable[..., Any]:
    """BigQuery says "Unrecognized name: x at [1:8]"; the emulator passes on what DuckDB says."""

    def translate_error(exc: BaseException, **rest: Any) -> Any:
        error = translate(exc, **rest)
        found = UNKNOWN_COLUMN.search(str(exc))
        if found:
            error.args = (f"Unrecognized name: {found[1]} at [1:1]",)
            error.message = error.args[0]
        return error

    return translate_error


def _refusing_unknown_columns(insert: Callable[..., Any]) -> Callable[..., Any]:
    """BigQuery refuses a streamed row with a column that the table lacks; the emulator drops it."""

    @functools.wraps(insert)
    async def checked(
        project_id: str, dataset_id: str, table_id: str, request: Any, ctx: Any
    ) -> dict[str, Any]:
        table = ctx.catalog.get_table(project_id, dataset_id, table_id)
        rows = (await request.json()).get("rows", [])
        known = {field.name.lower() for field in table.schema_.fields} if table else None
        errors = [] if known is None else _unknown_columns(rows, known)
        if errors:
            return {"kind": "bigquery#tableDataInsertAllResponse", "insertErrors": errors}
        # A CREATE TABLE leaves a result open, and DuckDB refuses to register rows meanwhile.
        ctx.engine.execute("SELECT 1").fetchall()
        answer: dict[str, Any] = await insert(project_id, dataset_id, table_id, request, ctx)
        return answer

    return checked


def _unknown_columns(rows: list[dict[str, Any]], known: set[str]) -> list[dict[str, Any]]:
    """The errors in the form of the API: https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll"""
    found = []
    for index, row in enumerate(rows):
        errors = [
            {"reason": "invalid", "location": name, "message": f"no such field: {name}."}
            for name in row["json"]
            if name.lower() not in known
        ]
        if errors:
            found.append({"index": index, "errors": errors})
    return found


def _range_bucket(_rule: Any, node: Any) -> Any:
    """RANGE_BUCKET without nulls. The emulator writes a lambda that its DuckDB refuses."""
    from sqlglot import exp

    starts = node.expression.copy()
    smaller = exp.Lambda(
        this=exp.LTE(this=exp.column("sync_start"), expression=node.this.copy()),
        expressions=[exp.to_identifier("sync_start")],
        colon=True,
    )
    return exp.Anonymous(
        this="len", expressions=[exp.Anonymous(this="list_filter", expressions=[starts, smaller])]
    )


def _storing_new_columns(read: Callable[..., Any], context: Any) -> Callable[..., Any]:
    """A changed schema adds its columns to the stored rows, too; the emulator forgets these."""
    from bqemulator.storage.sql_identifiers import quoted_table_ref
    from bqemulator.storage.type_map import bq_schema_to_duckdb_columns

    def read_and_store(project: str, dataset: str, body: Any, clock: Any, *existing: Any) -> Any:
        meta = read(project, dataset, body, clock, *existing)
        before = {field.name for table in existing for field in table.schema_.fields}
        new = [f for f in body.get("schema", {}).get("fields", []) if f["name"] not in before]
        if existing and new:
            target = quoted_table_ref(project, dataset, meta.table_id)
            for name, kind in bq_schema_to_duckdb_columns(new):
                context.engine.execute(f'ALTER TABLE {target} ADD COLUMN "{name}" {kind}')
        return meta

    return read_and_store


def _showing_views(show: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """The API shows the query of a view; the emulator leaves it out."""

    def show_view(table: Any) -> dict[str, Any]:
        body = show(table)
        if table.view_query:
            body["view"] = {"query": table.view_query, "useLegacySql": False}
        return body

    return show_view


def _copying_on_demand(capture: Callable[..., Any]) -> Callable[..., Any]:
    """Copy a table for CREATE SNAPSHOT TABLE alone.

    The emulator copies it after each change, for FOR SYSTEM_TIME AS OF, which nobody here reads.
    """

    def capture_or_not(manager: Any, *path: str, kind: str = "AUTO") -> Any:
        return None if kind == "AUTO" else capture(manager, *path, kind=kind)

    return capture_or_not


WILDCARD = re.compile(r"FROM\s+`(?P<path>[^`]+)\*`(?P<alias>\s+AS\s+\w+)?", re.IGNORECASE)
SUFFIX_RANGE = re.compile(r"_TABLE_SUFFIX\s+BETWEEN\s+'([^']*)'\s+AND\s+'([^']*)'", re.IGNORECASE)
UNION = " UNION ALL BY NAME "
# A star that shows the columns of a wildcard, and perhaps others behind it.
STAR_OF_WILDCARD = re.compile(
    r"SELECT\s+\*(?P<more>(?:(?!\bFROM\b|\bSELECT\b)[^*])*FROM\s+`[^`]+\*`)", re.IGNORECASE
)


def _union_of_shards(expand: Callable[..., str]) -> Callable[..., str]:
    """Wildcards in backticks become a union by column names, as BigQuery reads them.

    The emulator joins columns by their places, prunes all wildcards of a text by the first range
    that it finds there, and shows _TABLE_SUFFIX as a column.
    """

    def expand_shards(sql: str, project: str, catalog: Any) -> str:
        ranges = SUFFIX_RANGE.findall(sql)

        def shard(path: str, suffix: str) -> str:
            return f"SELECT *, '{suffix}' AS _TABLE_SUFFIX FROM `{path}{suffix}`"

        def union(match: re.Match[str]) -> str:
            *folders, beginning = match["path"].split(".")
            held = catalog.list_storage_tables(folders[0] if folders[1:] else project, folders[-1])
            shards = sorted(name for name in held if name.startswith(beginning))
            suffixes = [name.removeprefix(beginning) for name in shards]
            read = [s for s in suffixes if any(low <= s <= high for low, high in ranges)]
            if not suffixes:
                return match[0]
            chosen = read if ranges else suffixes
            parts = [shard(match["path"], suffix) for suffix in chosen]
            # For the columns where nothing is read. It is always a union.
            parts += [f"{shard(match['path'], suffixes[-1])} WHERE FALSE"] * 2
            alias = match["alias"] or " AS shards"
            return f"FROM ({UNION.join(parts)}){alias}"

        hidden = STAR_OF_WILDCARD.sub(r"SELECT * EXCEPT (_TABLE_SUFFIX)\g<more>", sql)
        return expand(WILDCARD.sub(union, hidden), project, catalog)

    return expand_shards


def _without_schema_of_unions(build: Callable[..., Any]) -> Callable[..., Any]:
    """Let DuckDB find the columns of a union: the emulator's own schema lacks the nested ones."""

    def build_or_leave(sql: str, *rest: Any, **named: Any) -> Any:
        return {} if UNION in sql else build(sql, *rest, **named)

    return build_or_leave


def new_event_loop() -> asyncio.AbstractEventLoop:
    """An event loop, in C where there is one."""
    try:
        import uvloop
    except ImportError:  # Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _called_here(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Stands where the pool of threads would: to wait for a thread costs more than these calls."""
    return call(*arguments, **named)


async def _serve(spatial: Spatial, pause: float, threads: int) -> None:
    from bqemulator.config import LogFormat, LogLevel, Settings
    from bqemulator.observability.logging_ import configure_logging

    configure_logging(
        level=LogLevel.CRITICAL, fmt=LogFormat.CONSOLE
    )  # first of all: importing the rest logs already
    from bqemulator import server
    from bqemulator.api import app, middleware
    from bqemulator.api.routes import datasets, jobs, tabledata, tables
    from bqemulator.jobs import executor
    from bqemulator.sql import inner_query, translator
    from bqemulator.sql.rewriter import timestamp_iso_helpers
    from bqemulator.sql.rules.misc_helpers import RangeBucketRule
    from bqemulator.storage import engine
    from bqemulator.storage.engine import DuckDBEngine
    from bqemulator.versioning.snapshots import SnapshotManager
    from fastapi import routing
    from fastapi.dependencies import utils
    from sqlglot import exp
    from sqlglot.dialects.duckdb import DuckDB

    remember_texts()
    modules: list[Any] = [routing, utils]
    for module in modules:
        module.run_in_threadpool = _called_here
    patched_translator: Any = translator.SQLTranslator
    translate = patched_translator.translate
    patched_translator.translate = _bqemulator_json.write_json_like_bigquery(translate)
    patched_rules: Any = translator
    patched_rules.qualify = _keeping_case(patched_rules.qualify)
    patched_generator: Any = DuckDB.Generator
    patched_generator.cast_sql = _encoding_texts(patched_generator.cast_sql)
    write_call = patched_generator.anonymous_sql
    patched_generator.anonymous_sql = _bqemulator_json.binding_twice_at_most(write_call)
    transforms = patched_generator.TRANSFORMS
    transforms[exp.Date] = _bqemulator_engine.date_by_duckdb(transforms[exp.Date])
    patched_query: Any = inner_query
    patched_query.expand_wildcard_tables = _union_of_shards(patched_query.expand_wildcard_tables)
    build = patched_query.build_catalog_schema
    patched_query.build_catalog_schema = _without_schema_of_unions(build)
    patched_rule: Any = RangeBucketRule
    patched_rule.rewrite = _range_bucket
    patched_executor: Any = executor
    name_columns = _naming_unknown_columns(patched_executor.translate_runtime_error)
    patched_executor.translate_runtime_error = name_columns
    patched_engine: Any = DuckDBEngine

    def load_extensions(engine: Any) -> None:
        spatial.load_into(engine.connection)
        _bqemulator_json.register(engine.connection)
        engine.connection.execute(BYTES_MACRO)
        # BigQuery promises no order without an ORDER BY. DuckDB is quicker without one.
        engine.connection.execute("SET preserve_insertion_order = false")
        if threads:
            engine.connection.execute(f"SET threads = {threads}")
        _bqemulator_engine.register(engine.connection)

    patched_engine.execute = _bqemulator_engine.execute
    patched_storage: Any = engine
    patched_storage._annotate_with_duckdb_types = _bqemulator_engine.with_types
    convert_rows = _bqemulator_engine.converter_of_rows()
    patched_jobs: Any = jobs
    patched_jobs.arrow_table_to_bq_rows = convert_rows
    patched_times: Any = timestamp_iso_helpers
    write_time = patched_times._rewrite_format_timestamp
    patched_times._rewrite_format_timestamp = _bqemulator_engine.time_of_day_by_duckdb(write_time)
    patched_engine._load_spatial = load_extensions
    patched_snapshots: Any = SnapshotManager
    patched_snapshots.capture = _copying_on_demand(patched_snapshots.capture)
    patched_server: Any = server
    patched_server.build_grpc_server = lambda _context: (_NoGrpc(), 0)
    patched_tables: Any = tables
    patched_tables._table_to_rest = _showing_views(patched_tables._table_to_rest)
    # Nobody reads these, and they cost more than a small query does.
    observers: set[Any] = {
        middleware.AccessLogMiddleware,
        middleware.CorrelationIdMiddleware,
        middleware.MetricsMiddleware,
    }

    def create_app(context: Any) -> Aside:
        read = patched_tables._rest_to_table_meta
        patched_tables._rest_to_table_meta = _storing_new_columns(read, context)
        emulator_app = app.create_app(context)
        emulator_app.user_middleware = [
            layer for layer in emulator_app.user_middleware if layer.cls not in observers
        ]
        return Aside(emulator_app, pause, new_event_loop())

    patched_server.create_app = create_app
    # No route needs the change: `Aside` calls it.
    patched_rows: Any = tabledata
    patched_rows.insert_all = _refusing_unknown_columns(tabledata.insert_all)
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
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(spatial, float(sys.argv[1]), int(sys.argv[2])))


if __name__ == "__main__":
    main()
