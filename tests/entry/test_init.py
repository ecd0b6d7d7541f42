"""`init`: from tables in BigQuery to a configuration with which a sync ends verified."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.cloud.bigquery import SchemaField

from local import bigquery, sample
from local.stack import Stack
from sync import config
from sync.entry import commands
from tests.entry.conftest import own_handlers


class Init:
    """Runs `init` in this process, and what comes after it."""

    def __init__(
        self,
        stack: Stack,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        for name, value in stack.environ().items():
            monkeypatch.setenv(name, value)
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """The exit status, stdout and stderr."""
        return self._run("init", *arguments)

    def sync(self, path: Path) -> dict[str, Any]:
        """Sync with a file. Returns the answer's tables by name."""
        self._monkeypatch.setenv("SYNC_CONFIG", str(path))
        status, out, err = self._run("sync", "--json")
        assert status == 0, err + out
        return {table["table"]: table for table in json.loads(out)["tables"]}

    def _run(self, *arguments: str) -> tuple[int, str, str]:
        self._capsys.readouterr()
        with own_handlers():
            status = commands.main(arguments)
        printed = self._capsys.readouterr()
        return status, printed.out, printed.err


@pytest.fixture
def init(stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Init:
    """Runs `init` against the stack."""
    return Init(stack, monkeypatch, capsys)


def load(stack: Stack, table: str, fields: str, rows: Sequence[dict[str, Any]]) -> None:
    """Load rows into a table. fields: such as `id STRING, at TIMESTAMP`."""
    pairs = [field.split() for field in fields.split(", ")]
    schema = [SchemaField(name, kind) for name, kind in pairs]
    bigquery.load(stack.bigquery.client(), table, schema, rows, truncate=True)


def test_from_two_linked_views_to_a_verified_sync(stack: Stack, init: Init, tmp_path: Path) -> None:
    """The file needs no edit: it loads, links and verifies the sample's two tables."""
    rows = sample.day_one(datetime.now(UTC), pages=200, users=30)
    sample.load(stack.bigquery.client(), rows, "init_sample")
    path = tmp_path / "sync.yaml"
    views = ("init_sample.users_view", "init_sample.pages_view")
    status, out, err = init(*views, "--aito", stack.aito.url, "-o", str(path))
    assert (status, out) == (0, ""), err
    assert "USD/TiB" in err
    settings = config.parse(path.read_text(encoding="utf-8"))
    pages = settings.table("pages_view")
    assert pages.links == {"anonymous_id": ("users_view", "id")}
    assert pages.key == "id"
    assert pages.cursor
    assert pages.evaluate

    tables = init.sync(path)
    assert (tables["users_view"]["uploaded"], tables["users_view"]["verified"]) == (30, True)
    assert (tables["pages_view"]["uploaded"], tables["pages_view"]["verified"]) == (200, True)
    assert stack.aito.count("pages_view") == 200


def test_a_dataset_with_orders_and_customers(stack: Stack, init: Init, tmp_path: Path) -> None:
    """A whole dataset: keys, an epoch in milliseconds, numbers beyond 32 bits, a Text, a link."""
    customers = [{"id": n, "email": f"{n}@example.com", "tier": "gold"} for n in range(1, 61)]
    load(stack, "init_shop.customers", "id INT64, email STRING, tier STRING", customers)
    orders = [
        {
            "order_no": n + 2**40,
            "customer_id": n % 60 + 1,
            "updated_ms": 1_700_000_000_000 + n * 1_000,
            "note": f"please ring the bell number {n} twice",
            "status": ("paid", "open")[n % 2],
        }
        for n in range(300)
    ]
    fields = "order_no INT64, customer_id INT64, updated_ms INT64, note STRING, status STRING"
    load(stack, "init_shop.orders", fields, orders)
    path = tmp_path / "sync.yaml"
    status, _, err = init("init_shop", "--aito", stack.aito.url, "-o", str(path))
    assert status == 0, err
    settings = config.parse(path.read_text(encoding="utf-8"))
    table = settings.table("orders")
    assert (table.key, table.mode) == ("order_no", "merge")
    assert table.cursor
    assert (table.cursor.source, table.cursor.unit) == ("updated_ms", "ms")
    assert table.columns
    assert (table.columns["order_no"].type, table.columns["note"].type) == ("Long", "Text")
    assert table.links == {"customer_id": ("customers", "id")}
    assert table.evaluate[0].predict == "status"
    assert settings.table("customers").mode == "replace"
    assert all(found["verified"] for found in init.sync(path).values())


def test_a_key_of_several_columns(stack: Stack, init: Init, tmp_path: Path) -> None:
    """Order lines have no id: order and line are tried together, and the sync ends verified."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [
        {
            "order_id": f"o{n // 3}",
            "line": n % 3,
            "sku": f"s{n % 7}",
            "quantity": n % 5,
            "changed_at": (start + timedelta(minutes=n // 2)).isoformat(),
        }
        for n in range(90)
    ]
    fields = "order_id STRING, line INT64, sku STRING, quantity INT64, changed_at TIMESTAMP"
    load(stack, "init_lines.order_lines", fields, rows)
    path = tmp_path / "sync.yaml"
    status, _, err = init("init_lines", "--aito", stack.aito.url, "-o", str(path))
    assert status == 0, err
    assert "by 2 queries" in err
    table = config.parse(path.read_text(encoding="utf-8")).table("order_lines")
    assert (table.key_parts, table.mode) == (("order_id", "line"), "merge")
    found = init.sync(path)["order_lines"]
    assert (found["uploaded"], found["verified"]) == (90, True)


def test_the_file_is_printed(stack: Stack, init: Init) -> None:
    """Without -o the file goes to stdout alone, with an example for what only a person knows."""
    load(stack, "init_print.events", "id STRING, at TIMESTAMP", [{"id": "1", "at": "2024-01-01"}])
    status, out, err = init("init_print.events")
    assert status == 0
    assert config.parse(out).table("events").key == "id"
    assert "EDIT: your Aito instance" in out
    assert err.startswith("Read ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("init_err.event",), "no table 'event' in the dataset init_err; did you mean 'events'?"),
        (("init_er.events",), "no dataset 'init_er'"),
        (("init_er",), "did you mean 'init_err'?"),
        (("a.b.c.d",), "'a.b.c.d' names no table; right would be"),
        (("init_err.events", "--aito", "ftp://x"), "aito.url"),
        (("init_err.events", "-o", "/nowhere/sync.yaml"), "cannot be written: No such file"),
        ((), "Missing argument"),
    ],
)
def test_wrong_requests(stack: Stack, init: Init, arguments: tuple[str, ...], says: str) -> None:
    """A name that does not exist ends with 2 and the nearest one."""
    load(stack, "init_err.events", "id STRING, at TIMESTAMP", [{"id": "1", "at": "2024-01-01"}])
    status, _, err = init(*arguments)
    assert status == 2
    assert says in err


@pytest.mark.slow  # the emulator takes seconds for a statement of 150 columns
def test_a_wide_table(stack: Stack, init: Init, tmp_path: Path) -> None:
    """150 columns: the file needs no edit."""
    features = [f"f{n}" for n in range(148)]
    rows = [
        {"account_id": f"a{n}", "taken": "2024-01-01T00:00:00", **dict.fromkeys(features, n % 3)}
        for n in range(20)
    ]
    fields = f"account_id STRING, taken DATETIME, {' INT64, '.join(features)} INT64"
    load(stack, "init_wide.accounts", fields, rows)
    path = tmp_path / "sync.yaml"
    assert init("init_wide", "--aito", stack.aito.url, "-o", str(path))[0] == 0
    found = init.sync(path)["accounts"]
    assert (found["uploaded"], found["verified"]) == (20, True)


def test_a_view_whose_key_is_named_after_it(stack: Stack, init: Init) -> None:
    """`ticket` of `tickets` is the key, though its name does not say that it identifies a row."""
    rows = [
        {"ticket": f"t{n // 2}", "version": n % 2, "changed": 1_700_000_000_000 + n}
        for n in range(60)
    ]
    load(stack, "init_log.log", "ticket STRING, version INT64, changed INT64", rows)
    newest = "ROW_NUMBER() OVER (PARTITION BY ticket ORDER BY changed DESC)"
    numbered = f"SELECT *, {newest} AS n FROM init_log.log"
    bigquery.sql(
        stack.bigquery.client(),
        "CREATE OR REPLACE VIEW init_log.tickets AS SELECT * EXCEPT (n)"
        f" FROM ({numbered}) WHERE n = 1",
    )
    status, out, err = init("init_log.tickets")
    assert status == 0, err
    table = config.parse(out).table("tickets")
    assert (table.key_parts, table.mode) == (("ticket",), "merge")


def test_a_file_is_not_overwritten(stack: Stack, init: Init, tmp_path: Path) -> None:
    """A file that is there stays, unless --force is given."""
    load(stack, "init_force.events", "id STRING, at TIMESTAMP", [{"id": "1", "at": "2024-01-01"}])
    path = tmp_path / "sync.yaml"
    path.write_text("mine", encoding="utf-8")
    status, _, err = init("init_force.events", "-o", str(path))
    assert (status, path.read_text(encoding="utf-8")) == (2, "mine")
    assert "--force" in err
    assert init("init_force.events", "-o", str(path), "--force")[0] == 0
    assert "init_force.events" in path.read_text(encoding="utf-8")


def test_daily_tables_like_ga4s(stack: Stack, init: Init, tmp_path: Path) -> None:
    """Daily tables of a dataset become one source with a key of its own, which syncs verified."""
    today = datetime.now(UTC)
    for age in (1, 2):
        day = today - timedelta(days=age)
        start = int(day.timestamp()) * 1_000_000
        rows = [
            {"event_timestamp": start + n, "event_name": "view", "user_pseudo_id": str(n)}
            for n in range(20)
        ]
        name = f"init_ga4.events_{day:%Y%m%d}"
        load(stack, name, "event_timestamp INT64, event_name STRING, user_pseudo_id STRING", rows)
    path = tmp_path / "sync.yaml"
    status, _, err = init("init_ga4.event_*")
    assert (status, "did you mean 'events_*'" in err) == (2, True)
    status, _, err = init("init_ga4", "--aito", stack.aito.url, "-o", str(path))
    assert status == 0, err
    assert init("init_ga4.events_*", "--aito", stack.aito.url)[1] == path.read_text(
        encoding="utf-8"
    )
    table = config.parse(path.read_text(encoding="utf-8")).table("events")
    assert (table.key, table.mode) == ("row_key", "merge")
    assert (table.source, table.takes_all) == ("init_ga4.events_*", True)
    assert table.cursor
    assert (table.cursor.source, table.cursor.unit) == ("event_timestamp", "us")
    found = init.sync(path)["events"]
    assert (found["uploaded"], found["verified"]) == (40, True)
    # GA4 adds a column: the key is made of named columns, so no row becomes another one.
    client = stack.bigquery.client()
    for age in (1, 2):
        name = f"init_ga4.events_{today - timedelta(days=age):%Y%m%d}"
        bigquery.sql(client, f"ALTER TABLE `{name}` ADD COLUMN is_active BOOL")
        bigquery.sql(client, f"UPDATE `{name}` SET is_active = TRUE WHERE TRUE")
    found = init.sync(path)["events"]
    assert (found["uploaded"], found["deleted"], found["verified"]) == (40, 0, True)
    assert stack.aito.count("events") == 40


def test_a_view_that_cannot_be_read(stack: Stack, init: Init) -> None:
    """A broken view of a dataset is left out with the reason; named alone, it is an error."""
    load(stack, "init_view.events", "id STRING, at TIMESTAMP", [{"id": "1", "at": "2024-01-01"}])
    load(stack, "init_view.gone", "id STRING", [{"id": "1"}])
    client = stack.bigquery.client()
    bigquery.sql(client, "CREATE VIEW init_view.broken AS SELECT * FROM init_view.gone")
    client.delete_table("init_view.gone")
    status, out, err = init("init_view")
    assert status == 0, err
    assert [table.name for table in config.parse(out).tables] == ["events"]
    assert "# Left out: init_view.broken" in out
    assert init("init_view.broken")[0] == 1


def test_no_credentials(init: Init, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without credentials the command says how to get them, and ends with 1."""
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    status, _, err = init("shop.orders")
    assert status == 1
    assert "gcloud auth application-default login" in err
