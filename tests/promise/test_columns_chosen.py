"""Which columns a table has: all with some overrides, and what a source's changes bring."""

from __future__ import annotations

import pytest
import yaml
from google.cloud.bigquery import SchemaField

from local import bigquery as local_bigquery
from local.stack import Stack
from tests.variations import slow
from tests.workbench import DAY, NOW, Row, Workbench, iso, table

SCHEMA = {
    "id": "STRING",
    "ts": "TIMESTAMP",
    "path": "STRING",
    "raw": "STRING",
    "email": "STRING",
    "visits": "INT64",
}


def rows_of(bench: Workbench, count: int, **more: object) -> list[Row]:
    """Rows of SCHEMA, a minute apart."""
    return [
        {
            "id": f"k{i:03}",
            "ts": iso(bench.now - 60 - i * 60),
            "path": f"/P{i}",
            "raw": "x",
            "email": f"{i}@example.com",
            "visits": i,
            **more,
        }
        for i in range(count)
    ]


def wide_table(bench: Workbench, **more: object) -> Row:
    """The table of SCHEMA in the configuration."""
    return {
        "name": bench.name,
        "source": f"{bench.dataset}.wide",
        "mode": bench.mode,
        "key": "id",
        "cursor": {"source": "ts", "column": "unix"},
        **more,
    }


@pytest.mark.parametrize("mode", ["append", *slow("merge")])
def test_all_columns_with_overrides(stack: Stack, mode: str) -> None:
    """`"*"` takes what is not named, less its `except`. What that names may be gone."""
    bench = Workbench(stack, f"chosen_star_{mode}", mode)
    bench.load_source("wide", SCHEMA, rows_of(bench, 20))
    columns: Row = {
        "*": {"except": ["RAW", "email", "internal_notes"]},
        "path": {"sql": "LOWER(path)", "type": "Text"},
        "visits": {"type": "Long"},
        "domain": {"sql": "SPLIT(email, '@')[OFFSET(1)]"},
    }
    assert bench.run_ok(wide_table(bench, columns=columns)).uploaded == 20
    row = next(each for each in bench.aito_rows() if each["id"] == "k003")
    at = bench.now - 240
    assert row == {
        "id": "k003",
        "ts": iso(at).replace("Z", ".000000Z"),
        "path": "/p3",
        "visits": 3,
        "domain": "example.com",
        "unix": at,
    }
    types = {
        name: made["type"] for name, made in bench.aito.schema()[bench.name]["columns"].items()
    }
    assert (types["path"], types["visits"]) == ("Text", "Long")
    assert bench.run_ok(wide_table(bench, columns=columns)).uploaded == 0


def test_a_misspelt_column_beside_the_star(stack: Stack) -> None:
    """It is refused, in the plan as well: a typing error must not load what was left out."""
    bench = Workbench(stack, "chosen_misspelt")
    bench.load_source("wide", SCHEMA, rows_of(bench, 2))
    named: Row = {"*": None, "vsits": {"type": "Long"}}
    left_out: Row = {"*": {"except": ["emial"]}}
    tables = [
        wide_table(bench, name="chosen_misspelt_name", columns=named),
        wide_table(bench, name="chosen_misspelt_except", columns=left_out),
    ]
    for dry_run in (True, False):
        of_name, of_except = bench.run(*tables, dry_run=dry_run).tables
        assert (of_name.http_status, of_except.http_status) == (500, 500)
        assert "vsits: not a column of the source; did you mean" in (of_name.error or "")
        assert "except emial: not a column of the source; did you mean" in (of_except.error or "")


def test_a_column_that_is_no_longer_required(stack: Stack) -> None:
    """It is refused with the setting that keeps it as it was; then rows without a value go."""
    bench = Workbench(stack, "chosen_relaxed", now=NOW)
    fields = [
        SchemaField("id", "STRING"),
        SchemaField("ts", "TIMESTAMP"),
        SchemaField("visits", "INT64", mode="REQUIRED"),
    ]
    source, moment = f"{bench.dataset}.wide", iso(bench.now - 60)
    local_bigquery.load(bench.client, source, fields, [{"id": "a", "ts": moment, "visits": 1}])
    bench.run_ok(wide_table(bench))
    bench.sql("CREATE OR REPLACE TABLE {d}.wide AS SELECT * FROM {d}.wide")
    bench.sql(f"INSERT INTO {{d}}.wide VALUES ('b', TIMESTAMP '{moment}', NULL)")
    for dry_run in (True, False):
        (report,) = bench.run(wide_table(bench), dry_run=dry_run).tables
        assert "`nullable: false` keeps it" in (report.error or "")
    columns = {"*": None, "visits": {"nullable": False}}
    report = bench.run_ok(wide_table(bench, columns=columns))
    assert (report.rejected, bench.aito_keys()) == (1, ["a"])


# -- types by the data

BIG = 2**40


@pytest.mark.parametrize("mode", ["append", "replace", *slow("merge")])
def test_integers_beyond_32_bits(stack: Stack, mode: str) -> None:
    """A table is made with Long where the data needs it, on the first night and for good.

    Arrays of such integers become texts, since Aito has no array of Long.
    """
    bench = Workbench(stack, f"chosen_long_{mode}", mode)
    kinds = {**SCHEMA, "order": "INT64", "small": "INT64", "none": "INT64"}
    fields = [SchemaField(name, kind) for name, kind in kinds.items()]
    fields += [SchemaField(name, "INT64", "REPEATED") for name in ("tags", "levels")]
    rows = rows_of(bench, 20, order=BIG, small=7, none=None)
    for number, made in enumerate(rows):
        made |= {"tags": [BIG + number, 1], "levels": [number]}
    local_bigquery.load(bench.client, f"{bench.dataset}.wide", fields, rows)
    table = wide_table(bench, columns={"*": None, "visits": {"type": "Int"}})
    if mode == "replace":
        del table["cursor"], table["key"]
    for _ in range(2):
        report = bench.run_ok(table)
        assert report.rejected == 0
        types = bench.aito.schema()[bench.name]["columns"]
        found = {name: types[name]["type"] for name in ("order", "small", "none", "visits")}
        assert found == {"order": "Long", "small": "Int", "none": "Int", "visits": "Int"}
        held = next(each for each in bench.aito_rows() if each["id"] == "k003")
        assert (held["tags"], held["levels"]) == ([str(BIG + 3), "1"], [3])
    assert {row["order"] for row in bench.aito_rows()} == {BIG}
    if mode == "replace":
        return
    bench.sql("ALTER TABLE `{d}.wide` ADD COLUMN added INT64")
    bench.sql(f"UPDATE `{{d}}.wide` SET added = {BIG} WHERE TRUE")
    bench.run_ok(table)
    assert bench.aito.schema()[bench.name]["columns"]["added"]["type"] == "Long"
    assert {row["added"] for row in bench.aito_rows()} == {BIG}


def test_numbers_that_are_keys_and_links(stack: Stack) -> None:
    """A key beyond 32 bits is Long, and so is a column that links to it."""
    bench = Workbench(stack, "chosen_lines")
    people = [{"id": BIG + i, "ts": iso(bench.now - 60 - i)} for i in range(5)]
    bench.load_source("people", {"id": "INT64", "ts": "TIMESTAMP"}, people)
    lines = [{"id": i, "ts": iso(bench.now - 60 - i), "person": None} for i in range(5)]
    schema = {"id": "INT64", "ts": "TIMESTAMP", "person": "INT64"}
    bench.load_source("lines", schema, lines)
    parent = {**wide_table(bench), "name": "chosen_people", "source": f"{bench.dataset}.people"}
    columns = {"*": None, "person": {"link": "chosen_people.id"}}
    child = {**wide_table(bench, columns=columns), "source": f"{bench.dataset}.lines"}
    for _ in range(2):
        bench.run_ok(child, parent)
    schemas = bench.aito.schema()
    assert schemas["chosen_people"]["columns"]["id"]["type"] == "Long"
    assert schemas[bench.name]["columns"]["person"]["type"] == "Long"
    bench.aito.drop_table(bench.name)
    bench.aito.drop_table("chosen_people")


# -- queries as people write them


QUERIES = {
    "comment after the end": (
        "SELECT id, ts, visits FROM `{d}.wide` WHERE visits > 1;  -- the end;\n-- of it\n"
    ),
    "comment": "SELECT id, ts, visits FROM `{d}.wide` WHERE visits > 1 # no ';' here",
    "semicolons in text": (
        "/* all; */ WITH w AS (SELECT * FROM `{d}.wide`) SELECT id, ts, visits FROM w"
        " WHERE path != ';' AND visits > 1;"
    ),
    "pipes": "FROM `{d}.wide` |> WHERE visits > 1 |> SELECT id, ts, visits;",
}


@pytest.mark.parametrize("mode", ["append", *slow("merge")])
def test_a_query_as_people_write_it(stack: Stack, mode: str) -> None:
    """A semicolon at the end, comments behind it, and pipe syntax are taken."""
    bench = Workbench(stack, f"chosen_query_{mode}", mode)
    bench.load_source("wide", SCHEMA, rows_of(bench, 6))
    tables = []
    for number, query in enumerate(QUERIES.values()):
        text = query.format(d=bench.dataset)
        tables.append(wide_table(bench, name=f"chosen_{number}_{mode}", source=None, query=text))
    bench.run_ok(*tables)
    for asked, name in zip(tables, QUERIES, strict=True):
        assert bench.aito_keys(asked["name"]) == ["k002", "k003", "k004", "k005"], name


# -- changes of the source


def changes_of(bench: Workbench) -> dict[str, tuple[str, str]]:
    """What the last run logged of columns: column -> change, severity."""
    events = [event for event in bench.events if event["event"] == "column_changed"]
    assert len({event["column"] for event in events}) == len(events), "one event each"
    return {event["column"]: (event["change"], event["severity"]) for event in events}


def test_columns_of_a_table_that_is_swapped(stack: Stack) -> None:
    """A new one is said, and all rows have it."""
    bench = Workbench(stack, "chosen_swapped", "replace")
    bench.load_source("wide", SCHEMA, rows_of(bench, 4))
    table = wide_table(bench)
    del table["cursor"], table["key"]
    bench.run_ok(table)
    bench.sql("ALTER TABLE `{d}.wide` ADD COLUMN added STRING")
    bench.sql("UPDATE `{d}.wide` SET added = 'x' WHERE TRUE")
    bench.run_ok(table)
    assert changes_of(bench) == {"added": ("new", "INFO")}
    assert "the whole table is swapped" in bench.event("column_changed")["message"]
    assert {row["added"] for row in bench.aito_rows()} == {"x"}


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_columns_that_come_and_go(stack: Stack, mode: str) -> None:
    """Each is said once with what follows, and new values are in old rows, too."""
    bench = Workbench(stack, f"chosen_changes_{mode}", mode)
    bench.load_source("wide", SCHEMA, rows_of(bench, 20))
    bench.run_ok(wide_table(bench))
    assert changes_of(bench) == {}
    changed = "SELECT id, ts, path AS page, email, visits, 1.5 AS price FROM `{d}.wide`"
    bench.sql(f"CREATE OR REPLACE TABLE `{{d}}.wide` AS {changed}")
    planned = bench.run_ok(wide_table(bench), dry_run=True)
    assert planned.estimate
    assert "the source's columns changed" in planned.estimate["refresh"]
    bench.run_ok(wide_table(bench))
    said = changes_of(bench)
    bench.run_ok(wide_table(bench))
    assert changes_of(bench) == {}, "the second night says nothing more"
    lost = {"path": ("lost", "WARNING"), "raw": ("lost", "WARNING")}
    assert said == {"price": ("new", "INFO"), "page": ("new", "INFO"), **lost}
    assert {row["price"] for row in bench.aito_rows()} == {1.5}
    assert {row["page"] for row in bench.aito_rows()} == {f"/P{i}" for i in range(20)}


@pytest.mark.parametrize("mode", ["append", *slow("merge")])
def test_members_of_structs_that_come_and_go(stack: Stack, mode: str) -> None:
    """They are columns inside a column: each is said once, and new values are in old rows."""
    bench = Workbench(stack, f"chosen_members_{mode}", mode, now=NOW)
    bench.load_source("other", SCHEMA, [])

    def make(struct: str) -> None:
        at = iso(bench.now - 10 * DAY)
        select = f"SELECT 'a' AS id, TIMESTAMP '{at}' AS ts, {struct} AS s, [{struct}] AS r"
        later = f"SELECT 'b', TIMESTAMP '{iso(bench.now - 60)}', {struct}, [{struct}]"
        bench.sql(f"CREATE OR REPLACE TABLE `{{d}}.wide` AS {select} UNION ALL {later}")

    asked = wide_table(bench, columns={"id": None, "s": None, "r": None})
    make("STRUCT(1 AS a, 'x' AS gone)")
    bench.run_ok(asked)
    make("STRUCT(1 AS a, DATE '2026-01-01' AS b)")
    planned = bench.run_ok(asked, dry_run=True)
    assert planned.estimate
    assert "the source's columns changed: s.b is new" in planned.estimate["refresh"]
    bench.run_ok(asked)
    said = changes_of(bench)
    assert said["s.b"] == said["r.b"] == ("new", "INFO")
    assert said["s.gone"] == said["r.gone"] == ("lost", "WARNING")
    assert len(said) == 4
    held = next(each for each in bench.aito_rows() if each["id"] == "a")
    assert held["s"] == held["r"][0] == {"a": 1, "b": "2026-01-01"}
    bench.run_ok(asked)
    assert changes_of(bench) == {}, "the second night says nothing more"


def test_a_column_of_another_type(stack: Stack) -> None:
    """Where Aito's type stays, nothing follows; otherwise it is refused with `reset`."""
    bench = Workbench(stack, "chosen_retyped")
    rows = [{"id": "a", "ts": iso(bench.now - 60), "n": 1}]
    bench.load_source("wide", {"id": "STRING", "ts": "TIMESTAMP", "n": "NUMERIC"}, rows)
    bench.run_ok(wide_table(bench))
    retyped = "CREATE OR REPLACE TABLE `{d}.wide` AS SELECT id, ts, CAST(1 AS TYPE) AS n FROM"
    bench.sql("CREATE TABLE `{d}.kept` AS SELECT id, ts FROM `{d}.wide`")
    bench.sql(f"{retyped} `{{d}}.kept`".replace("TYPE", "FLOAT64"))
    bench.run_ok(wide_table(bench))
    assert changes_of(bench) == {"n": ("retyped", "INFO")}
    assert "nothing follows" in bench.event("column_changed")["message"]
    bench.run_ok(wide_table(bench))
    assert changes_of(bench) == {}
    bench.sql(f"{retyped} `{{d}}.kept`".replace("TYPE", "STRING"))
    for dry_run in (True, False):
        (report,) = bench.run(wide_table(bench), dry_run=dry_run).tables
        assert report.http_status == 500
        assert "n: type is Decimal in Aito and String here" in str(report.error)
        assert "reset chosen_retyped" in str(report.error)
        assert changes_of(bench) == {"n": ("retyped", "WARNING")}


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_values_that_are_written_otherwise(stack: Stack, mode: str) -> None:
    """A TIMESTAMP that is a DATETIME now has another text: rows of all of `keep` get it."""
    bench = Workbench(stack, f"chosen_rewritten_{mode}", now=NOW)
    at = ", ".join(f"('{key}', {age})" for key, age in (("a", 20 * DAY), ("b", 60)))
    made = (
        "CREATE OR REPLACE TABLE `{d}.wide` AS SELECT id,"
        f" KIND(TIMESTAMP_SECONDS({bench.now} - age)) AS ts"
        f" FROM UNNEST(ARRAY<STRUCT<id STRING, age INT64>>[{at}])"
    )
    bench.load_source("kept", {"id": "STRING"}, [])  # makes the dataset
    bench.sql(made.replace("KIND", ""))
    asked = wide_table(bench, mode=mode)
    bench.run_ok(asked)
    assert {each["ts"][-1] for each in bench.aito_rows()} == {"Z"}
    bench.sql(made.replace("KIND", "DATETIME"))
    planned = bench.run_ok(asked, dry_run=True)
    assert planned.estimate is not None
    assert planned.estimate["rows"] == 2
    bench.run_ok(asked)
    assert changes_of(bench) == {"ts": ("retyped", "WARNING")}
    assert "all rows are read again" in bench.event("column_changed")["message"]
    assert [each["ts"][-1] for each in bench.aito_rows()].count("Z") == 0
    quiet = bench.run_ok(asked)
    assert (quiet.uploaded, changes_of(bench)) == (0, {})


@pytest.mark.parametrize("mode", ["append", *slow("merge")])
def test_names_in_another_case(stack: Stack, mode: str) -> None:
    """BigQuery compares names without case; Aito's columns are named as the source's, and the key
    as the configuration has it.
    """
    bench = Workbench(stack, f"chosen_case_{mode}", mode)
    schema = {"Id": "STRING", "createdAt": "TIMESTAMP", "userName": "STRING", "Raw": "STRING"}
    row = {"Id": "a", "createdAt": iso(bench.now - 60), "userName": "x", "Raw": "y"}
    bench.load_source("camel", schema, [row])
    asked = {
        "name": bench.name,
        "source": f"{bench.dataset}.camel",
        "mode": mode,
        "key": "ID",
        "cursor": {"source": "CREATEDAT", "column": "unix"},
        "columns": {"*": {"except": ["raw"]}},
    }
    assert bench.run_ok(asked).uploaded == 1
    (held,) = bench.aito_rows()
    assert set(held) == {"ID", "createdAt", "userName", "unix"}
    assert bench.run_ok(asked).uploaded == 0


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_a_source_that_spells_its_columns_anew(stack: Stack, mode: str) -> None:
    """A change of case alone is no change: Aito's columns stay, and new rows fill them."""
    bench = Workbench(stack, f"chosen_spelling_{mode}", mode, now=NOW)
    schema = {"Id": "STRING", "createdAt": "TIMESTAMP", "userName": "STRING"}
    row = {"Id": "a", "createdAt": iso(bench.now - 600), "userName": "x"}
    bench.load_source("spelled", schema, [row])
    asked = table(bench.name, f"{bench.dataset}.spelled", mode=mode)
    asked["cursor"]["source"] = "createdAt"
    bench.run_ok(asked)
    moment = iso(bench.now - 60)
    bench.sql(
        "CREATE OR REPLACE TABLE {d}.spelled AS"
        " SELECT Id AS ID, createdAt AS CREATEDAT, userName AS username FROM {d}.spelled"
        f" UNION ALL SELECT 'b', TIMESTAMP '{moment}', 'y'"
    )
    bench.now += 60
    assert bench.run_ok(asked).uploaded == 1
    assert changes_of(bench) == {}
    assert {held["id"]: held["userName"] for held in bench.aito_rows()} == {"a": "x", "b": "y"}
    assert set(bench.aito.schema()[bench.name]["columns"]) == {"id", "createdAt", "userName", "at"}


def test_columns_that_do_not_fit(bench: Workbench) -> None:
    """All of them are named at once, with what leaves them out, which can be pasted.

    The rest is loaded.
    """
    moment = iso(bench.now - 60)
    bench.sql("CREATE SCHEMA IF NOT EXISTS {d}")
    bench.sql(
        f"CREATE TABLE {{d}}.odd_names AS SELECT 'a' AS id, TIMESTAMP '{moment}' AS ts,"
        " 1 AS `my col`, 2 AS sync_key, RANGE(DATE '2026-01-01', DATE '2026-02-01') AS booked,"
        " 1 AS `$price`, 2 AS `Row ID`"
    )
    asked = table(bench.name, f"{bench.dataset}.odd_names")
    told = str(bench.run(asked, dry_run=True).tables[0].error)
    for name in ("my col", "sync_key", "booked", "$price", "Row ID"):
        assert f"columns.{name}: " in told
    pasted = yaml.safe_load(told.partition("write  ")[2])
    bench.run_ok(asked | pasted)
    assert set(bench.aito_rows()[0]) == {"id", "ts", "at"}
    assert bench.aito.schema()[bench.name]["columns"].keys() == {"id", "ts", "at"}
