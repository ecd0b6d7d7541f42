"""Stages: tables of the ledger's dataset that hold a load's documents, by slice.

One statement reads the source once and writes all documents. Slices are read from there, in order,
so that the source is read once whatever its size, and what is loaded is one snapshot. A stage
expires by itself. The sync drops it when the load has ended.

A stage also holds the plan of its load, as JSON text, for a run that reads on.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from sync.base.errors import NotFound
from sync.bigquery import stage_queries
from sync.bigquery.session import BigQuerySession
from sync.bigquery.table import BigQueryTable
from sync.config import BatchSettings
from sync.model import window as windows
from sync.model.sql import Query
from sync.model.stage import StagePlan
from sync.model.window import BEGINNING, Chunk, Slice, Window

# For one statement that reads the whole source. Other queries read a slice and have less.
STAGE_SECONDS = 1_200.0
EXPIRY = timedelta(hours=stage_queries.EXPIRY_HOURS)
PREFIX = "stage_"
MADE_AT = re.compile(r"_(\d{8}T\d{6})_[0-9a-f]+$")


@dataclass(frozen=True)
class Stage:
    """A stage and where its slices lie. path: project.dataset.table.

    shards: by slice, its first shard and how many it has.
    """

    path: str
    shards: dict[Slice, tuple[int, int]]

    @property
    def name(self) -> str:
        """The table's name in its dataset."""
        return self.path.rsplit(".", 1)[-1]

    def queries(self, table: BigQueryTable, part: Slice, limits: BatchSettings) -> Iterator[Query]:
        """The queries that read a slice, one for each of its shards."""
        first, count = self.shards[part]
        for shard in range(first, first + count):
            yield stage_queries.batches(table, self.path, shard, part, limits)


class Stages:
    """The stages of a run's tables."""

    def __init__(self, session: BigQuerySession, dataset: str, run_id: str) -> None:
        """dataset: of the ledger, "dataset" or "project.dataset"."""
        self._session = session
        self._run_id = run_id
        self.dataset = dataset if "." in dataset else f"{session.project}.{dataset}"

    # -- make and read

    def can_hold(self, table: BigQueryTable) -> bool:
        """Whether one statement can read the source and write into the ledger's dataset.

        BigQuery refuses that where they are in different locations.
        """
        here, there = self.location, table.location
        return here is None or there is None or here.lower() == there.lower()

    @cached_property
    def location(self) -> str | None:
        """Where the ledger's dataset is, such as EU. None when it is not known."""
        return self._session.dataset_location(self.dataset, f"ledger {self.dataset}")

    def create(
        self,
        table: BigQueryTable,
        plan: StagePlan,
        max_bytes: int | None = None,
    ) -> tuple[Stage, int]:
        """Read the plan's slices into a new stage. Returns it and the bytes that were processed.

        max_bytes: another limit than that of the settings. Raises TooManyBytes.
        """
        name = table.settings.name
        path = f"{self.dataset}.{_prefix(name)}{_suffix(name, self._run_id)}"
        query = stage_queries.create(table, path, plan.staged, _to_json(plan))
        size = self._session.create_table(query, name, STAGE_SECONDS, max_bytes)
        return Stage(path, _shards(plan.staged)), size

    def find(self, table: str, name: str) -> tuple[Stage, StagePlan] | None:
        """A stage that an earlier run has made, and its plan. None when it has expired."""
        if self._is_past(name):
            return None
        path = f"{self.dataset}.{name}"
        try:
            found = self._session.read(stage_queries.plan(path), table)
        except NotFound:
            return None
        plan = _from_json(found[0]["plan"]) if found else None
        return (Stage(path, _shards(plan.staged)), plan) if plan else None

    # -- drop

    def drop(self, path: str, table: str) -> None:
        """Drop a stage. A missing one is no error."""
        self._session.drop_table(path, table)

    def drop_left(self, table: str, keep: str | None) -> None:
        """Drop the stages that dead runs of a table have left, and any that is past its time.

        keep: the name of the stage that is in use.
        """
        for name in self._names(table):
            is_own = name.startswith(_prefix(table))
            if name != keep and (is_own or self._is_past(name)):
                self.drop(f"{self.dataset}.{name}", table)

    def _names(self, table: str) -> list[str]:
        try:
            listed = self._session.list_tables(self.dataset, table)
        except NotFound:  # no ledger yet
            return []
        return [each.table_id for each in listed if each.table_id.startswith(PREFIX)]

    def _is_past(self, name: str) -> bool:
        """Whether BigQuery should have removed the stage: an emulator does not."""
        made_at, now = _begun_at(name), _begun_at(_suffix("", self._run_id))
        return made_at is not None and now is not None and made_at + EXPIRY < now


def _begun_at(name: str) -> datetime | None:
    """When the run began that made a stage: the name ends with the run's id."""
    found = MADE_AT.search(name)
    return datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) if found else None


def whole(rows: int, rows_sorted: int) -> Slice:
    """A whole source as one slice, in as many shards as its rows need."""
    return Slice(BEGINNING, BEGINNING + 1, rows=rows, parts=windows.shards(rows, rows_sorted))


def _prefix(table: str) -> str:
    """What the names of a table's stages begin with. Names of tables may hold any letter."""
    return f"{PREFIX}{zlib.crc32(table.encode()):08x}_"


def _suffix(table: str, run_id: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9]", "_", table)[:40]
    return f"{readable}_{run_id.replace('-', '_')}"


def _shards(slices: Sequence[Slice]) -> dict[Slice, tuple[int, int]]:
    found = {}
    first = 0
    for part in slices:
        found[part] = (first, part.parts)
        first += part.parts
    return found


def _to_json(plan: StagePlan) -> str:
    return json.dumps(
        {
            "token": plan.token,
            "window": astuple(plan.window),
            "slices": [astuple(part) for part in plan.slices],
            "first": plan.first,
            "cursorless": plan.cursorless,
        }
    )


def _slice(values: Sequence[Any]) -> Slice:
    part = Slice(*values)
    return replace(part, chunks=tuple(Chunk(*chunk) for chunk in part.chunks))


def _from_json(text: str) -> StagePlan:
    values = json.loads(text)
    return StagePlan(
        token=values["token"],
        window=Window(*values["window"]),
        slices=tuple(_slice(part) for part in values["slices"]),
        first=values["first"],
        cursorless=values["cursorless"],
    )
