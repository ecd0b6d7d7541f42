"""Loads a folder of one's own rows: each `NAME.ndjson` or `NAME.ndjson.gz` becomes a table.

The type of a column follows from its values: lists become arrays, and objects structs. Where the
values have no common type they become text.
"""

import gzip
import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from google.cloud.bigquery import Client, SchemaField

from local import bigquery

ENDINGS = (".ndjson", ".ndjson.gz")
LONGEST = 2**63
DATE = re.compile(r"\d{4}-\d\d-\d\d")
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")

Row = dict[str, Any]


class BadFolder(Exception):
    """The folder holds no rows that can be loaded; the message says why."""


def files(folder: Path) -> dict[str, Path]:
    """The files by the name of their table. Raises BadFolder when there is none."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    found = {
        path.name.removesuffix(ending): path
        for path in paths
        for ending in ENDINGS
        if path.name.endswith(ending)
    }
    if not found:
        raise BadFolder(f"{folder}: there is no NAME.ndjson or NAME.ndjson.gz, one row a line")
    return found


def load(client: Client, folder: Path, dataset: str) -> dict[str, int]:
    """Load every file into `dataset.NAME`. -> the number of rows of each. Raises BadFolder."""
    return {name: _load(client, f"{dataset}.{name}", path) for name, path in files(folder).items()}


def _load(client: Client, table: str, path: Path) -> int:
    rows = read(path)
    fields = schema(rows)
    loaded = [_fitting(row, fields) for row in rows]
    return bigquery.load(client, table, fields, loaded, truncate=True)


def read(path: Path) -> list[Row]:
    """The rows of a file. Raises BadFolder for a line that is no JSON object."""
    rows = []
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                rows.append(_parsed(line, f"{path}: line {number}"))
    if not rows:
        raise BadFolder(f"{path}: the file is empty")
    return rows


def _parsed(line: str, where: str) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadFolder(f"{where} is no JSON") from error
    if not isinstance(row, dict):
        raise BadFolder(f"{where} is no JSON object")
    return row


def schema(rows: Sequence[Row]) -> list[SchemaField]:
    """A column for every name, of the type that all its values fit."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [_field(name, [row.get(name) for row in rows]) for name in names]


def _field(name: str, values: Sequence[Any]) -> SchemaField:
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, list) for value in present):
        return _array(name, [element for value in present for element in value])
    if _are_objects(present):
        return SchemaField(name, "RECORD", fields=schema(present))
    return SchemaField(name, kind(present))


def _array(name: str, elements: Sequence[Any]) -> SchemaField:
    """A column of lists. BigQuery has no list in a list, and no null in one."""
    if any(element is None or isinstance(element, list) for element in elements):
        return SchemaField(name, "STRING")
    element = _field(name, elements)
    return SchemaField(name, element.field_type, "REPEATED", fields=element.fields)


def _are_objects(values: Sequence[Any]) -> bool:
    return bool(values) and all(value and isinstance(value, dict) for value in values)


def kind(values: Iterable[Any]) -> str:
    """The BigQuery type of a column. A column of nulls alone is a STRING."""
    kinds = {_kind_of(value) for value in values if value is not None}
    if kinds <= {"INT64", "FLOAT64"} and len(kinds) == 2:
        return "FLOAT64"
    return kinds.pop() if len(kinds) == 1 else "STRING"


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "BOOL"
    if isinstance(value, int):
        return "INT64" if abs(value) < LONGEST else "FLOAT64"
    if isinstance(value, float):
        return "FLOAT64"
    return _kind_of_text(value) if isinstance(value, str) else "STRING"


def _kind_of_text(text: str) -> str:
    if not DATE.match(text):
        return "STRING"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return "STRING"
    if DATE.fullmatch(text):
        return "DATE"
    if not TIME.match(text):
        return "STRING"
    return "DATETIME" if moment.tzinfo is None else "TIMESTAMP"


def _fitting(row: Row, fields: Sequence[SchemaField]) -> Row:
    """The row, with JSON text where a column of text meets a list or an object."""
    return {field.name: _value(row.get(field.name), field) for field in fields}


def _value(value: Any, field: SchemaField) -> Any:
    if field.mode == "REPEATED":
        return [_value(each, _element(field)) for each in value or []]
    if field.field_type == "RECORD":
        return None if value is None else _fitting(value, field.fields)
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return value


def _element(field: SchemaField) -> SchemaField:
    return SchemaField(field.name, field.field_type, fields=field.fields)
