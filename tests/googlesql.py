"""Google's own SQL analyzer and reference evaluator, in this process.

The package `zetasql` brings them as WebAssembly. They judge what the emulator cannot: whether
BigQuery would accept a statement, and which values its functions give. They know nothing of
partition pruning, quotas, names of result columns, GEOGRAPHY and collation.

Compiling the module takes 40 seconds of CPU, and the engine as much for all statements of the
tests. A statement of several steps is judged step by step, since most statements share steps. Both
the compiled module and the answers are kept in the cache folder of the user, or in the one that
GOOGLESQL_CACHE names. An answer is kept under all that it depends on: the whole question, the
tables, and the versions of the engine. What is refused is asked again each time.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import wasmtime
from zetasql.core.exceptions import ZetaSQLError
from zetasql.core.wasm_client import WasmClient, get_tzinfo_dir
from zetasql.wasi import get_wasm_path
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service
from zetasql.wasi._pb2.zetasql.proto import options_pb2, simple_catalog_pb2
from zetasql.wasi._pb2.zetasql.public import options_pb2 as public
from zetasql.wasi._pb2.zetasql.public import simple_table_pb2, type_pb2, value_pb2
from zetasql.wasi._pb2.zetasql.resolved_ast import resolved_node_kind_pb2 as kinds

from local._kept import Kept, cache_folder
from sync.model.sql import Parameter
from tests.sql_steps import steps, uses

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SCALARS = {
    "INT64": type_pb2.TYPE_INT64,
    "FLOAT64": type_pb2.TYPE_DOUBLE,
    "BOOL": type_pb2.TYPE_BOOL,
    "STRING": type_pb2.TYPE_STRING,
    "BYTES": type_pb2.TYPE_BYTES,
    "DATE": type_pb2.TYPE_DATE,
    "TIME": type_pb2.TYPE_TIME,
    "DATETIME": type_pb2.TYPE_DATETIME,
    "TIMESTAMP": type_pb2.TYPE_TIMESTAMP,
    "GEOGRAPHY": type_pb2.TYPE_GEOGRAPHY,
    "NUMERIC": type_pb2.TYPE_NUMERIC,
    "BIGNUMERIC": type_pb2.TYPE_BIGNUMERIC,
    "JSON": type_pb2.TYPE_JSON,
    "INTERVAL": type_pb2.TYPE_INTERVAL,
}
SQL_TYPES = {number: name for name, number in SCALARS.items()}
# Features of the engine that BigQuery's documentation does not know.
NOT_IN_BIGQUERY = re.compile(
    "PROTO|UUID|MAP_TYPE|TOKENIZED|MODULES|LATERAL_COLUMN|MATCH_MAKE|MEASURES|ROW_TYPE|BRACED"
    "|TIMESTAMP_NANOS|GROUP_BY_ARRAY$|BARE_ARRAY|STRUCT_POSITIONAL|SPANNER|FOR_UPDATE|ON_CONFLICT"
    "|TEST_|FILTER_FIELDS|LIMIT_ALL|CHAINED|MULTILEVEL_AGG|LATERAL_JOIN|WITH_GROUP_ROWS"
    "|EXTENDED_TYPES|JSON_STRICT_NUMBER|ARRAY_ORDERING|ARRAY_EQUALITY|CAST_DIFFERENT"
    "|DISALLOW_GROUP_BY_FLOAT|MULTIWAY|WITH_EXPRESSION|ANNOTATION_FRAMEWORK|JSON_TYPE_COMPARISON"
    "|TIMESTAMP_PICOS|TIMESTAMP_PRECISION"
)
STATEMENTS = [
    kinds.RESOLVED_QUERY_STMT,
    kinds.RESOLVED_CREATE_TABLE_AS_SELECT_STMT,
    kinds.RESOLVED_INSERT_STMT,
    kinds.RESOLVED_UPDATE_STMT,
    kinds.RESOLVED_DELETE_STMT,
    kinds.RESOLVED_MERGE_STMT,
    kinds.RESOLVED_UNDROP_STMT,
]


class Refused(Exception):
    """The engine refused a statement, or it failed. The message is BigQuery's."""


Columns = Mapping[
    str, str
]  # name -> type as SQL writes it; _PARTITIONTIME and _TABLE_SUFFIX are pseudo-columns
Tables = Mapping[str, Columns]  # by path


class GoogleSql:
    """One engine, with the features that BigQuery has. It starts with the first new question."""

    def __init__(self) -> None:
        self._answers = Kept(_cache_path().with_suffix(".answers"))
        self._catalogs: dict[str, bytes] = {}
        self._registered: dict[bytes, int] = {}

    @cached_property
    def _client(self) -> _Client:
        return _Client()

    def prepare(
        self, text: str, tables: Tables, parameters: Sequence[Parameter] = ()
    ) -> dict[str, str]:
        """Check a statement. Returns the result's columns and the names of their types.

        Raises Refused. It prepares, since protobuf limits the depth of an analyzed tree.
        """
        columns = self._columns(text, tables, parameters)
        return {c.name: _type_name(c.type) for c in columns}

    def _columns(self, text: str, tables: Tables, parameters: Sequence[Parameter]) -> Any:
        """The columns of a query's result, as the engine describes them."""
        request = service.PrepareQueryRequest(sql=text, options=self._options(parameters))
        response = self._answer("PrepareQuery", request, tables, service.PrepareQueryResponse)
        return response.prepared.columns

    def prepare_steps(
        self, text: str, tables: Tables, parameters: Sequence[Parameter] = ()
    ) -> dict[str, str]:
        """The same as `prepare`, each step of a WITH by itself, with stubs of those before it.

        Most steps are the same in many statements, and their answers are kept.
        """
        stubs: dict[str, str] = {}
        for step in steps(text):
            named = [each for each in parameters if uses(step.body, f"@{each.name}")]
            read = [stub for name, stub in stubs.items() if uses(step.body, name)]
            begin = f"WITH {', '.join(read)} " if read else ""
            reads_table = any(path in step.body for path in tables)
            columns = self._columns(f"{begin}{step.body}", tables if reads_table else {}, named)
            stubs[step.name] = _stub(step.name, columns)
        return {c.name: _type_name(c.type) for c in columns}

    def analyze(self, text: str, tables: Tables, parameters: Sequence[Parameter] = ()) -> None:
        """Check a statement that changes a table. Raises Refused."""
        request = service.AnalyzeRequest(sql_statement=text, options=self._options(parameters))
        self._answer("Analyze", request, tables, service.AnalyzeResponse)

    def rows(
        self, text: str, parameters: Sequence[Parameter] = (), zone: str = "UTC"
    ) -> list[dict[str, Any]]:
        """The rows of a query without tables, which has the same rows each time. Raises Refused."""
        request = service.EvaluateQueryRequest(sql=text, options=self._options(parameters, zone))
        for parameter in parameters:
            value = _value(parameter.type, parameter.value)
            request.params.add(name=parameter.name, value=value)
        response = self._answer("EvaluateQuery", request, {}, service.EvaluateQueryResponse)
        columns = response.prepared.columns
        return [
            {c.name: _decoded(cell, c.type) for c, cell in zip(columns, row.cell, strict=True)}
            for row in response.content.table_data.row
        ]

    def _answer(self, name: str, request: Any, tables: Tables, response: Any) -> Any:
        """What the engine says about a statement: its kept answer, or a new one."""
        catalog = self._catalog(tables)
        key = Kept.key(name.encode(), request.SerializeToString(deterministic=True), catalog)
        kept = self._answers.get(key)
        if kept is not None:
            return response.FromString(kept)
        request.registered_catalog_id = self._register(catalog)
        answer = self._call(name, request, response)
        if name != "Analyze":
            self._forget(answer.prepared.prepared_query_id)
        self._answers.keep(key, answer.SerializeToString())
        return answer

    def _call(self, name: str, request: Any, response: Any) -> Any:
        try:
            return self._client.call_grpc_func(f"ZetaSqlLocalService_{name}", request, response)
        except ZetaSQLError as error:
            raise Refused(str(error)) from error

    def _forget(self, query_id: int) -> None:
        if query_id:
            request = service.UnprepareQueryRequest(prepared_query_id=query_id)
            self._call("UnprepareQuery", request, service.PrepareQueryResponse)

    @cached_property
    def _language(self) -> Any:
        request = service.LanguageOptionsRequest(maximum_features=True)
        key = Kept.key(b"GetLanguageOptions", request.SerializeToString())
        kept = self._answers.get(key)
        if kept is None:
            every = self._call("GetLanguageOptions", request, options_pb2.LanguageOptionsProto)
            self._answers.keep(key, every.SerializeToString())
        else:
            every = options_pb2.LanguageOptionsProto.FromString(kept)
        names = public.LanguageFeature
        features = [
            number
            for number in every.enabled_language_features
            if not NOT_IN_BIGQUERY.search(names.Name(number))
        ]
        return options_pb2.LanguageOptionsProto(
            name_resolution_mode=public.NAME_RESOLUTION_DEFAULT,
            product_mode=public.PRODUCT_EXTERNAL,
            enabled_language_features=[
                *features,
                names.Value("FEATURE_DISALLOW_GROUP_BY_FLOAT"),
            ],
            supported_statement_kinds=STATEMENTS,
            reserved_keywords=["QUALIFY"],
        )

    def _options(self, parameters: Sequence[Parameter], zone: str = "UTC") -> Any:
        rewrites = public.ResolvedASTRewrite
        options = options_pb2.AnalyzerOptionsProto(
            language_options=self._language,
            default_timezone=zone,
            error_message_mode=public.ERROR_MESSAGE_ONE_LINE,
            enabled_rewrites=[
                number for name, number in rewrites.items() if number and "INVALID" not in name
            ],
        )
        for parameter in parameters:
            options.query_parameters.add(name=parameter.name, type=type_of(parameter.type))
        return options

    def _catalog(self, tables: Tables) -> bytes:
        """A catalog with these tables, as the engine takes it."""
        signature = repr(tables)
        if signature not in self._catalogs:
            builtin = options_pb2.ZetaSQLBuiltinFunctionOptionsProto(
                language_options=self._language
            )
            catalog = simple_catalog_pb2.SimpleCatalogProto(
                name="catalog", builtin_function_options=builtin
            )
            for path, columns in tables.items():
                _add(catalog, path, columns)
            self._catalogs[signature] = catalog.SerializeToString(deterministic=True)
        return self._catalogs[signature]

    def _register(self, catalog: bytes) -> int:
        """The id of a catalog. The engine loads its functions slowly, thus it loads each once."""
        if catalog not in self._registered:
            request = service.RegisterCatalogRequest()
            request.simple_catalog.ParseFromString(catalog)
            answer = self._call("RegisterCatalog", request, service.RegisterResponse)
            self._registered[catalog] = answer.registered_id
        return self._registered[catalog]


def _add(catalog: Any, path: str, columns: Columns) -> None:
    """Under its whole path, which statements write in backticks, and under its path's parts."""
    catalog.table.append(_table(path, columns))
    *folders, name = path.split(".")
    for each in folders:
        existing = [inner for inner in catalog.catalog if inner.name == each]
        catalog = existing[0] if existing else catalog.catalog.add(name=each)
    if folders:
        catalog.table.append(_table(name, columns))


def _table(name: str, columns: Columns) -> Any:
    table = simple_table_pb2.SimpleTableProto(name=name)
    for column, kind in columns.items():
        is_pseudo = column.startswith(("_PARTITION", "_TABLE_SUFFIX"))
        table.column.add(
            name=column,
            type=type_of(kind),
            is_pseudo_column=is_pseudo,
            is_writable_column=not is_pseudo,
        )
    return table


# -- types


def type_of(text: str) -> Any:
    """The type that SQL writes as `text`, such as ARRAY<STRUCT<a INT64>>."""
    outer, _, inner = text.strip().partition("<")
    inner = inner.removesuffix(">")
    if outer == "ARRAY":
        array = type_pb2.ArrayTypeProto(element_type=type_of(inner))
        return type_pb2.TypeProto(type_kind=type_pb2.TYPE_ARRAY, array_type=array)
    if outer == "STRUCT":
        struct = type_pb2.StructTypeProto(field=[_member(each) for each in split(inner)])
        return type_pb2.TypeProto(type_kind=type_pb2.TYPE_STRUCT, struct_type=struct)
    return type_pb2.TypeProto(type_kind=SCALARS[outer])


def _member(text: str) -> Any:
    name, kind = text.strip().split(" ", 1)
    return type_pb2.StructFieldProto(field_name=name.strip("`"), field_type=type_of(kind))


def split(members: str) -> Iterator[str]:
    """The parts of `a INT64, b ARRAY<...>`, split at the commas of the outermost level."""
    depth = start = 0
    for place, character in enumerate(members):
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == "," and not depth:
            yield members[start:place]
            start = place + 1
    yield members[start:]


def _type_name(kind: Any) -> str:
    return str(type_pb2.TypeKind.Name(kind.type_kind)).removeprefix("TYPE_")


def _stub(name: str, columns: Any) -> str:
    """A step of a WITH that has these columns."""
    nulls = [f"CAST(NULL AS {_sql_type(c.type)}) AS `{c.name}`" for c in columns]
    return f"{name} AS (SELECT {', '.join(nulls)})"


def _sql_type(kind: Any) -> str:
    """The type as SQL writes it."""
    if kind.type_kind == type_pb2.TYPE_ARRAY:
        return f"ARRAY<{_sql_type(kind.array_type.element_type)}>"
    if kind.type_kind == type_pb2.TYPE_STRUCT:
        members = [f"`{f.field_name}` {_sql_type(f.field_type)}" for f in kind.struct_type.field]
        return f"STRUCT<{', '.join(members)}>"
    return SQL_TYPES[kind.type_kind]


# -- values


def _value(kind: str, value: Any) -> Any:
    """A parameter's value."""
    if kind.startswith("ARRAY<"):
        element = kind.removeprefix("ARRAY<").removesuffix(">")
        elements = [_value(element, each) for each in value]
        return value_pb2.ValueProto(array_value=value_pb2.ValueProto.Array(element=elements))
    if kind == "INT64":
        return value_pb2.ValueProto(int64_value=value)
    if kind == "STRING":
        return value_pb2.ValueProto(string_value=value)
    if kind == "DATE":
        return value_pb2.ValueProto(date_value=(value - date(1970, 1, 1)).days)
    if kind == "TIMESTAMP":
        return _timestamp(value)
    if kind == "DATETIME":
        return _datetime(datetime.fromisoformat(value))
    raise NotImplementedError(kind)


def _timestamp(value: datetime) -> Any:
    since = value - EPOCH
    made = value_pb2.ValueProto()
    made.timestamp_value.seconds = since.days * 86_400 + since.seconds
    made.timestamp_value.nanos = since.microseconds * 1000
    return made


def _datetime(value: datetime) -> Any:
    day = (value.year << 26) | (value.month << 22) | (value.day << 17)
    time = (value.hour << 12) | (value.minute << 6) | value.second
    civil = value_pb2.ValueProto.Datetime(
        bit_field_datetime_seconds=day | time, nanos=value.microsecond * 1000
    )
    return value_pb2.ValueProto(datetime_value=civil)


def _decoded(value: Any, kind: Any) -> Any:
    """A result's value, of the types that the sync's queries give."""
    which = value.WhichOneof("value")
    if which is None:
        return None
    if which == "array_value":
        element = kind.array_type.element_type
        return [_decoded(each, element) for each in value.array_value.element]
    return getattr(value, which)


# -- the engine


class _Client(WasmClient):  # type: ignore[misc]  # the package has no types
    """The package's client, with a compiled module from the cache, and fast copies of memory."""

    def __init__(self) -> None:
        wasi = wasmtime.WasiConfig()
        wasi.inherit_stdout()
        wasi.inherit_stderr()
        wasi.preopen_dir(get_tzinfo_dir(), "/usr/share/zoneinfo")
        config = wasmtime.Config()
        config.shared_memory = True
        engine = wasmtime.Engine(config)
        self.store = wasmtime.Store(engine)
        self.store.set_wasi(wasi)
        self.module = _compiled(engine)
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        self.instance = linker.instantiate(self.store, self.module)
        exports: Any = self.instance.exports(self.store)
        exports["_initialize"](self.store)
        self.exports = exports
        self.memory: Any = exports["memory"]

    @property
    def _base(self) -> int:
        return ctypes.addressof(self.memory.data_ptr().contents)

    def write_bytes(self, ptr: int, data: bytes) -> None:
        """Copy into the engine's memory. The package copies byte by byte."""
        ctypes.memmove(self._base + ptr, data, len(data))

    def read_bytes(self, ptr: int, size: int) -> bytes:
        """Copy out of the engine's memory."""
        return ctypes.string_at(self._base + ptr, size)


def _compiled(engine: wasmtime.Engine) -> wasmtime.Module:
    path = _cache_path()
    with _locked(path.with_suffix(".lock")):
        if not path.exists():
            unfinished = path.with_suffix(".unfinished")
            unfinished.write_bytes(wasmtime.Module.from_file(engine, get_wasm_path()).serialize())
            unfinished.rename(path)
    return wasmtime.Module.deserialize_file(engine, str(path))


def _cache_path() -> Path:
    """A file for this machine and these versions: the compiled code fits no other."""
    folder = Path(os.environ.get("GOOGLESQL_CACHE") or cache_folder() / "googlesql")
    folder.mkdir(parents=True, exist_ok=True)
    versions = f"{version('zetasql')}-{version('wasmtime')}-{platform.machine()}"
    return folder / f"zetasql-{versions}.cwasm"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time: the tests' workers start together."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
