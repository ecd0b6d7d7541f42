"""Recognises messages of other systems that say "data is ready", and finds the tables to sync.

    a scheduled query or transfer   https://cloud.google.com/bigquery/docs/transfer-run-notifications
    an audit log entry of BigQuery  https://cloud.google.com/bigquery/docs/reference/auditlogs
    an object in Cloud Storage      https://cloud.google.com/storage/docs/pubsub-notifications
    a dbt job                       https://docs.getdbt.com/docs/deploy/webhooks

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.config import Settings, TableSettings

STORAGE_EVENT = "google.cloud.storage.object.v1."
STORAGE_READY = ("OBJECT_FINALIZE", "finalized")
TABLE_RESOURCE = re.compile(r"projects/[^/]+/datasets/([^/]+)/tables/([^/]+)")
# `dataset.table` in SQL. The look-ahead finds overlapping pairs: of `a.b.c` both a.b and b.c.
DOTTED_PAIR = re.compile(r"(?=(?<![\w-])([\w-]+)\.([\w-]+\*?))")
INTRADAY = "intraday_"  # before the day, in the names of tables that GA4 replaces by daily ones
DAY = re.compile("[0-9]{8}")
DIGITS = re.compile("[0-9]{0,8}")
JOB_CONFIGS = ("loadConfig", "queryConfig", "tableCopyConfig")
CREATED_WITH_ROWS = ("JOB", "QUERY")  # why a table was made; by the API it is empty
OLD_JOB_CONFIGS = ("load", "query", "tableCopy")

Pair = tuple[str, str]  # dataset and table


@dataclass(frozen=True)
class Notice:
    """A message of another system.

    `what` names it for people. `not_ready` says why there is nothing to sync, or is None.
    `dataset` and `table` name where the new data is, as far as the message says.
    """

    what: str
    not_ready: str | None = None
    dataset: str | None = None
    table: str | None = None


def recognise(
    content: Mapping[str, Any], attributes: Mapping[str, Any], event_type: str = ""
) -> Notice | None:
    """The notice in a message's content, attributes and CloudEvent type. None: it is a request."""
    if "protoPayload" in content:
        return _audit_log_entry(_mapping(content["protoPayload"]))
    if "dataSourceId" in content and "state" in content:
        return _transfer_run(content)
    if str(content.get("eventType", "")).startswith("job.run."):
        return _dbt_job(content)
    if event_type.startswith(STORAGE_EVENT):
        return _storage_object(event_type.removeprefix(STORAGE_EVENT))
    if "objectId" in attributes:
        return _storage_object(str(attributes.get("eventType")))
    if content.get("kind") == "storage#object":
        return _storage_object(STORAGE_READY[0])
    return None


def nothing_to_do(settings: Settings, notice: Notice) -> str | None:
    """Why no table is to be synced after a notice. None: there is something to sync."""
    if notice.not_ready is not None:
        return f"{notice.what}: {notice.not_ready}; nothing was run"
    ledger = settings.ledger.rpartition(".")[2]
    if notice.dataset == ledger:
        return f"{notice.what}: it wrote to the ledger of this sync; nothing was run"
    found = _readers(settings, notice)
    if any(table.enabled for table in found):
        return None
    if found:
        return f"{notice.what}: all tables that read it have `enabled: false`; nothing was run"
    if not _may_read(settings, notice):
        return (
            f"{notice.what}: it wrote to {notice.dataset}.{notice.table}, which no table reads; "
            "nothing was run. `intraday: true` reads events_intraday_YYYYMMDD as well"
        )
    return None


def readers(settings: Settings, notice: Notice) -> list[str] | None:
    """The enabled tables whose `source` or `query` names the table of a notice. None: sync all.

    A view may read what is named, without a word of it in the settings. So all tables are synced
    when none names it, but those whose source leaves it out for sure.
    """
    found = [table.name for table in _readers(settings, notice) if table.enabled]
    if found:
        return found
    enabled = [table for table in settings.tables if table.enabled]
    able = _may_read(settings, notice)
    return [table.name for table in able] if len(able) < len(enabled) else None


def _may_read(settings: Settings, notice: Notice) -> list[TableSettings]:
    """The enabled tables that may read the table of a notice, without naming it."""
    enabled = [table for table in settings.tables if table.enabled]
    return [table for table in enabled if not _leaves_out(table, notice)]


def _leaves_out(table: TableSettings, notice: Notice) -> bool:
    """Whether daily tables leave out what is named like one of them, such as those of today."""
    if not table.is_sharded or notice.table is None:
        return False
    ((dataset, name),) = _named_tables(table)
    is_named_so = dataset == notice.dataset and notice.table.startswith(name[:-1])
    return is_named_so and not _reads(table, notice)


def _readers(settings: Settings, notice: Notice) -> list[TableSettings]:
    """The tables, disabled ones too, that name the table of a notice."""
    if notice.dataset is None:
        return []
    return [table for table in settings.tables if _reads(table, notice)]


def _reads(table: TableSettings, notice: Notice) -> bool:
    is_named = any(_is_named(pair, notice) for pair in _named_tables(table))
    if is_named and table.is_sharded and notice.table is not None:
        return _is_daily(table, notice.table)
    return is_named


def _is_daily(table: TableSettings, name: str) -> bool:
    """Whether a source of daily tables reads the table of this name, or may, of a template."""
    ((_, wildcard),) = _named_tables(table)
    shards = wildcard[:-1]
    known, is_template, _ = name.partition("{")
    ending = known[len(shards) :] if known.startswith(shards) else shards[len(known) :]
    if table.intraday:
        ending = ending.removeprefix(INTRADAY)
    # A template stands for a date, whole or in part.
    return bool(DIGITS.fullmatch(ending)) if is_template else bool(DAY.fullmatch(ending))


def _named_tables(table: TableSettings) -> Sequence[Pair]:
    """Dataset and table of everything that may be a table in a source or a query."""
    if table.source is not None:
        _, dataset, name = f".{table.source}".rsplit(".", 2)
        return [(dataset, name)]
    return DOTTED_PAIR.findall((table.query or "").replace("`", ""))


def _is_named(pair: Pair, notice: Notice) -> bool:
    dataset, table = pair
    if dataset != notice.dataset:
        return False
    if notice.table is None:
        return True
    # `events_*` reads every table that begins so; `events_{run_date}` may be any such table.
    prefix, is_pattern, _ = notice.table.partition("{")
    if table.endswith("*"):
        shards = table[:-1]
        return prefix.startswith(shards) or (bool(is_pattern) and shards.startswith(prefix))
    return table.startswith(prefix) if is_pattern else table == prefix


# --- the kinds of notices


def _transfer_run(run: Mapping[str, Any]) -> Notice:
    what = "a scheduled query" if run["dataSourceId"] == "scheduled_query" else "a transfer"
    state = str(run["state"])
    not_ready = None if state == "SUCCEEDED" else f"its state is {state[:20]}"
    params = _mapping(run.get("params"))
    dataset = _text(run.get("destinationDatasetId"))
    table = _text(params.get("destination_table_name_template"))
    return Notice(what, not_ready, dataset, table and _bare(table))


def _storage_object(event: str) -> Notice:
    what = "an object in Cloud Storage"
    if event in STORAGE_READY:
        return Notice(what)
    return Notice(what, f"the event is {event[:40]}, not {STORAGE_READY[0]}")


def _dbt_job(event: Mapping[str, Any]) -> Notice:
    what = "a dbt job"
    kind = str(event["eventType"])
    status = str(_mapping(event.get("data")).get("runStatus"))
    if kind != "job.run.completed":
        return Notice(what, f"the event is {kind[:40]}, not job.run.completed")
    if status != "Success":
        return Notice(what, f"its status is {status[:20]}")
    return Notice(what)


def _audit_log_entry(payload: Mapping[str, Any]) -> Notice:
    what = "an audit log entry"
    if payload.get("methodName") == "storage.objects.create":
        return Notice("an object in Cloud Storage")
    if _mapping(payload.get("status")).get("code"):
        return Notice(what, "the call that it reports failed")
    metadata = _mapping(payload.get("metadata"))
    made_by = _mapping(metadata.get("tableCreation")).get("reason")
    if "tableDataChange" in metadata or made_by in CREATED_WITH_ROWS:
        return _changed_table(what, _text(payload.get("resourceName")))
    for event in ("jobChange", "jobInsertion"):
        if event in metadata:
            return _job(_mapping(_mapping(metadata[event]).get("job")))
    completed = _mapping(_mapping(payload.get("serviceData")).get("jobCompletedEvent"))
    if completed:
        return _old_job(_mapping(completed.get("job")))
    return Notice(what, "it does not report a job that wrote a table")


def _job(job: Mapping[str, Any]) -> Notice:
    """A job as BigQueryAuditMetadata describes it."""
    status = _mapping(job.get("jobStatus"))
    failed = _mapping(status.get("errorResult"))
    not_ready = _unfinished(str(status.get("jobState")), failed)
    if not_ready:
        return Notice("a BigQuery job", not_ready)
    config = _mapping(job.get("jobConfig"))
    destinations = [_mapping(config.get(kind)).get("destinationTable") for kind in JOB_CONFIGS]
    resource = next((_text(found) for found in destinations if found), None)
    return _changed_table("a BigQuery job", resource)


def _old_job(job: Mapping[str, Any]) -> Notice:
    """A job as AuditData, the older format, describes it."""
    status = _mapping(job.get("jobStatus"))
    failed = _mapping(status.get("error"))
    not_ready = _unfinished(str(status.get("state")), failed)
    if not_ready:
        return Notice("a BigQuery job", not_ready)
    config = _mapping(job.get("jobConfiguration"))
    parts = [_mapping(config.get(kind)).get("destinationTable") for kind in OLD_JOB_CONFIGS]
    found = next((_mapping(part) for part in parts if part), {})
    resource = f"projects/p/datasets/{found.get('datasetId')}/tables/{found.get('tableId')}"
    return _changed_table("a BigQuery job", resource if found else None)


def _unfinished(state: str, failed: Mapping[str, Any]) -> str | None:
    if state != "DONE":
        return f"its state is {state[:20]}"
    return "it failed" if failed else None


def _changed_table(what: str, resource: str | None) -> Notice:
    """The table of a resource name such as projects/p/datasets/d/tables/t."""
    match = TABLE_RESOURCE.fullmatch(resource or "")
    if match is None:
        return Notice(what, "it wrote no table")
    dataset, table = match.groups()
    if dataset.startswith("_"):  # where BigQuery keeps the results of queries
        return Notice(what, "it wrote no table")
    return Notice(what, None, dataset, _bare(table))


def _bare(table: str) -> str:
    """A table's name without a partition decorator such as `$20251101`."""
    return table.partition("$")[0]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
