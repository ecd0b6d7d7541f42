"""The command line: `python -m sync COMMAND`, with the same settings and the same engine.

Exit status: 0 ok, 1 failed, 2 wrong request or configuration, 3 calling again continues.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from sync import __version__, app
from sync.app import Services, facts, inspect_tables, run
from sync.base.errors import BadRequest, ConfigError, SyncError
from sync.base.events import ProgressWatcher, Sink
from sync.config import Settings, parse
from sync.entry import answer, init, plan_view, screen, study, terminal
from sync.entry.proposal import key_candidates, link_candidates
from sync.entry.request import COMPARING, for_command_line, request_for
from sync.entry.request import request as validated
from sync.entry.signals import stop_on_signal
from sync.model.report import RunReport
from sync.model.request import Request
from sync.pipeline import unexpected

PROG = "./aito-sync"  # the launcher, which runs `python -m sync`
NAME = "aito-sync"
HAS_EVALUATIONS = ("sync", "watch")

Decorator = Callable[[Callable[..., int]], Callable[..., int]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status."""
    given = None if arguments is None else list(arguments)
    try:
        status = cli.main(given, prog_name=PROG, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (BadRequest, ConfigError) as error:
        return _failed(error, answer.EXIT_WRONG_REQUEST)
    except SyncError as error:
        return _failed(error, answer.of_error(error).exit_status)
    except click.Abort:  # the second Ctrl-C
        click.echo(f"{NAME}: stopped", err=True)
        return answer.EXIT_FAILED
    except Exception as error:  # noqa: BLE001 - the edge: no traceback reaches a person
        return _failed(unexpected(error), answer.EXIT_FAILED)
    return int(status or answer.EXIT_OK)


def _failed(error: SyncError, status: int) -> int:
    screen.show(f"{NAME}: {error}", err=True)
    return status


# --- options


@dataclass(frozen=True)
class Common:
    """The options that may stand before a command or after it."""

    config: str | None = None
    as_json: bool = False


class TablesCommand(click.Command):
    """A command whose `--tables` takes `a b`, `a,b` and `--tables a --tables b`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Write `--tables a b` as `--tables a --tables b`, which click understands."""
        return super().parse_args(ctx, _repeat_tables(args))


def _repeat_tables(arguments: list[str]) -> list[str]:
    repeated: list[str] = []
    after_tables = False
    for argument in arguments:
        if argument.startswith("-"):
            after_tables = False
        elif after_tables and repeated[-1] != "--tables":
            repeated.append("--tables")
        if argument == "--tables":
            after_tables = True
        repeated.append(argument)
    return repeated


CONFIG = click.option(
    "--config", metavar="FILE", help="The configuration; default SYNC_CONFIG, then sync.yaml."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
NAMES = click.argument("names", nargs=-1, metavar="[TABLE]...")
TABLES = click.option(
    "--tables",
    multiple=True,
    metavar="NAME...",
    help="The same as TABLE: names of tables; default all.",
)
COMPARING_COMMANDS = ("check", *COMPARING)  # `check` plans a sync


def _run_options(command: str) -> list[Decorator]:
    """The options of a command that runs the engine. It refuses, and does not show, some of them.

    The refusal names the commands that an option goes with.
    """

    def option(*names: str, taken_by: Sequence[str], **attributes: Any) -> Decorator:
        return click.option(*names, hidden=command not in taken_by, **attributes)

    return [
        NAMES,
        TABLES,
        click.option("--dry-run", is_flag=True, help="Plan, estimate and compare; write nothing."),
        option(
            "--full-refresh",
            taken_by=("check", "sync"),
            is_flag=True,
            help="Read the whole keep range again.",
        ),
        option(
            "--since",
            taken_by=COMPARING_COMMANDS,
            metavar="TIME",
            help="Process this range instead: ISO 8601.",
        ),
        option(
            "--until",
            taken_by=COMPARING_COMMANDS,
            metavar="TIME",
            help="The end of the range, excluded.",
        ),
        option(
            "--deep",
            taken_by=("reconcile",),
            is_flag=True,
            help="Compare contents, too, not keys and cursors alone.",
        ),
        option(
            "--allow",
            taken_by=COMPARING_COMMANDS,
            multiple=True,
            metavar="GUARD",
            help="Lift guards for this run: purge, delete, empty_source, with commas between them.",
        ),
        option(
            "--wait",
            taken_by=HAS_EVALUATIONS,
            is_flag=True,
            help="Wait until evaluations have ended.",
        ),
    ]


def _options(options: Sequence[Callable[[Any], Any]]) -> Decorator:
    """All `options` as one decorator, in their order."""

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@dataclass(frozen=True)
class Call:
    """One call of a command. as_json: print JSON instead of text."""

    services: Services
    as_json: bool


def _command(
    name: str,
    *options: Callable[[Any], Any],
    text: str | None = None,
    kind: type[click.Command] = click.Command,
) -> Callable[[Callable[..., int]], click.Command]:
    """Add a command that works with the services of the chosen configuration.

    The function gets a `Call`, then its options by name. text: its help; default the docstring.
    """

    def add(function: Callable[..., int]) -> click.Command:
        @click.pass_obj
        @functools.wraps(function)
        def opened(common: Common, /, **given: Any) -> int:
            as_json = _choose_file(common, given)
            return function(Call(Services.from_environment(), as_json), **given)

        with_options = _options((*options, CONFIG, JSON))(opened)
        return cli.command(name, cls=kind, help=text)(with_options)

    return add


def _tables(names: Sequence[str], option: Sequence[str]) -> list[str] | None:
    """The tables that were named behind the command and by `--tables`. None: all."""
    if not names and not option:
        return None
    return _split((*names, *option))


def _split(values: Sequence[str]) -> list[str]:
    """The values of an option that takes `a,b` and may be repeated."""
    parts = [part for value in values for part in value.split(",")]
    return [part for part in parts if part]


# --- commands


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bigquery-to-aito", message="%(prog)s %(version)s")
@CONFIG
@JSON
@click.pass_context
def cli(context: click.Context, config: str | None, as_json: bool) -> None:
    """Keep Aito fed from BigQuery.

    Exit status: 0 ok, 1 failed, 2 wrong request or configuration, 3 calling again continues.
    """
    context.obj = Common(config, as_json)


@cli.command("init")
@click.argument("tables", nargs=-1, required=True, metavar="DATASET[.TABLE]...")
@click.option("--aito", metavar="URL", help="init: the URL of your Aito instance.")
@click.option(
    "-o", "--output", metavar="FILE", help="init: write this file instead of printing it."
)
@click.option("--force", is_flag=True, help="init: overwrite the file of --output.")
def init_(tables: tuple[str, ...], aito: str | None, output: str | None, force: bool) -> int:
    """Look at tables, views or datasets and propose a sync.yaml for them; write nothing else."""
    if output and not force and Path(output).exists():
        raise BadRequest(f"{output} is there already; name another file, or add --force")
    if aito is not None:
        init.check_url(aito)
    inspection = inspect_tables(tables, key_candidates, link_candidates)
    text = init.document(inspection, aito)
    parse(text, output or "sync.yaml")  # what is printed is valid
    click.echo(init.read(inspection), err=True)
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(Path(output), text)
    return answer.EXIT_OK


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadRequest(f"{path} cannot be written: {error.strerror}") from error
    click.echo(f"Wrote {path}. Next: {PROG} check --config {path}", err=True)


@cli.command(cls=TablesCommand)
@_options((*_run_options("check"), CONFIG, JSON))
@click.pass_obj
def check(common: Common, /, **options: Any) -> int:
    """Reach every part, show the plan and its price; write nothing."""
    as_json = _choose_file(common, options)
    settings = app.read_settings()
    _request(settings, _fields("check", options))  # a wrong request is reported first
    reach = app.Reach(settings, lambda part: screen.show(plan_view.part_line(part), err=as_json))
    if reach.services is None or reach.errors:
        return _unreachable(reach, as_json)
    click.echo(err=as_json)
    parts = {"parts": plan_view.json_parts(reach.parts)}
    return _run("check", Call(reach.services, as_json), options, parts)


def _add_run(action: str, text: str) -> None:
    """Add the command that runs an action."""

    @_command(action, *_run_options(action), text=text, kind=TablesCommand)
    def command(call: Call, **options: Any) -> int:
        return _run(action, call, options)


def _add_view(name: str, text: str, as_text: Callable[[Any], str]) -> None:
    """Add a command that shows what the ledger knows. as_text: the facts as lines."""

    @_command(name, NAMES, TABLES, text=text, kind=TablesCommand)
    def command(call: Call, names: Sequence[str], tables: Sequence[str]) -> int:
        request = _request(call.services.settings, {"tables": _tables(names, tables)})
        found = _facts(call.services, request.tables)
        _print(found if call.as_json else as_text(found))
        return answer.EXIT_OK


_add_run("sync", "Load what is new, purge what is old, start evaluations.")
_add_run("reconcile", "Compare both ends over the whole keep range, and repair.")
_add_run("watch", "Collect and start evaluations, continue studies, report freshness.")
_add_view("status", "Show state and freshness of each table, from the ledger.", terminal.status)
_add_view("runs", "Show the last runs of each table, from the ledger.", terminal.runs)
_add_view("rejects", "Show why rows were rejected, from the ledger.", terminal.rejects)


KEEPS = click.option(
    "--keep",
    "histories",
    multiple=True,
    metavar="DURATION",
    help="A history to try, such as 45d; repeat it. Default: 7d to 365d, as far as rows reach.",
)
EVALUATIONS = click.option(
    "--evaluation",
    "evaluations",
    multiple=True,
    metavar="NAME",
    help="An evaluation of the table; repeat it. Default: all.",
)


@_command(
    "retention",
    click.argument("table"),
    KEEPS,
    EVALUATIONS,
    click.option("--dry-run", is_flag=True, help="Plan and estimate; start nothing."),
    click.option("--show", is_flag=True, help="Show the last study; start nothing."),
    click.option("--wait", is_flag=True, help="Wait for the end; otherwise `watch` continues."),
)
def retention(call: Call, table: str, dry_run: bool, show: bool, **options: Any) -> int:
    """Measure accuracy for several lengths of history and recommend a `keep`."""
    fields = {"action": "retention", "tables": [table], "dry_run": dry_run}
    request = _request(call.services.settings, fields)
    wanted = study.with_choice(request, options["histories"], options["evaluations"])
    body: dict[str, Any] = {}
    status, planned = answer.EXIT_OK, ""
    if not show:
        ended = _engine(call, wanted)
        made = answer.of_report(ended.report)
        body, status = made.body, made.exit_status
        planned = study.plan_text(ended.report.tables[0])
        if options["wait"] and status == answer.EXIT_OK and not dry_run:
            app.wait_for_study(call.services, table, ended.sink, ended.stopped)
    if dry_run or status != answer.EXIT_OK:
        _print(body if call.as_json else planned)
        return status
    (found,) = _facts(call.services, [table])["tables"]
    text = "\n".join(part for part in (planned, study.text(found)) if part)
    _print({**body, "retention": found["retention"]} if call.as_json else text)
    return answer.EXIT_CALL_AGAIN if study.is_running(found) else answer.EXIT_OK


@_command(
    "reset",
    click.argument("table"),
    click.option("--yes", is_flag=True, help="Do not ask."),
)
def reset(call: Call, table: str, yes: bool) -> int:
    """Drop a table in Aito and forget its checkpoint; the next sync loads it anew."""
    known = [each.name for each in call.services.settings.tables]
    configured = table in known
    sink, _, _ = _display(call.as_json)
    if not configured:
        known += app.removed_tables(call.services, sink)
    (name,) = validated({"tables": [table]}, known).tables or ()
    plan = app.plan_reset(call.services, name, sink)
    if not plan.is_empty:
        click.echo(terminal.reset_question(plan, configured=configured), err=True)
        if not (yes or _confirmed(f"Reset {name}?")):
            click.echo("nothing was changed", err=True)
            return answer.EXIT_FAILED
        plan = app.reset(call.services, name, sink)
    body = {**plan.to_json(), "reset": not plan.is_empty}
    _print(body if call.as_json else terminal.reset_done(plan, configured=configured))
    return answer.EXIT_OK


@_command(
    "conformance",
    click.option("--read-only", is_flag=True, help="Make no table: for a read-only key."),
    click.option("--wait", is_flag=True, help="Wait for the expiry of a result too: 15 minutes."),
)
def conformance(call: Call, read_only: bool, wait: bool) -> int:
    """Check with throw-away tables that Aito behaves as the sync assumes."""

    def show(line: str) -> None:
        click.echo(line, err=call.as_json)

    report = app.conformance(call.services, read_only=read_only, wait=wait, on_line=show)
    _print(report.to_json() if call.as_json else report.summary)
    return answer.EXIT_FAILED if report.differs else answer.EXIT_OK


# --- what commands do


def _confirmed(question: str) -> bool:
    """Ask on stderr, where a program that reads stdout does not look. No answer means no."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        return False


def _choose_file(common: Common, options: dict[str, Any]) -> bool:
    """Name the configuration of the options to what reads it. Returns whether to print JSON."""
    path = options.pop("config") or common.config
    if path is not None:
        os.environ["SYNC_CONFIG"] = path
    return bool(options.pop("as_json") or common.as_json)


def _unreachable(reach: app.Reach, as_json: bool) -> int:
    """What `check` ends with when a part cannot be used. The worst error decides its status."""
    if as_json:
        _print({"parts": plan_view.json_parts(reach.parts), "status": "failed", "tables": []})
    else:
        screen.show("\nNo table was planned, because a part above cannot be used.")
        screen.show("Nothing was written.")
    statuses = [answer.of_error(error).exit_status for error in reach.errors]
    return min(statuses)  # failed (1) needs a person, call again (3) does not


@dataclass(frozen=True)
class Ended:
    """What a run left: its report, and what a wait after it goes on with."""

    report: RunReport
    sink: Sink
    stopped: Callable[[], bool]


def _engine(call: Call, request: Request) -> Ended:
    """Run the engine, and show its events and progress meanwhile."""
    stopped = stop_on_signal()
    sink, watcher, stop_display = _display(call.as_json, is_plan=request.dry_run)
    try:
        report = run(call.services, request, sink, stopped, watcher)
    finally:
        stop_display()
    return Ended(report, sink, stopped)


def _run(
    command: str,
    call: Call,
    options: dict[str, Any],
    also: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    """Run the engine and print what it did. also: belongs into the JSON as well."""
    wait = options["wait"]
    if wait and command not in HAS_EVALUATIONS:
        raise BadRequest("'--wait' goes with the commands sync and watch")
    request = _request(call.services.settings, _fields(command, options))
    ended = _engine(call, request)
    report = ended.report
    made = answer.of_report(report)
    body: dict[str, Any] = {**also, **made.body}
    text = plan_view.plan_text(body) if request.dry_run else terminal.summary(report, command)
    exit_status = made.exit_status
    if command == "check" and exit_status == answer.EXIT_OK and plan_view.has_mistake(body):
        exit_status = answer.EXIT_WRONG_REQUEST
    if wait and report.status == "ok" and not request.dry_run:
        found = _wait(call, request, ended)
        body = {**body, "evaluations": terminal.evaluations(found)}
        text = f"{text}\n{terminal.evaluation_lines(found)}"
        if terminal.any_evaluation_runs(found):
            exit_status = answer.EXIT_CALL_AGAIN
    _print(body if call.as_json else text)
    return exit_status


def _wait(call: Call, request: Request, ended: Ended) -> dict[str, Any]:
    """Wait for the evaluations of the requested tables. Returns what the ledger knows then."""
    app.wait_for_evaluations(call.services, request.tables, ended.sink, ended.stopped)
    return _facts(call.services, request.tables)


def _request(settings: Settings, fields: Mapping[str, Any]) -> Request:
    """The request that the options describe. Raises BadRequest, which names options."""
    try:
        return request_for(settings, fields)
    except BadRequest as error:
        raise BadRequest(for_command_line(str(error))) from error


def _fields(command: str, options: dict[str, Any]) -> dict[str, Any]:
    """The fields of a request, as HTTP takes them."""
    given = {name: value for name, value in options.items() if name not in ("names", "wait")}
    fields = {**given, "allow": _split(options["allow"])}
    fields["tables"] = _tables(options["names"], options["tables"])
    fields["action"] = "sync" if command == "check" else command
    fields["dry_run"] = options["dry_run"] or command == "check"
    return fields


def _display(
    as_json: bool, *, is_plan: bool = False
) -> tuple[Sink, ProgressWatcher | None, Callable[[], None]]:
    """Where the events and the progress of a run go, and what ends the display."""
    if as_json:
        return terminal.print_event, None, lambda: None
    return screen.watch_plan() if is_plan else screen.watch_run()


def _facts(services: Services, tables: Sequence[str] | None) -> dict[str, Any]:
    """What the ledger knows of the named tables. None: of all."""
    found = facts(services)
    if tables is None:
        return found
    return {**found, "tables": [table for table in found["tables"] if table["table"] in tables]}


def _print(content: dict[str, Any] | str) -> None:
    if isinstance(content, str):
        screen.show(content)
    else:
        click.echo(json.dumps(content, indent=2))
