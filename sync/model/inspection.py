"""What is known of a source that is not configured yet: the facts that `init` proposes from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

KEY_NAME = re.compile(
    r"(^|_)(id|uuid|guid|key|code|number|no|sku|ean|hash|email|slug)$|id$", re.IGNORECASE
)
KEY_TYPES = ("STRING", "INTEGER")


@dataclass(frozen=True)
class ColumnFacts:
    """A column of a source table and what was counted of it.

    type: the API's name, such as STRING, INTEGER, TIMESTAMP, RECORD.
    can_be_synced: whether Aito has a type for it, and for all that is inside it.
    nulls: rows without a value. distinct: number of values, exact for candidates of the key.
    minimum, maximum: of an INTEGER its value, of a time its epoch seconds.
    mean_length: characters of a STRING. mean_words: parts of it between blanks.
    A number is None when it was not counted.
    """

    name: str
    type: str
    repeated: bool = False
    can_be_synced: bool = True
    nulls: int | None = None
    distinct: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    mean_length: float | None = None
    mean_words: float | None = None

    @property
    def may_be_key(self) -> bool:
        """Whether name and type are those of a key. Only then is `distinct` exact."""
        is_scalar = self.type in KEY_TYPES and not self.repeated
        return is_scalar and KEY_NAME.search(self.name) is not None


@dataclass(frozen=True)
class TableFacts:
    """A source table or view.

    source: `dataset.table`, with the project in front when the request named one. Of daily tables
    it ends with `*`, and the newest of them was counted.
    composite_key: columns that identify a row together, by count; empty when none were found.
    rows: None when they were not counted. bytes: stored, None for a view.
    not_counted: why nothing was counted; empty when it was.
    """

    source: str
    kind: str
    columns: tuple[ColumnFacts, ...]
    rows: int | None = None
    bytes: int | None = None
    location: str | None = None
    partition_column: str | None = None
    not_counted: str = ""
    composite_key: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """The name without project and dataset."""
        return self.source.rsplit(".", 1)[-1].removesuffix("_*")

    @property
    def is_sharded(self) -> bool:
        """Whether these are daily tables such as events_20240131, as GA4 exports them."""
        return self.source.endswith("*")


@dataclass(frozen=True)
class KeyCandidate:
    """Columns of a table that may identify a row together. The table is named by its source."""

    source: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class LinkCandidate:
    """A column whose values may be keys of another table. Tables are named by their source."""

    source: str
    column: str
    parent: str
    key: str


@dataclass(frozen=True)
class LinkFacts:
    """How many distinct values of a column are keys of the other table."""

    candidate: LinkCandidate
    values: int
    found: int

    @property
    def share(self) -> float:
        """The share of the values that are keys; 0 without any value."""
        return self.found / self.values if self.values else 0.0


@dataclass(frozen=True)
class Inspection:
    """All that was read of the sources.

    left_out: table of a dataset -> why nothing is proposed for it.
    now: epoch seconds when it was read.
    """

    tables: tuple[TableFacts, ...]
    links: tuple[LinkFacts, ...]
    bytes_processed: int
    queries: int
    now: int
    left_out: Mapping[str, str] = field(default_factory=dict)


ChooseKeys = Callable[[TableFacts], Sequence[KeyCandidate]]
ChooseLinks = Callable[[Sequence[TableFacts]], Sequence[LinkCandidate]]
