"""`make demo`: from tables in BigQuery to a running sync, by the commands that a person types.

All of it on this machine: an emulator of BigQuery, and stand-ins for Aito and Secret Manager. The
story: a configuration is proposed, checked and synced; a day later rows and a column have come, and
a row was deleted. At the end both sides have the same number of rows.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import yaml

from local import bigquery, own_data, sample
from local.stack import ROOT, Function, Stack

BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
CONFIG = "sync.yaml"


class CommandFailed(Exception):
    """A command of the story ended with an error."""


@dataclass(frozen=True)
class Data:
    """What the story is about.

    names: what `init` is given. column: the one that is added later; value: SQL that fills it.
    """

    dataset: str
    names: Sequence[str]
    column: str
    value: str


class Shell:
    """Types commands, and shows them with what they print."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.config = stack.folder / CONFIG
        self.client = stack.bigquery.client()
        names = ("TERM", "COLUMNS", "NO_COLOR")
        terminal = {name: os.environ[name] for name in names if name in os.environ}
        self._environ = {**stack.environ(self.config), **terminal, "PYTHONPATH": str(ROOT)}

    def sync(self, *arguments: str) -> None:
        """Run a command of ./aito-sync. Raises CommandFailed."""
        self._type(shlex.join(["./aito-sync", *arguments]))
        command = [sys.executable, "-m", "sync", *arguments]
        done = subprocess.run(command, cwd=self.stack.folder, env=self._environ, check=False)
        if done.returncode:
            raise CommandFailed(f"the command ended with {done.returncode}")

    def query(self, statement: str) -> list[dict[str, Any]]:
        """Run a statement as `bq query` does. -> its rows."""
        self._type(f'bq query "{statement}"')
        return bigquery.sql(self.client, statement)

    def show(self, path: Path) -> None:
        """Print a file."""
        self._type(f"cat {path.name}")
        say(path.read_text(encoding="utf-8").rstrip())

    def _type(self, command: str) -> None:
        say(f"{_styled(BOLD, '$ ' + command)}")


def main() -> int:
    """Run the demo; 0 when every command ended well and both sides are equal."""
    parser = argparse.ArgumentParser("python -m local.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with NAME.ndjson or NAME.ndjson.gz")
    parser.add_argument("--keep", action="store_true", help="keep the stand-ins running at the end")
    options = parser.parse_args()
    end_on_sigterm()
    try:
        if options.data:
            own_data.files(options.data)
        return _run(options.data, keep=options.keep)
    except own_data.BadFolder as error:
        say(f"The demo cannot read your rows: {error}")
        return 1
    except CommandFailed as error:
        say(f"\nThe demo failed: {error}")
        return 1
    except KeyboardInterrupt:
        say("")
        return 128 + signal.SIGINT


def end_on_sigterm() -> None:
    """Have SIGTERM end this process as an error does, so that the stand-ins end and files go."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def _run(folder: Path | None, *, keep: bool) -> int:
    say("Starting stand-ins for BigQuery, Aito and Secret Manager on this machine ...")
    with Stack() as stack:
        shell = Shell(stack)
        equal = tell(shell, load(stack, folder), is_own=folder is not None)
        if keep:
            serve(stack, shell.config)
    return 0 if equal else 1


def load(stack: Stack, folder: Path | None) -> Data:
    """Load the tables of the first day."""
    client = stack.bigquery.client()
    if folder is not None:
        dataset = "own_data"
        rows = own_data.load(client, folder, dataset)
        counts = ", ".join(f"{count:,} rows of {dataset}.{name}" for name, count in rows.items())
        say(f"BigQuery has {counts}.")
        return Data(dataset, [dataset], "demo_column", "'new'")
    dataset = "website"
    first = sample.day_one(datetime.now(UTC))
    sample.load(client, first, dataset)
    pages, users = f"{dataset}.pages", f"{dataset}.users"
    say(f"BigQuery has {len(first.pages):,} page views in {pages}, and the visitors in {users}.")
    return Data(dataset, [pages, users], "language", "SUBSTR(context_locale, 1, 2)")


# -- the story


def tell(shell: Shell, data: Data, *, is_own: bool) -> bool:
    """The whole story. -> whether both sides are equal at its end. Raises CommandFailed."""
    chapter("Look at the tables, and propose a configuration")
    shell.sync("init", *data.names, "--aito", shell.stack.aito.url, "-o", CONFIG)
    shell.show(shell.config)

    chapter("Look at the plan and its price; nothing is written")
    shell.sync("check")

    chapter("Load everything")
    shell.sync("sync")

    table = _main_table(shell.config)
    chapter(f"The next day: {'a' if is_own else 'new rows, and a'} new column in BigQuery")
    if not is_own:
        sample.load(shell.client, _new_day(), data.dataset)
    shell.query(f"ALTER TABLE {table['source']} ADD COLUMN {data.column} STRING")
    shell.query(f"UPDATE {table['source']} SET {data.column} = {data.value} WHERE TRUE")
    shell.sync("check", table["name"])
    shell.sync("sync")

    chapter("A row is deleted in BigQuery; the weekly reconcile finds it")
    shell.query(f"DELETE FROM {table['source']} WHERE {_one_row(shell, table)}")
    shell.sync("reconcile")
    shell.sync("status")
    return _compare(shell)


def _new_day() -> sample.Sample:
    """The sessions of the day that ends now."""
    tomorrow = datetime.now(UTC) + timedelta(days=1, minutes=-1)
    return sample.day_one(tomorrow, pages=200, users=20, seed=2)


def _main_table(config: Path) -> dict[str, Any]:
    """The first table with a cursor, or the first one."""
    tables = yaml.safe_load(config.read_text(encoding="utf-8"))["tables"]
    with_cursor = [table for table in tables if "cursor" in table]
    table: dict[str, Any] = (with_cursor or tables)[0]
    return table


def _key(table: dict[str, Any]) -> list[str]:
    key = table.get("key") or []
    return [key] if isinstance(key, str) else key


def _one_row(shell: Shell, table: dict[str, Any]) -> str:
    """A condition that one row of the table meets."""
    key = ", ".join(_key(table))
    query = f"SELECT {key} FROM {table['source']} ORDER BY {key} LIMIT 1"
    (row,) = bigquery.sql(shell.client, query)
    return " AND ".join(f"{name} = {value!r}" for name, value in row.items())


def _compare(shell: Shell) -> bool:
    """Say how many rows each side has. -> whether they are equal."""
    chapter("Both sides")
    equal = True
    for table in yaml.safe_load(shell.config.read_text(encoding="utf-8"))["tables"]:
        (row,) = bigquery.sql(shell.client, f"SELECT COUNT(*) AS found FROM {table['source']}")
        found, there = row["found"], shell.stack.aito.count(table["name"])
        say(f"{table['name']}: {found:,} rows in BigQuery, {there:,} in Aito")
        equal &= found == there
    say("Equal." if equal else "They DIFFER.")
    return equal


# -- KEEP=1


def serve(stack: Stack, config: Path) -> None:
    """Serve the function and the stand-ins until Ctrl-C."""
    with Function(stack.environ(config)) as function:
        chapter("All keeps running, with the column and without the row. In another terminal, here")
        say(f"source {write_environment(stack, config)}")
        say("./aito-sync status          # or init, check, sync, reconcile, runs")
        say('.venv/bin/python -m local.bigquery "SELECT 1"   # SQL, such as CREATE VIEW')
        say(f"\nThe status page: {function.url}/    Ctrl-C ends it.")
        try:
            Event().wait()
        except KeyboardInterrupt:
            say("")


def write_environment(stack: Stack, config: Path) -> Path:
    """Write the file that a shell sources, for commands against this stack. -> its path."""
    names = stack.environ(config).items() - stack.inherited().items()
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(names)]
    path = stack.folder / "env"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# -- output


def chapter(title: str) -> None:
    """Begin a part of the story."""
    say(f"\n{_styled(DIM, '# ' + title + '.')}")


def _styled(style: str, text: str) -> str:
    return f"{style}{text}{PLAIN}" if sys.stdout.isatty() else text


def say(text: str) -> None:
    """Print at once: somebody is watching."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
