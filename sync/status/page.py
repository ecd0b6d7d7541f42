"""The status page: facts in, one self-contained HTML page out.

The page has no script, loads nothing from elsewhere and works without JavaScript. Every text is
escaped. This module chooses what is shown and in which words; page.html is the layout.
"""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from sync.base.words import counted
from sync.config import spell_duration
from sync.status import plots, wording
from sync.status.retention import headline

HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
MAX_TITLES = 720  # bars of a page that show their numbers on hover; more exceed 300 kB
MAX_RUN_TABLES = 12  # tables of a page whose last runs are all shown; more exceed 300 kB
FEW_RUNS = 3  # runs of a table that are shown otherwise
RECENT_BARS = 8  # bars that are also shown as numbers, for those who do not see the plot
STATES = {
    "ok": "ok",
    "running": "running",
    "partial": "to be continued",
    "failed": "failed",
    "never": "not run yet",
}
SYMBOLS = {"ok": "✓", "running": "↻", "partial": "…", "failed": "✕", "never": "○"}
ATTENTION_SYMBOL = "!"

Fact = Mapping[str, Any]
View = dict[str, Any]


def render(facts: Fact) -> str:
    """The page. Tables that need attention come first, failed ones before all others."""
    views = sorted((_table(table) for table in facts["tables"]), key=_urgency)
    for view in views:
        view["runs"] = view["runs"] if len(views) <= MAX_RUN_TABLES else view["runs"][:FEW_RUNS]
    return _template().render(
        generated=wording.moment(facts["generated_at"]),
        tables=views,
        links=facts["links"],
        bad=sum(view["attention"] for view in views),
        hover=sum(len(view["rows"]) for view in views) <= MAX_TITLES,
        empty=all(view["state"] == "never" for view in views),
        error=None,
    )


def render_error(error: str) -> str:
    """The page when there are no facts: what is wrong, in the words of the error."""
    return _template().render(
        error=error, generated=None, tables=[], links={}, bad=1, empty=False, hover=False
    )


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "ago": wording.ago,
        "age": wording.age,
        "bytes": wording.bytes_,
        "count": wording.count,
        "day": wording.day,
        "duration": wording.duration,
        "moment": wording.moment,
        "percent": wording.percent,
        "spelled": spell_duration,
    }
    source = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return environment.from_string(source)


def _table(table: Fact) -> View:
    """A table as the layout needs it. kind: the CSS class of its state."""
    evaluations = [_evaluation(each) for each in table["evaluations"]]
    state, concerns = table["state"], _concerns(table, evaluations)
    kind, word, symbol = state, STATES.get(state, state), SYMBOLS.get(state, "?")
    if concerns and state == "ok":
        kind, word, symbol = "partial", concerns[0], ATTENTION_SYMBOL
    elif table["warnings"] and state == "ok":
        word = _count_warnings(len(table["warnings"]))
    return {
        **table,
        "kind": kind,
        "word": word,
        "symbol": symbol,
        "attention": bool(concerns) or state in ("failed", "partial"),
        "plot": plots.rows_plot(table["rows"]),
        "recent": _newest_first(table["rows"]),
        "commands": _commands(table["table"]),
        "evaluations": evaluations,
        "retention": _retention(table["retention"]),
    }


def _retention(study: Fact | None) -> View | None:
    """A retention study as the layout needs it: headline and curves of the last one."""
    if study is None:
        return None
    latest = study["latest"]
    if latest is None:
        return {**study, "curves": []}
    curves = [_curve(each, latest["keep"]) for each in latest["evaluations"]]
    return {**study, "headline": headline(latest), "curves": curves}


def _curve(evaluation: Fact, keep: int | None) -> View:
    """The curve of an evaluation. bare: there is nothing to draw."""
    plot = plots.retention_plot(evaluation["points"], keep, evaluation["history"])
    return {**evaluation, "plot": plot, "bare": not plot}


def _count_warnings(number: int) -> str:
    return f"ok, {counted(number, 'warning')}"


def _commands(table: str) -> dict[str, str]:
    """What a person may want to run next, ready for a shell."""
    name = shlex.quote(table)
    body = shlex.quote(json.dumps({"action": "sync", "tables": [table]}, ensure_ascii=False))
    login = "Authorization: Bearer $(gcloud auth print-identity-token)"
    return {
        "See the plan": f"./aito-sync check --tables {name}",
        "Sync now": f"./aito-sync sync --tables {name}",
        "Compare both ends and repair": f"./aito-sync reconcile --tables {name}",
        "Sync now, where this page runs": (
            f'curl -X POST -H "{login}" -H "Content-Type: application/json" -d {body} $URL'
        ),
    }


def _urgency(view: View) -> int:
    """The place of a table on the page; equal ones keep their order."""
    if view["state"] == "failed":
        return 0
    return 1 if view["attention"] else 2


def _concerns(table: Fact, evaluations: Sequence[Fact]) -> list[str]:
    """What needs attention although the last run ended ok, the most important first."""
    failed = any(each["failure"] and not each["restarted"] for each in evaluations)
    checks = {
        "overdue": table["freshness"]["stale"],
        "accuracy is low": any(each["is_low"] for each in evaluations),
        "evaluation failed": failed,
    }
    return [word for word, found in checks.items() if found]


def _evaluation(evaluation: Fact) -> View:
    """An evaluation as the layout needs it.

    restarted: whether it was started again after its last failure.
    bare: there is nothing to draw.
    margin: half the 95 % interval of the last accuracy; None when the cases are not known.
    """
    latest, minimum = evaluation["latest"] or {}, evaluation["min_accuracy"]
    accuracy, cases = latest.get("accuracy"), latest.get("test_samples")
    is_known = accuracy is not None and cases != 0
    has_cases = accuracy is not None and bool(cases)
    running, failure = evaluation["running"], evaluation["failure"]
    restarted = running and failure and running["started_at"] > failure["started_at"]
    plot = plots.accuracy_plot(evaluation["accuracy"], minimum)
    return {
        **evaluation,
        "plot": plot,
        "bare": not plot,
        "is_low": is_known and minimum is not None and accuracy < minimum,
        "margin": plots.margin(accuracy or 0.0, cases or 1) if has_cases else None,
        "restarted": bool(restarted),
        "recent": _newest_first(evaluation["accuracy"]),
    }


def _newest_first(bars: Sequence[Fact]) -> list[Fact]:
    return list(reversed(bars))[:RECENT_BARS]
