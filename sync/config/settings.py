"""The settings: one frozen object, whose types are the rules for every single value of `sync.yaml`.

Rules that span several values are in `rules.py`; `reader.py` reads the file. Nothing here is a
secret: the file names the secret that holds Aito's key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    PrivateAttr,
)
from pydantic_core import CoreSchema, core_schema

from sync.config.problems import Origin, cut, quote, shown, suggest

GIB = 2**30
UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}  # in seconds, the largest first
# A century. A longer duration is a typing error, and would overflow epoch seconds.
MAX_DURATION = 36_500 * UNITS["d"]
LOOPBACK = {"127.0.0.1", "localhost", "::1"}

# A name of the time zone database, or an offset: what BigQuery takes.
ZONE = r"^(?:[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*|[+-][0-9]{1,2}(?::[0-9]{2})?)$"
DURATION = r"^[0-9]{1,9}[dhms]$"
NEWEST = r"^newest [0-9]{1,9}[dhms]$"
# Old projects are called domain.com:project.
PROJECT = r"(?:[A-Za-z0-9][A-Za-z0-9.-]*:)?[A-Za-z0-9][A-Za-z0-9-]*"
DATASET = r"[A-Za-z0-9_]+"
TABLE = r"[\w-](?:[\w -]*[\w-])?"
LEDGER = rf"^(?:{PROJECT}\.)?{DATASET}$"
# A `*` at the end reads all tables of that beginning: one a day, as exports of GA4 have them.
SOURCE = rf"^(?:{PROJECT}\.)?{DATASET}\.{TABLE}\*?$"
SOURCE_COLUMN = r"""[^!"$()*,./;?@\[\\\]^`{}~\x00-\x1f\x7f]+"""
# A query or a view may give a column a name that BigQuery allows no table.
LEFT_OUT = r"""[^`\\\x00-\x1f\x7f]+"""
STAR = "*"  # in `columns`: all source columns that are not named
# What Aito takes as a name, less what would need an escape in SQL, YAML or a URL.
NAME = r"""[^/".$\s`\\\x00-\x1f\x7f-\x9f]+"""
PATH_PART = r"[^/\s]+"
IDENTIFIER = r"[A-Za-z0-9_-]{1,255}"
TOPIC = rf"^projects/{PATH_PART}/topics/[A-Za-z][A-Za-z0-9._~%+-]*$"
# EU, US, or a region, which ends in a number.
LOCATION = r"^(?:[Ee][Uu]|[Uu][Ss]|[A-Za-z]+-[A-Za-z0-9-]*[0-9])$"
# A regional secret names its location.
SECRET = rf"projects/{PATH_PART}(?:/locations/[a-z0-9-]+)?/secrets/{IDENTIFIER}"
LITERALS_AND_COMMENTS = re.compile(
    r"""'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`|--[^\n]*|\#[^\n]*|/\*.*?\*/""",
    re.DOTALL,
)


# First words of statements.
READS = {"SELECT", "WITH", "FROM"}
WRITES = re.compile("ALTER|CREATE|DELETE|DROP|EXPORT|INSERT|LOAD|MERGE|TRUNCATE|UPDATE")


def duration(text: object) -> int:
    """Seconds in a duration such as `90d`, `12h`, `30m` or `45s`. Raises ValueError."""
    if not isinstance(text, str) or not re.fullmatch(DURATION[1:-1], text):
        raise ValueError(f"must be a duration such as 90d, 12h, 30m or 45s, not {shown(text)}")
    seconds = int(text[:-1]) * UNITS[text[-1]]
    if seconds > MAX_DURATION:
        raise ValueError(f"must be at most 36500d, not {quote(text)}")
    return seconds


def spell_duration(seconds: int) -> str:
    """The shortest way to write a duration: 3600 is `1h`."""
    for unit, size in UNITS.items():
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _aito_url(url: str) -> str:
    """A base URL to which the client can add `/api/v1/...`.

    No message quotes more of the URL than its protocol: credentials may stand in it.
    """
    parts = _split(url)
    odd_characters = re.search(r"[\s\x00-\x1f\x7f\\]", url)
    if odd_characters or not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError(
            "must be a URL such as https://my-db.aito.app or https://shared.aito.ai/db/my-db"
            f"{_other_protocol(url, parts)}"
        )
    if "@" in parts.netloc:
        raise ValueError("must not hold a user or password; the key is named by api_key_secret")
    if "?" in url or "#" in url:
        raise ValueError(
            "must not hold a query (?) or fragment (#); the key is named by api_key_secret"
        )
    if re.search(r"/api(/|$)", parts.path):
        raise ValueError("must not hold /api or /api/v1: end it before that, the rest is added")
    return url.rstrip("/")


def _other_protocol(url: str, parts: SplitResult) -> str:
    """The protocol of a URL that is neither http nor https. Empty where there is none."""
    is_named = url.lower().startswith(f"{parts.scheme}://")
    if not is_named or parts.scheme in ("http", "https"):
        return ""
    return f", not {quote(parts.scheme + '://')}…"


def _split(url: str) -> SplitResult:
    """The parts of a URL. Raises ValueError when host or port cannot be read."""
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port  # both are parsed only when they are read
    except ValueError:
        raise ValueError("is not a URL; right would be https://my-db.aito.app") from None
    return parts


def _zone(name: str) -> str:
    """A time zone that this machine knows. Offsets, and machines without zones, are not checked."""
    if name.startswith(("+", "-")) or name == "UTC":
        return name
    known = available_timezones()
    if known and name not in known:
        raise ValueError(f"there is no time zone {quote(name)}; {suggest(name, sorted(known))}")
    return name


def _query(text: str) -> str:
    """One SELECT or pipe query, without its closing semicolon and what follows that."""
    bare = LITERALS_AND_COMMENTS.sub(_blank, text)
    end = len(bare.rstrip().removesuffix(";"))
    if ";" in bare[:end]:
        raise ValueError("must be one SELECT; take the semicolons out")
    word = re.match(r"[\s(]*(\w*)", bare)
    first = word[1].upper() if word else ""
    if first not in READS:
        raise ValueError(
            f"must be one statement that begins with SELECT, WITH or FROM{_not_read(first)}"
        )
    is_closed = ";" in bare[end:]
    query = text[:end] if is_closed else text
    return query.strip()


def _not_read(word: str) -> str:
    """What a statement begins with instead of SELECT."""
    if WRITES.fullmatch(word):
        return f", not {word}; the sync never runs statements that change rows or tables"
    return f", not {cut(word)}" if word else ""


def _blank(match: re.Match[str]) -> str:
    """As many blanks as the match has characters, so that places in the text stay."""
    return " " * len(match[0])


def _condition(text: str) -> str:
    """One SQL condition, fit to stand in brackets."""
    condition = _not_blank(text).strip()
    bare = LITERALS_AND_COMMENTS.sub(" ", condition)
    if re.match(r"WHERE\b", bare, re.IGNORECASE):
        raise ValueError("must be the condition alone: leave the word WHERE out")
    if ";" in bare:
        raise ValueError("must be one condition; take the semicolons out")
    if not _brackets_match(bare):
        raise ValueError("must be one condition; its brackets do not match")
    return condition


def _brackets_match(bare: str) -> bool:
    depth = 0
    for character in bare:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


# pydantic's own min_length would count only the parts without a mistake.


def _some_tables(tables: tuple[TableSettings, ...]) -> tuple[TableSettings, ...]:
    if not tables:
        raise ValueError(
            "must list at least one table, such as"
            " [{name: orders, source: shop.orders, mode: replace}]"
        )
    return tables


def _some_columns(columns: dict[str, ColumnSettings]) -> dict[str, ColumnSettings]:
    if not columns:
        raise ValueError(
            "must not be empty: name a column such as `id: {}`, or leave `columns` out for all"
        )
    return columns


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _text_or_mapping(value: object) -> object:
    if not isinstance(value, str | dict):
        raise ValueError("must be text or a mapping")
    return value


def _key(value: object) -> str | tuple[str, ...]:
    """A column, or the columns that make the key together."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names:
        raise ValueError("must be a column, or a list of columns such as [order_id, line]")
    for name in names:
        if not isinstance(name, str):
            raise ValueError("must be a list of columns, each of them text")
        if not re.fullmatch(NAME, name):
            raise ValueError(f"must be {NAME_RULE}, not {quote(name)}")
    several = tuple(names)
    first: dict[str, str] = {}
    for name in several:
        if name.lower() in first:
            raise ValueError(f"has {quote(name)} twice; BigQuery compares names without case")
        first[name.lower()] = name
    return several if len(several) > 1 else several[0]


def _tuple_of_list(value: object) -> object:
    """A list of JSON. Strict validation takes one only where it reads the JSON itself."""
    return tuple(value) if isinstance(value, list) else value


def _test(value: object) -> object:
    """Aito's condition for the test rows, or `newest` and a duration."""
    if not isinstance(value, str):
        return _text_or_mapping(value)
    if not re.fullmatch(NEWEST[1:-1], value):
        raise ValueError(
            "must be a condition such as {$index: {$mod: [10, 0]}} or `newest 7d`, not"
            f" {quote(value)}"
        )
    if duration(value.removeprefix("newest ")) == 0:
        raise ValueError("must be longer than 0: newest 7d")
    return value


@dataclass(frozen=True)
class Matches:
    """A rule for text: a pattern for the JSON schema, and words for the person who breaks it."""

    pattern: str
    right: str
    quoted: bool = True  # whether the message may show the text

    def check(self, text: str) -> str:
        """The text itself. Raises ValueError when it does not match."""
        if not re.fullmatch(self.pattern, text):
            found = f", not {quote(text)}" if self.quoted else ""
            raise ValueError(f"must be {self.right}{found}")
        return text

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, inner: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(inner), "pattern": self.pattern}


NAME_RULE = 'a name without / " . $ \\ ` or white space'
Name = Annotated[str, Matches(rf"^{NAME}$", NAME_RULE)]
Given = Annotated[
    str,
    Matches(
        rf"^{NAME}(?:\.{NAME})?$", "a column, or a column behind a link such as visitor.device"
    ),
]
# `[id]` is `id`: after validation several names are at least two.
Key = Annotated[
    str | tuple[str, ...],
    PlainValidator(
        _key,
        json_schema_input_type=Name | Annotated[tuple[Name, ...], Field(min_length=1)],
    ),
]
Link = Annotated[
    str, Matches(rf"^{NAME}\.{NAME}$", "'table.column' of the Aito table it points to")
]
Source = Annotated[
    str,
    Matches(
        SOURCE,
        "'dataset.table' or 'project.dataset.table' without backticks ('dataset.events_*' for"
        " tables of one day each)",
    ),
]
SourceColumn = Annotated[
    str,
    Matches(
        rf"^{SOURCE_COLUMN}$",
        "the name of one column of the source (for an expression use `query`)",
    ),
]
LeftOut = Annotated[
    str, Matches(rf"^{LEFT_OUT}$", "the name of one column of the source, without backticks")
]
Ledger = Annotated[str, Matches(LEDGER, "'dataset' or 'project.dataset'")]
Project = Annotated[str, Matches(rf"^{PROJECT}$", "a project id")]
Location = Annotated[
    str, Matches(LOCATION, "a BigQuery location: EU, US, or a region such as europe-north1")
]
Topic = Annotated[
    str, Matches(TOPIC, "a topic with its path, such as projects/my-project/topics/my-topic")
]
Secret = Annotated[
    str,
    Matches(
        rf"^({IDENTIFIER}|{SECRET}|{SECRET}/versions/{IDENTIFIER})$",
        "a secret's id, or projects/P/secrets/S, or projects/P/secrets/S/versions/V, or the same"
        " with projects/P/locations/L",
        quoted=False,
    ),
]
Duration = Annotated[
    int, BeforeValidator(duration, json_schema_input_type=Annotated[str, Field(pattern=DURATION)])
]
Zone = Annotated[
    str,
    Matches(ZONE, "a time zone such as UTC, Europe/Helsinki or +02:00"),
    AfterValidator(_zone),
]
Url = Annotated[
    str, AfterValidator(_aito_url), Field(json_schema_extra={"pattern": "^https?://[^?#@]+$"})
]
Query = Annotated[str, AfterValidator(_query)]
Condition = Annotated[str, AfterValidator(_condition)]
Expression = Annotated[str, AfterValidator(_not_blank)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
ColumnType = Literal[
    "String",
    "Text",
    "Int",
    "Long",
    "Decimal",
    "Boolean",
    "Json",
    "String[]",
    "Int[]",
    "Decimal[]",
    "Boolean[]",
]
Test = Annotated[
    dict[str, Any] | str,
    BeforeValidator(
        _test, json_schema_input_type=dict[str, Any] | Annotated[str, Field(pattern=NEWEST)]
    ),
]


class Frozen(BaseModel):
    """A model that never changes and converts no value: "5" is no number, 1 is not true."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        # Validators are built when a file is read, once for all parts of it, not by an import.
        defer_build=True,
    )
    _origin: Origin = PrivateAttr(default=Origin())

    def set_origin(self, origin: Origin) -> None:
        """Remember where these settings are in a file."""
        self._origin = origin

    def at(self, *path: str | int) -> str:
        """Where a setting is: file, line and path. Of settings without a file: its path."""
        return self._origin.at(*path)


class AitoSettings(Frozen):
    """The Aito database that is fed."""

    url: Url = Field(
        description=(
            "https://my-db.aito.app or https://shared.aito.ai/db/<name>; http on loopback only"
        )
    )
    api_key_secret: Secret | None = Field(
        default=None,
        description=(
            "the secret with the read-write key: an id, projects/P/secrets/S, or .../versions/V;"
            " V may be an alias. A regional secret is projects/P/locations/L/secrets/S"
        ),
    )
    http_host: str | None = Field(
        default=None,
        description=(
            "the one host to which http:// is allowed, such as a service of docker compose; the key"
            " travels unencrypted"
        ),
    )
    # 10 is what the shared plan allows. A run sends one request at a time, so it is slowed down
    # only by an Aito that answers within 0.1 s.
    requests_per_second: Positive = Field(
        default=10,
        description="ceiling for one process; Aito's plans allow 10, 20 or 40, shared ones 10",
    )
    timeout_seconds: Positive = Field(default=60, description="per request")


class BigQuerySettings(Frozen):
    """Where queries run, and what one may cost."""

    project: Project | None = Field(
        default=None, description="where jobs run and are billed; default GOOGLE_CLOUD_PROJECT"
    )
    location: Location | None = Field(
        default=None, description="where the datasets are, such as EU"
    )
    drive: bool = Field(
        default=False,
        description="ask for read access to Google Drive, where tables over Sheets have their rows",
    )
    max_bytes_billed: int = Field(
        default=10 * GIB,
        gt=0,
        lt=2**63,
        description="a query that would read more is refused; of a clustered table, what it really "
        "reads counts",
    )


class BatchSettings(Frozen):
    """A batch closes at whichever limit comes first."""

    rows: int = Field(default=1_000, ge=1, le=100_000, description="rows in one upload")
    # Aito refuses messages over 10 MB, headers included.
    bytes: int = Field(
        default=5_000_000, ge=1, le=9_500_000, description="bytes in one upload; Aito refuses 10 MB"
    )


class ColumnSettings(Frozen):
    """How a column of the Aito table is made; everything left out is derived from the source."""

    sql: Expression | None = Field(
        default=None,
        description=(
            "SQL expression over the source, its pseudo-columns such as _TABLE_SUFFIX included;"
            " default the column of this name"
        ),
    )
    type: ColumnType | None = Field(
        default=None, description="Aito type; default derived from the source's"
    )
    analyzer: Annotated[str | dict[str, Any], BeforeValidator(_text_or_mapping)] | None = Field(
        default=None, description="how a Text column is cut into words, such as en or standard"
    )
    link: Link | None = Field(
        default=None, description="'table.column' of the Aito table whose rows this points to"
    )
    nullable: bool | None = Field(
        default=None, description="whether the value may be absent; default derived from the source"
    )
    left_out: Annotated[
        tuple[LeftOut, ...],
        BeforeValidator(_tuple_of_list, json_schema_input_type=tuple[LeftOut, ...]),
    ] = Field(
        default=(),
        alias="except",
        description="of the column '*', which is all other source columns: those to leave out",
    )


def _empty_if_null(value: object) -> object:
    """`id:` with nothing after it is a column of which everything is derived."""
    return {} if value is None else value


Column = Annotated[
    ColumnSettings, BeforeValidator(_empty_if_null, json_schema_input_type=ColumnSettings | None)
]


class CursorSettings(Frozen):
    """What tells new rows from old ones."""

    source: SourceColumn = Field(
        description="source column: TIMESTAMP, DATETIME, DATE, or INT64 of an epoch (see unit)"
    )
    unit: Literal["s", "ms", "us"] = Field(
        default="s",
        description="what an INT64 source counts since 1970: `s`, `ms` or `us` (microseconds)",
    )
    zone: Zone = Field(
        default="UTC", description="of a DATETIME or DATE source, such as Europe/Helsinki or +02:00"
    )
    column: Name = Field(
        description="Aito Int column that holds the cursor in epoch seconds; added when absent"
    )


class PurgeSettings(Frozen):
    """The guard of the purge."""

    max_share: Share = Field(
        default=0.5, description="refuse to purge more than this share of the table in one run"
    )


class DeleteSettings(Frozen):
    """The guard of deletions: rows in Aito that the source no longer has."""

    max_share: Share = Field(
        default=0.1,
        description=(
            "refuse to delete more than this share of the table over a week of runs; in mode"
            " replace only where it is set"
        ),
    )


class RejectSettings(Frozen):
    """The guard against a source gone wrong."""

    max_share: Share = Field(
        default=0.01, description="stop the table past this share of rejected rows in one run"
    )
    keep_document: bool = Field(
        default=True, description="false leaves the rejected rows themselves out of the ledger"
    )


class EvaluationSettings(Frozen):
    """A measure of how well Aito predicts one column, taken after each load."""

    name: Name = Field(description="what the evaluation is called in the ledger")
    predict: Name | None = Field(default=None, description="the column to predict")
    given: tuple[Given, ...] = Field(default=(), description="the columns to predict it from")
    test: Test = Field(
        default_factory=lambda: {"$index": {"$mod": [10, 0]}},
        description=(
            "the rows to test on: a condition, or `newest 7d` to train on older rows and test on"
            " newer ones"
        ),
        json_schema_extra={"default": {"$index": {"$mod": [10, 0]}}},
    )
    cases: int = Field(
        default=500,
        ge=1,
        description="at most about so many rows are predicted, spread evenly over the test rows",
    )
    min_accuracy: Share | None = Field(
        default=None, description="an accuracy below this is reported as an error"
    )
    query: dict[str, Any] | None = Field(
        default=None, description="a whole Aito evaluate body instead"
    )

    @property
    def newest_seconds(self) -> int | None:
        """Length of the test range when the newest rows are the test, otherwise None."""
        if not isinstance(self.test, str):
            return None
        return duration(self.test.removeprefix("newest "))


class TableSettings(Frozen):
    """One Aito table and where its rows come from."""

    name: Name = Field(description="the Aito table that is made and loaded, such as orders")
    source: Source | None = Field(
        default=None,
        description=(
            "table or view: 'dataset.table' or 'project.dataset.table'; 'dataset.events_*' for"
            " tables of one day each, with names that end in YYYYMMDD"
        ),
    )
    intraday: bool = Field(
        default=False,
        description="with a source such as events_*: read events_intraday_YYYYMMDD as well",
    )
    query: Query | None = Field(default=None, description="one SELECT instead of `source`")
    where: Condition | None = Field(
        default=None, description="SQL condition beside `source`: only such rows are synced"
    )
    deletes: Condition | None = Field(
        default=None,
        description=(
            "SQL condition, or a BOOL column: such rows delete their key instead of being stored."
            " They count as `deleted`, and not for delete.max_share"
        ),
    )
    enabled: bool = Field(
        default=True, description="false leaves the table alone: no load, no purge, no alarm"
    )
    mode: Literal["append", "merge", "replace"] = Field(
        default="append",
        description=(
            "append: rows never change; merge: the newest of a key wins; replace: swap the table"
        ),
    )
    key: Key | None = Field(
        default=None,
        description=(
            "the Aito column that identifies a row; required with a cursor. A list such as"
            " [order_id, line] makes one key of several columns"
        ),
    )
    key_column: Name = Field(
        default="sync_key",
        description=(
            "Aito String column that holds a key of several columns: their texts, joined by `|`"
            " (in a text, `~` becomes `~0` and `|` becomes `~1`)"
        ),
    )
    cursor: CursorSettings | None = Field(
        default=None, description="what tells new rows from old ones"
    )
    columns: (
        Annotated[
            dict[Name, Column],
            AfterValidator(_some_columns),
            Field(json_schema_extra={"minProperties": 1}),
        ]
        | None
    ) = Field(
        default=None,
        description=(
            "Aito column: how it is made; '*' adds all other source columns, less its `except`;"
            " left out: every source column under its own name"
        ),
    )
    lookback: Duration = Field(
        default=3_600,
        description="re-read this far behind the watermark",
        json_schema_extra={"default": "1h"},
    )
    keep: Annotated[Duration, Field(gt=0)] | None = Field(
        default=None, description="purge older rows, and never load them; left out: keep everything"
    )
    purge: PurgeSettings = Field(default=PurgeSettings(), description="the guard of the purge")
    delete: DeleteSettings = Field(
        default=DeleteSettings(), description="the guard of deleting what the source no longer has"
    )
    rejects: RejectSettings = Field(
        default=RejectSettings(), description="the guard against a source gone wrong"
    )
    evaluate: tuple[EvaluationSettings, ...] = Field(
        default=(), description="predictions to measure after each load"
    )

    @property
    def is_sharded(self) -> bool:
        """Whether the source is a table a day."""
        return self.source is not None and self.source.endswith("*")

    @cached_property
    def named(self) -> dict[str, ColumnSettings]:
        """The columns that the configuration names."""
        return {name: made for name, made in (self.columns or {}).items() if name != STAR}

    @property
    def takes_all(self) -> bool:
        """Whether source columns that the configuration does not name are columns, too."""
        return self.columns is None or STAR in self.columns

    @property
    def left_out(self) -> tuple[str, ...]:
        """The source columns that `*` leaves out."""
        star = (self.columns or {}).get(STAR)
        return star.left_out if star else ()

    @cached_property
    def key_parts(self) -> tuple[str, ...]:
        """The columns that the key is made of, as `columns` spells them. Empty without a key."""
        names = self.key or ()
        several = (names,) if isinstance(names, str) else names
        declared = {name.lower(): name for name in self.named}
        return tuple(declared.get(name.lower(), name) for name in several)

    @cached_property
    def lowered_key_parts(self) -> frozenset[str]:
        """The columns of the key in small letters, as BigQuery compares names."""
        return frozenset(part.lower() for part in self.key_parts)

    @cached_property
    def has_composite_key(self) -> bool:
        """Whether several columns make the key."""
        return len(self.key_parts) > 1

    @property
    def key_name(self) -> str | None:
        """The Aito column that identifies a row; None without a key."""
        if self.has_composite_key:
            return self.key_column
        return self.key_parts[0] if self.key_parts else None

    @property
    def key_columns(self) -> tuple[str, ...]:
        """Every Aito column of the key: its parts, and the one that is made of them."""
        return (*self.key_parts, self.key_column) if self.has_composite_key else self.key_parts

    @property
    def replaces_by_key(self) -> bool:
        """Whether a row may stand for an older one of its key, or delete it."""
        return self.mode == "merge" or self.deletes is not None

    @property
    def links(self) -> dict[str, tuple[str, str]]:
        """Column -> the table and column it points to."""
        found: dict[str, tuple[str, str]] = {}
        for name, column in self.named.items():
            if column.link:
                table, _, target = column.link.partition(".")
                found[name] = (table, target)
        return found

    @property
    def parents(self) -> tuple[str, ...]:
        """The tables this one links to, each once, in the order of the columns."""
        return tuple(dict.fromkeys(table for table, _ in self.links.values()))


class Settings(Frozen):
    """What is synced, and how."""

    aito: AitoSettings = Field(description="the Aito database that is fed")
    bigquery: BigQuerySettings = Field(
        default=BigQuerySettings(), description="where queries run, and what one may cost"
    )
    ledger: Ledger = Field(
        description="dataset of the sync's own tables: 'dataset' or 'project.dataset'"
    )
    batch: BatchSettings = Field(
        default=BatchSettings(), description="how much is uploaded at once"
    )
    time_budget_seconds: Annotated[float, Field(ge=1, le=3_500)] = Field(
        default=1_500, description="the run stops at a slice edge before this is spent"
    )
    topic: Topic | None = Field(
        default=None, description="where a run that is out of time asks to be continued"
    )
    tables: Annotated[
        tuple[TableSettings, ...],
        AfterValidator(_some_tables),
        Field(json_schema_extra={"minItems": 1}),
    ] = Field(description="what is synced")

    def table(self, name: str) -> TableSettings:
        """The table of that name; KeyError when there is none."""
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(name)

    def parents_first(self) -> tuple[TableSettings, ...]:
        """Every table after those it links to, and otherwise in the order of the file."""
        waiting = list(self.tables)
        ordered: list[TableSettings] = []
        while waiting:
            names = {table.name for table in waiting}
            ready = next(table for table in waiting if names.isdisjoint(table.parents))
            waiting.remove(ready)
            ordered.append(ready)
        return tuple(ordered)
