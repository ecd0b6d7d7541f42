"""BigQuery types, the Aito types that they become, and the SQL that converts their values. Pure.

Each pair of types has one written conversion. No value depends on how TO_JSON_STRING prints its
type: it quotes integers beyond 2^53, NaN and infinities, for example.

To add a type, add it to DEFAULTS. If it may become another Aito type as well, add the pair to
`_conversions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

# The API's names of types that SQL calls otherwise.
SQL_NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}
CURSOR_TYPES = ("TIMESTAMP", "DATETIME", "DATE", "INTEGER")


@dataclass(frozen=True)
class Field:
    """A column of a BigQuery result.

    type: the API's name, such as INTEGER, FLOAT, BOOLEAN, RECORD.
    """

    name: str
    type: str
    repeated: bool = False
    required: bool = False
    fields: tuple[Field, ...] = ()

    @property
    def element(self) -> Field:
        """An element of this array, as a field."""
        return replace(self, repeated=False, required=False)

    @property
    def sql_type(self) -> str:
        """The type as SQL writes it, without the fields of a STRUCT."""
        name = SQL_NAMES.get(self.type, self.type)
        return f"ARRAY<{name}>" if self.repeated else name


def quoted(name: str) -> str:
    """A BigQuery identifier in backticks. The configuration allows no backtick and no backslash."""
    return f"`{name}`"


_FINITE = "IF(IS_NAN({0}) OR IS_INF({0}), NULL, {0})"
# Every conversion between times names its zone: the session's may be another one.
# The year always has four digits in a CAST, but not in FORMAT_TIMESTAMP.
_TIMESTAMP_DATE = "CAST(DATE({0}, 'UTC') AS STRING)"
_TIMESTAMP_TEXT = f"CONCAT({_TIMESTAMP_DATE}, FORMAT_TIMESTAMP('T%H:%M:%E6SZ', {{0}}, 'UTC'))"
_DATETIME_TEXT = "CONCAT(CAST(DATE({0}) AS STRING), FORMAT_DATETIME('T%H:%M:%E6S', {0}))"
_CAST_TEXT = "CAST({0} AS STRING)"
_CAST_FLOAT = "CAST({0} AS FLOAT64)"
# TO_JSON_STRING makes the text `null` of an SQL NULL.
_JSON_IS_NULL = "IFNULL(JSON_TYPE({0}), 'null') = 'null'"
_JSON_TEXT = f"IF({_JSON_IS_NULL}, NULL, TO_JSON_STRING({{0}}))"

# BigQuery scalar -> the Aito type that it becomes by default, and the SQL of its value.
DEFAULTS: Mapping[str, tuple[str, str]] = {
    "STRING": ("String", "{0}"),
    "BYTES": ("String", "TO_BASE64({0})"),
    "INTEGER": ("Int", "{0}"),
    "FLOAT": ("Decimal", _FINITE),
    "NUMERIC": ("Decimal", _CAST_FLOAT),
    "BIGNUMERIC": ("Decimal", _CAST_FLOAT),
    "BOOLEAN": ("Boolean", "{0}"),
    "DATE": ("String", _CAST_TEXT),
    "DATETIME": ("String", _DATETIME_TEXT),
    "TIME": ("String", "FORMAT_TIME('%H:%M:%E6S', {0})"),
    "TIMESTAMP": ("String", _TIMESTAMP_TEXT),
    "JSON": ("Json", "{0}"),
    "GEOGRAPHY": ("String", "ST_ASTEXT({0})"),
    "INTERVAL": ("String", _CAST_TEXT),
}

# BigQuery scalar that Aito has no type for -> what to write instead.
REFUSED: Mapping[str, str] = {"RANGE": "use `sql:` with RANGE_START or RANGE_END"}

# TO_JSON_STRING quotes an INT64 beyond 2^53, but not a number that is JSON already.
_EXACT_INTEGER = "PARSE_JSON(CAST({0} AS STRING))"

# Whole epoch seconds. Truncated before the conversion: the emulator's UNIX_SECONDS rounds.
_SECONDS: Mapping[str, str] = {
    "TIMESTAMP": "UNIX_SECONDS(TIMESTAMP_TRUNC({0}, SECOND))",
    "DATETIME": "UNIX_SECONDS(TIMESTAMP_TRUNC(TIMESTAMP({0}, 'UTC'), SECOND))",
    "DATE": "UNIX_SECONDS(TIMESTAMP({0}, 'UTC'))",
    "INTEGER": "{0}",
}

_ZONED = ("DATETIME", "DATE")  # times that mean a moment only together with a zone


def _conversions() -> Iterator[tuple[tuple[str, str], str]]:
    for source, (aito_type, sql) in DEFAULTS.items():
        if aito_type == "String":
            yield (source, "Text"), sql
    for source in ("INTEGER", "BOOLEAN", "NUMERIC", "BIGNUMERIC", "FLOAT"):
        yield (source, "String"), _CAST_TEXT
        yield (source, "Text"), _CAST_TEXT
    for source, sql in _SECONDS.items():
        yield (source, "Int"), sql
        yield (source, "Long"), sql
    yield ("JSON", "String"), _JSON_TEXT
    yield ("JSON", "Text"), _JSON_TEXT
    # Decimal is not made by way of FLOAT64: a reject's document must show the true number.
    for aito_type in ("Long", "Decimal", "Json"):
        yield ("INTEGER", aito_type), _EXACT_INTEGER


# (BigQuery scalar, Aito type that the configuration may ask for) -> the SQL of its value.
CONVERSIONS: Mapping[tuple[str, str], str] = dict(_conversions())


def unknown_scalars(field: Field) -> list[Field]:
    """The scalars of a column that have no Aito type: the column itself, or members of it."""
    if field.type != "RECORD":
        return [] if field.type in DEFAULTS else [field]
    return [scalar for member in field.fields for scalar in unknown_scalars(member)]


def default_type(field: Field) -> str:
    """The Aito type that a column becomes when the configuration names none."""
    if field.type == "RECORD":
        return "Json"
    scalar = DEFAULTS[field.type][0]
    return f"{scalar}[]" if field.repeated and scalar != "Json" else scalar


def is_convertible(field: Field, aito_type: str) -> bool:
    """Whether a column can become `aito_type`."""
    if aito_type == default_type(field):
        return True
    if not field.repeated:
        return (field.type, aito_type) in CONVERSIONS
    if aito_type.endswith("[]"):
        return is_convertible(field.element, aito_type.removesuffix("[]"))
    return aito_type == "Json"


# Scalars that are asked to become what they are not -> SQL that makes it of many a value.
_EXAMPLES: Mapping[str, str] = {
    **dict.fromkeys(("Int", "Long"), "SAFE_CAST({0} AS INT64)"),
    "Decimal": "SAFE_CAST({0} AS FLOAT64)",
    "Boolean": "SAFE_CAST({0} AS BOOL)",
}
_CASTS: Mapping[str, tuple[str, ...]] = {
    "STRING": ("Int", "Long", "Decimal", "Boolean"),
    "FLOAT": ("Int", "Long"),
    "NUMERIC": ("Int", "Long"),
    "BIGNUMERIC": ("Int", "Long"),
    "BOOLEAN": ("Int", "Long"),
    "INTEGER": ("Boolean",),
}


def example(field: Field, aito_type: str) -> str | None:
    """SQL that makes a value of `aito_type` of a column that cannot become that by itself.

    None where the data decides it.
    """
    name = quoted(field.name)
    if field.repeated:
        return _of_array(field, name, aito_type)
    if aito_type.endswith("[]") and is_convertible(field, aito_type.removesuffix("[]")):
        return f"[{name}]"
    if aito_type in ("String", "Text"):
        return f"TO_JSON_STRING({name})" if field.type == "RECORD" else None
    if aito_type in _CASTS.get(field.type, ()):
        return _EXAMPLES[aito_type].format(name)
    return None


def _of_array(field: Field, name: str, aito_type: str) -> str | None:
    if aito_type in ("String", "Text"):
        is_text = field.type == "STRING"
        return f"ARRAY_TO_STRING({name}, ' ')" if is_text else f"TO_JSON_STRING({name})"
    if aito_type in ("Int", "Long", "Decimal"):
        return f"ARRAY_LENGTH({name})"
    return f"ARRAY_LENGTH({name}) > 0" if aito_type == "Boolean" else None


def value(field: Field, expression: str, aito_type: str) -> str:
    """SQL of a column's value as `aito_type`. The pair must be convertible."""
    is_nested = field.repeated or field.type in ("RECORD", "INTEGER")
    if aito_type == "Json" and is_nested:
        return _json(field, expression)
    if field.repeated:
        element = scalar(field.element, _element_name(0), aito_type.removesuffix("[]"))
        return _array(field, element, expression)
    return scalar(field, expression, aito_type)


def scalar(field: Field, expression: str, aito_type: str) -> str:
    """SQL of a scalar's value as `aito_type`."""
    default, sql = DEFAULTS[field.type]
    if aito_type != default:
        sql = CONVERSIONS[field.type, aito_type]
    return sql.format(expression)


def exact_integer(expression: str) -> str:
    """SQL of an INT64 that a document shows as a number, whatever its size."""
    return _EXACT_INTEGER.format(expression)


def may_become_null(field: Field) -> bool:
    """Whether a value that is not NULL may be null in a document."""
    return field.type in ("FLOAT", "JSON") and not field.repeated


def is_null(field: Field, expression: str, aito_type: str) -> str:
    """SQL of whether a column's value is null in a document."""
    if field.type == "JSON" and not field.repeated:
        return _JSON_IS_NULL.format(expression)
    if may_become_null(field):
        expression = value(field, expression, aito_type)
    return f"{expression} IS NULL"


def epoch_seconds(field: Field, expression: str, zone: str = "UTC") -> str:
    """SQL of whole epoch seconds, of a field with one of CURSOR_TYPES.

    zone: where a DATETIME or DATE is at home.
    """
    if zone == "UTC" or field.type not in _ZONED:
        return _SECONDS[field.type].format(expression)
    return _SECONDS["TIMESTAMP"].format(moment(field, expression, zone))


def moment(field: Field, expression: str, zone: str) -> str:
    """SQL of the TIMESTAMP that a DATETIME or DATE is in a zone."""
    # The first and the last day of the calendar would leave it in another zone.
    first, last = (f"{field.type} '{day}'" for day in ("0001-01-02", "9999-12-30"))
    return f"TIMESTAMP(LEAST(GREATEST({expression}, {first}), {last}), '{zone}')"


def key_text(field: Field, expression: str, aito_type: str) -> str:
    """SQL of a key as text: the same text that its value has in a document.

    A whole number is cast from the number itself, because its value may be JSON.
    """
    if aito_type in ("Int", "Long") and field.type in _SECONDS:
        return _CAST_TEXT.format(epoch_seconds(field, expression))
    return value(field, expression, aito_type)


# What may be a part of a key of several columns: equal values have equal texts.
KEY_PART_TYPES = (
    *("STRING", "BYTES", "INTEGER", "NUMERIC", "BIGNUMERIC", "BOOLEAN"),
    *("DATE", "DATETIME", "TIME", "TIMESTAMP"),
)
# `|` joins the parts, so a text may not hold it: `~` becomes `~0`, and `|` becomes `~1`.
_ESCAPED = "REPLACE(REPLACE({0}, '~', '~0'), '|', '~1')"


def composite_key_text(fields: Sequence[Field]) -> str:
    """SQL of the text of a key of several columns; NULL when one of them is NULL.

    The text of a part depends on its value and BigQuery type alone, not on its Aito type.
    """
    names = [quoted(field.name) for field in fields]
    texts = [_part_text(field, name) for field, name in zip(fields, names, strict=True)]
    any_null = " OR ".join(f"{name} IS NULL" for name in names)
    joined = ", '|', ".join(texts)
    return f"IF({any_null}, NULL, CONCAT({joined}))"


def _part_text(field: Field, expression: str) -> str:
    if field.type == "STRING":
        return _ESCAPED.format(expression)
    default, sql = DEFAULTS[field.type]
    return (sql if default == "String" else _CAST_TEXT).format(expression)


def _json(field: Field, expression: str, depth: int = 0) -> str:
    """SQL of a value inside a Json column: its default, but with exact integers of any size.

    depth: number of arrays around it.
    """
    if field.repeated:
        element = _json(field.element, _element_name(depth), depth + 1)
        return _array(field, element, expression, depth)
    if field.type == "RECORD":
        return _struct(field, expression, depth)
    if field.type == "INTEGER":
        return scalar(field, expression, "Json")
    return scalar(field, expression, default_type(field))


def _struct(field: Field, expression: str, depth: int) -> str:
    members = []
    for each in field.fields:
        name = quoted(each.name)
        member = _json(each, f"{expression}.{name}", depth)
        members.append(f"{member} AS {name}")
    return f"IF({expression} IS NULL, NULL, STRUCT({', '.join(members)}))"


def _element_name(depth: int) -> str:
    """The name of an array's element. Each depth has its own: arrays may stand inside arrays."""
    return f"sync_element{depth or ''}"


def _array(field: Field, element: str, expression: str, depth: int = 0) -> str:
    """SQL of an array with each element converted, in order.

    field: the array. An element that becomes NULL, such as NaN, is left out. UNNEST alone promises
    no order.
    """
    place = f"sync_place{depth or ''}"
    name = _element_name(depth)
    # A struct becomes NULL only where it is NULL. Its text is not repeated: with arrays inside
    # arrays it would double with each depth.
    kept = name if field.type == "RECORD" else element
    rows = f"UNNEST({expression}) AS {name} WITH OFFSET AS {place}"
    return f"ARRAY(SELECT {element} FROM {rows} WHERE {kept} IS NOT NULL ORDER BY {place})"
