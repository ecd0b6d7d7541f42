"""What is known of a table's retention study, and what its recommendation would do. Pure.

The advice is for a person: which line of `sync.yaml` to change, and what that costs.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sync.config import Settings, TableSettings, spell_duration
from sync.model.basis import definition, is_same_definition

DAY = 86_400
OLD = 90 * DAY  # a study that is older says less about the rows of today
LONGER = tuple(days * DAY for days in (14, 30, 60, 90, 180, 365, 730))
ROWS_A_SECOND = 500  # what Aito takes where no run has shown it: 200 to 900
PURGE_CALLS = 6  # two counts, the deletion with its two counts, the optimization

Row = Mapping[str, Any]
Facts = dict[str, Any]


def describe(
    settings: Settings,
    table: TableSettings,
    studies: Sequence[Row],
    runs: Sequence[Row],
    now: float,
) -> Facts | None:
    """The running study and the last one that ended; None: there was none.

    studies: the last one in each state. runs: of the table, newest first. now: epoch seconds.
    """
    by_state = {row["state"]: row for row in studies}
    running, latest = by_state.get("started"), by_state.get("finished")
    given_up = by_state.get("failed")
    if given_up and latest and given_up["started_at"] < latest["started_at"]:
        given_up = None
    if not studies:
        return None
    return {
        "running": _running(running) if running else None,
        "latest": _latest(settings, table, latest, runs, now) if latest else None,
        "given_up": json.loads(given_up["result"])["reason"] if given_up else None,
    }


def _running(row: Row) -> Facts:
    plan = json.loads(row["result"])
    return {
        "study_id": row["study_id"],
        "started_at": row["started_at"].isoformat(timespec="seconds"),
        "jobs_ended": row["jobs_ended"],
        "jobs": len(plan["histories"]) * len(plan["subjects"]),
    }


def _latest(
    settings: Settings, table: TableSettings, row: Row, runs: Sequence[Row], now: float
) -> Facts:
    found = json.loads(row["result"])
    age = int(now - row["finished_at"].timestamp())
    return {
        "study_id": row["study_id"],
        "finished_at": row["finished_at"].isoformat(timespec="seconds"),
        "age_seconds": age,
        "outdated": list(_outdated(settings, table, found, age)),
        "keep": table.keep,
        "history": found["history"],
        "reason": found["reason"],
        "margin": found["margin"],
        "jobs": found["jobs"],
        "aito_calls": found["aito_calls"],
        "seconds": found["seconds"],
        "change": _change(settings, table, found, runs),
        "evaluations": [_without(each, "definition") for each in found["evaluations"]],
    }


def _outdated(
    settings: Settings, table: TableSettings, found: Mapping[str, Any], age: int
) -> Iterator[str]:
    """Why the study says less than it did."""
    if age > OLD:
        yield f"it is {age // DAY} days old; measure again"
    evaluations = {each.name: each for each in table.evaluate}
    for each in found["evaluations"]:
        name = each["name"]
        if name not in evaluations:
            yield f"{name} is not in the configuration any more"
            continue
        current = definition(table, evaluations[name], settings.tables)
        if not is_same_definition(each["definition"], current):
            yield f"{name} was measured under another definition; measure again"


# -- what a change would do


def _change(
    settings: Settings, table: TableSettings, found: Mapping[str, Any], runs: Sequence[Row]
) -> Facts | None:
    """The line to change, and its price; None: there is nothing to change."""
    history, keep = found["history"], table.keep
    if history is None:
        return None
    if keep is None or history < keep:
        return _shorter(table, found, history)
    if history == keep and _rises(found):
        longer = next((each for each in LONGER if each > keep), None)
        return None if longer is None else _longer(settings, table, found, longer, runs)
    return None


def _rises(found: Mapping[str, Any]) -> bool:
    return any(each["trend"] == "rises" for each in found["evaluations"])


def _shorter(table: TableSettings, found: Mapping[str, Any], history: int) -> Facts | None:
    total = found["study"]["span"]["rows"]
    kept = _rows_of(found, history, with_test=True)
    purged = max(0, total - kept)
    share = purged / total if total else 0.0
    return {
        "yaml": _line(table, history),
        "what": "purged",
        "rows": purged,
        "share": share,
        "bytes": 0,
        "aito_calls": PURGE_CALLS,
        "minutes": 1,
        "allow": "purge" if share > table.purge.max_share else None,
    }


def _longer(
    settings: Settings,
    table: TableSettings,
    found: Mapping[str, Any],
    longer: int,
    runs: Sequence[Row],
) -> Facts:
    """The refresh that follows reads the whole new range, and sends what Aito lacks."""
    keep = table.keep or 0
    rate = _rows_of(found, keep) / max(1, keep)
    read, loaded = rate * longer, rate * (longer - keep)
    return {
        "yaml": _line(table, longer),
        "what": "loaded",
        "rows": round(loaded),
        "share": None,
        "bytes": round(read * _bytes_a_row(runs)),
        "aito_calls": math.ceil(loaded / settings.batch.rows) + math.ceil(read / 10_000),
        "minutes": math.ceil(loaded / _rows_a_second(runs) / 60),
        "allow": None,
    }


def _line(table: TableSettings, seconds: int) -> str:
    was = "everything is kept" if table.keep is None else spell_duration(table.keep)
    return f"keep: {spell_duration(seconds)}    # was: {was}"


def _rows_of(found: Mapping[str, Any], history: int, *, with_test: bool = False) -> int:
    """About how many rows a history has, by what the evaluations learned from.

    with_test: of a history that ends with the newest row, and not before the test rows.
    """
    learned = _learned(found)
    if not with_test:
        return round(_between(learned, history))
    study = found["study"]
    tested = study["span"]["newest"] + 1 - study["start"]
    test_rows: int = max(subject["test_rows"] for subject in study["subjects"])
    return test_rows + round(_between(learned, max(0, history - tested)))


def _learned(found: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Histories with the rows that were learned from, shortest first."""
    rows: dict[int, int] = {0: 0}
    for each in found["evaluations"]:
        for point in each["points"]:
            count, history = point["train_rows"] or 0, point["history"]
            rows[history] = max(rows.get(history, 0), count)
    return sorted(rows.items())


def _between(learned: Sequence[tuple[int, int]], history: int) -> float:
    """The rows of a history, between those of its neighbours."""
    for (shorter, fewer), (longer, more) in itertools.pairwise(learned):
        if history <= longer:
            return fewer + (more - fewer) * (history - shorter) / (longer - shorter)
    return learned[-1][1]


def _bytes_a_row(runs: Sequence[Row]) -> float:
    """Bytes that BigQuery read for a row, in the last runs that fetched many."""
    read = [(row["bytes_processed"] or 0, row["fetched"] or 0) for row in runs]
    most = max(read, key=lambda each: each[1], default=(0, 0))
    return most[0] / most[1] if most[1] else 0.0


def _rows_a_second(runs: Sequence[Row]) -> float:
    """Rows that the largest of the last runs has uploaded a second."""
    done = [(row["uploaded"] or 0, row["seconds"] or 0.0) for row in runs]
    rows, seconds = max(done, key=lambda each: each[0], default=(0, 0.0))
    return rows / seconds if rows >= 1_000 and seconds else ROWS_A_SECOND


def _without(row: Row, name: str) -> Facts:
    return {key: value for key, value in row.items() if key != name}


# -- words


def headline(latest: Row) -> str:
    """What a study recommends, in one sentence."""
    history, keep = latest["history"], latest["keep"]
    present = "everything is kept" if keep is None else f"keep: {spell_duration(keep)}"
    if history is None:
        return f"not enough evidence to change `keep` (now: {present})"
    spelled = spell_duration(history)
    if history == keep:
        change = latest["change"]
        more = ", and more might help" if change and change["what"] == "loaded" else ""
        return f"keep: {spelled} is right{more}"
    if keep is not None and history > keep:
        return f"keep: {spelled} was recommended (now: {present})"
    return f"keep: {spelled} is enough (now: {present})"
