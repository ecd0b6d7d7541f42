"""What `init` proposes, from what was counted of the sources."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sync import config
from sync.entry import init
from sync.entry.proposal import TableProposal, key_candidates, link_candidates, propose
from sync.entry.proposal.cursor import unit_of
from sync.entry.proposal.keys import MAX_COMBINATIONS
from sync.entry.proposal.links import is_named_after
from sync.entry.proposal.names import words
from sync.model.inspection import ColumnFacts, Inspection, LinkFacts, TableFacts

NOW = 1_750_000_000
ROWS = 1_000


def column(name: str, kind: str = "STRING", **counted: Any) -> ColumnFacts:
    """A column without NULL and with a few values."""
    return ColumnFacts(name, kind, **{"nulls": 0, "distinct": 100, **counted})


def unique(name: str = "id", kind: str = "STRING", **counted: Any) -> ColumnFacts:
    """A column with another value in every row."""
    return column(name, kind, distinct=ROWS, **counted)


def time(name: str, kind: str = "TIMESTAMP", **counted: Any) -> ColumnFacts:
    """A time of the last days."""
    return column(name, kind, **{"minimum": NOW - 90_000, "maximum": NOW - 60, **counted})


def table(*columns: ColumnFacts, source: str = "shop.orders", **more: Any) -> TableFacts:
    """A table of ROWS rows."""
    return TableFacts(source, "TABLE", columns, **{"rows": ROWS, **more})


def inspected(*tables: TableFacts, shares: dict[str, float] | None = None) -> Inspection:
    """What was read. shares: of the values of a column that are keys, by the column's name."""
    candidates = link_candidates(tables)
    found = [LinkFacts(c, 100, int(100 * (shares or {}).get(c.column, 1.0))) for c in candidates]
    return Inspection(tables, tuple(found), 10**9, 2, NOW)


def proposed(*columns: ColumnFacts, **more: Any) -> TableProposal:
    """The proposal for one table. Its text is a valid configuration."""
    inspection = inspected(table(*columns, **more))
    config.parse(init.document(inspection, None))
    return propose(inspection)[0]


def key(*columns: ColumnFacts, **more: Any) -> str | None:
    """The proposed key."""
    choice = proposed(*columns, **more).key
    return choice.parts[0] if choice else None


# -- key


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ((unique("order_id"), unique("id")), "id"),
        ((unique("external_id"), unique("order_id")), "order_id"),
        ((column("id", nulls=1, distinct=ROWS - 1), unique("uuid")), "uuid"),
        ((column("customer_id"), unique("sku")), "sku"),
        ((column("customer_id"), unique("comment")), None),
        ((unique("id", "FLOAT"),), None),
        ((column("id", distinct=ROWS // 3),), None),
    ],
)
def test_the_key_is_unique_and_never_null(
    columns: tuple[ColumnFacts, ...], expected: str | None
) -> None:
    """Of several such columns the one whose name says most; others are no key."""
    assert key(*columns, time("created_at")) == expected


def test_an_id_with_versions_is_a_key() -> None:
    """A log of changes holds an id several times: the newest row wins."""
    made = proposed(column("id", distinct=ROWS - 50), time("loaded_at"))
    assert made.key
    assert (made.key.parts, made.mode.value) == (("id",), "merge")
    assert "950 values in 1,000 rows" in made.key.reason


def test_which_columns_may_identify_a_row_together() -> None:
    """Identifiers come first, then positions and dates, then categories. Measures, prose and times
    of a change are no part, and columns with too few values together are not counted.
    """
    lines = table(
        column("order_id", distinct=400),
        column("line", "INTEGER", distinct=9),
        column("country", distinct=3),
        column("quantity", "INTEGER", distinct=50),
        column("note", mean_words=8.0),
        column("sku", distinct=80, nulls=1),
        time("updated_at"),
    )
    found = [each.columns for each in key_candidates(lines)]
    assert found == [
        ("order_id", "line"),
        ("order_id", "country"),
        ("order_id", "line", "country"),
    ]
    assert key_candidates(table(unique(), column("country"))) == ()
    tickets = table(unique("ticket"), unique("comment"), source="support.tickets")
    assert key_candidates(tickets)[0].columns == ("ticket",)
    assert key_candidates(table(column("a_id"), column("b_id"), rows=None, not_counted="x")) == ()
    wide = table(*(column(f"c{n}_id") for n in range(150)))
    assert len(key_candidates(wide)) == MAX_COMBINATIONS


def test_a_key_of_several_columns() -> None:
    """Columns that are unique together are the key, and a cursor then makes the table
    incremental.
    """
    columns = (column("order_id"), column("line", "INTEGER"), time("updated_at"))
    made = proposed(*columns, composite_key=("order_id", "line"))
    assert made.key
    assert (made.key.parts, made.mode.value) == (("order_id", "line"), "merge")
    text = init.document(inspected(table(*columns, composite_key=("order_id", "line"))), None)
    assert config.parse(text).tables[0].key_parts == ("order_id", "line")


def test_nothing_was_counted() -> None:
    """Without counts the name alone decides, and the reason says so."""
    columns = (ColumnFacts("id", "STRING"), ColumnFacts("at", "TIMESTAMP"))
    made = proposed(*columns, rows=None, not_counted="counting would read 99 GiB")
    assert made.key
    assert "99 GiB" in made.key.reason
    assert made.cursor
    uncounted = table(*columns, not_counted="counting would read 99 GiB")
    assert link_candidates((uncounted, USERS)) == ()


# -- cursor and mode


@pytest.mark.parametrize(
    ("columns", "partition", "expected", "mode"),
    [
        ((time("created_at"), time("updated_at")), "created_at", "updated_at", "merge"),
        ((time("received_at"), time("timestamp")), "timestamp", "timestamp", "append"),
        ((time("timestamp"), time("received_at")), None, "received_at", "append"),
        ((time("day", "DATE"), time("event_time")), None, "event_time", "append"),
        ((time("modifiedAt", "DATETIME"),), None, "modifiedAt", "merge"),
        ((time("expires_at"), time("created", "DATE")), None, "created", "append"),
        ((time("planned", maximum=NOW + 10**7), time("sent_at")), None, "sent_at", "append"),
    ],
)
def test_the_cursor(
    columns: tuple[ColumnFacts, ...], partition: str | None, expected: str, mode: str
) -> None:
    """What sees changes comes first, then the partitioning column, arrival, and the event."""
    made = proposed(unique(), *columns, partition_column=partition)
    assert made.cursor
    assert (made.cursor.source, made.mode.value) == (expected, mode)


def test_no_cursor_and_no_key() -> None:
    """A table without a key or without a cursor is loaded as a whole. A time with NULL is none."""
    made = proposed(unique(), time("updated_at", nulls=1))
    assert (made.mode.value, made.cursor) == ("replace", None)
    keyless = proposed(column("name"), time("updated_at"))
    assert (keyless.mode.value, keyless.key, keyless.cursor) == ("replace", None, None)
    assert any("key: [a, b]" in note for note in keyless.notes)


@pytest.mark.parametrize(
    ("least", "greatest", "unit"),
    [
        (1_700_000_000, 1_749_000_000, "s"),
        (1_700_000_000_000, 1_749_000_000_000, "ms"),
        (1_700_000_000_000_000, 1_749_000_000_000_000, "us"),
        (1, 5_000, None),
        (1_700_000_000, 1_749_000_000_000, None),
    ],
)
def test_the_unit_of_an_epoch(least: int, greatest: int, unit: str | None) -> None:
    """A range says whether an INT64 is an epoch, and what it counts."""
    epoch = column("event_ts", "INTEGER", minimum=least, maximum=greatest)
    assert unit_of(epoch, NOW) == unit
    cursor = proposed(unique(), epoch).cursor
    assert (cursor.unit if cursor else None) == unit


def test_the_cursor_has_a_column_of_its_own() -> None:
    """The name that is added hides no column of the source."""
    made = proposed(unique(), time("at"), column("at_unix", "INTEGER", minimum=1, maximum=2))
    assert made.cursor
    assert made.cursor.column == "sync_at_unix"


def test_a_view_of_a_table() -> None:
    """A view beside its table, as Segment's, is probably the same rows."""
    facts = table(unique(), time("at"))
    view = replace(facts, source="shop.orders_view", kind="VIEW")
    (_, made) = propose(inspected(facts, view))
    assert "orders_view may show the rows of orders: then keep one of the two." in made.notes


# -- daily tables


@pytest.mark.parametrize(("age", "keep"), [(1, 30 * 86_400), (400, None)])
def test_daily_tables(age: int, keep: int | None) -> None:
    """They are one source with a key of its own, and its latest tables are read again. Tables that
    nobody writes any more are read as a whole.
    """
    second = (NOW - age * 86_400) * 1_000_000
    epoch = column("event_timestamp", "INTEGER", minimum=second, maximum=second)
    facts = table(epoch, column("event_name"), source="analytics.events_*")
    (made,) = config.parse(init.document(inspected(facts), None)).tables
    assert (made.name, made.key, made.keep) == ("events", "row_key", keep)
    assert (made.source, made.query) == ("analytics.events_*", None)
    assert made.lookback == (3 * 86_400 if keep else 3_600)
    assert made.takes_all
    assert set(made.named) == {"row_key", "event_timestamp"}


# -- columns


def test_types_by_range_and_words() -> None:
    """Numbers beyond 32 bits are Long, prose is Text, long categories are not."""
    made = proposed(
        unique(),
        time("at"),
        column("views", "INTEGER", minimum=0, maximum=2**40),
        column("stars", "INTEGER", minimum=0, maximum=5),
        column("body", distinct=900, mean_words=12.0),
        column("agent", distinct=4, mean_words=5.0),
        column("weird name"),
    )
    assert made.columns
    found = {each.name: (each.type, each.sql) for each in made.columns}
    assert found["views"] == ("Long", None)
    assert found["body"] == ("Text", None)
    assert found["weird_name"] == (None, "`weird name`")
    assert set(found) == {"*", "views", "body", "weird_name"}
    assert made.columns[0].left_out == ("weird name",)


def test_columns_are_listed_only_when_one_needs_it() -> None:
    """Without anything to say, every source column is taken as it is."""
    assert proposed(unique(), time("at")).columns is None


def test_a_type_without_counterpart_is_left_out() -> None:
    """A RANGE would stop the sync."""
    made = proposed(unique(), time("at"), ColumnFacts("span", "RANGE", can_be_synced=False))
    assert made.columns
    assert [(each.name, each.left_out) for each in made.columns] == [("*", ("span",))]
    assert any("span" in note for note in made.notes)


# -- links

USERS = table(unique("id", "INTEGER", minimum=1, maximum=2**40), source="shop.users")


def orders(name: str, kind: str = "INTEGER") -> TableFacts:
    """Orders with a column that may point to users."""
    reference = column(name, kind, minimum=1, maximum=90)
    return table(unique("order_id", kind, minimum=1, maximum=ROWS), reference)


def links(*tables: TableFacts, share: float = 1.0) -> dict[str, tuple[str, str]]:
    """The links of the first table in the written file."""
    columns = {each.name: share for facts in tables for each in facts.columns}
    text = init.document(inspected(*tables, shares=columns), None)
    return config.parse(text).tables[0].links


@pytest.mark.parametrize(
    ("name", "share", "expected"),
    [
        ("user_id", 1.0, {"user_id": ("users", "id")}),
        ("buyer_user_id", 0.9, {"buyer_user_id": ("users", "id")}),
        ("userId", 1.0, {"userId": ("users", "id")}),
        ("user_id", 0.5, {}),
        ("quantity", 1.0, {}),
        ("product_id", 1.0, {}),
    ],
)
def test_links(name: str, share: float, expected: dict[str, tuple[str, str]]) -> None:
    """A link has a name that says so and values that are keys. A small number alone is none."""
    assert links(orders(name), USERS, share=share) == expected


def test_no_query_reads_two_locations() -> None:
    """Tables of two locations are not compared."""
    orders = table(unique(), column("user_id", "INTEGER"), location="EU")
    assert link_candidates((orders, replace(USERS, location="EU")))
    assert link_candidates((orders, replace(USERS, location="US"))) == ()


def test_texts_may_link_without_a_name() -> None:
    """Identifiers of text do not match by chance: anonymous_id may point to users."""
    users = table(unique("id"), source="shop.users")
    assert links(orders("anonymous_id", "STRING"), users) == {"anonymous_id": ("users", "id")}
    assert links(orders("anonymous_id", "INTEGER"), USERS) == {}


def test_both_ends_of_a_link_have_one_type() -> None:
    """A small number that points to a Long key is a Long, too."""
    (made, _) = propose(inspected(orders("user_id"), USERS))
    assert made.columns
    (reference,) = [each for each in made.columns if each.name == "user_id"]
    assert reference.type == "Long"


def test_links_do_not_run_in_a_circle() -> None:
    """Of two tables that point to each other, one link is left out."""
    one = table(unique("id"), column("b_id"), source="shop.a")
    other = table(unique("id"), column("a_id"), source="shop.b")
    settings = config.parse(init.document(inspected(one, other), None))
    assert sum(len(each.links) for each in settings.tables) == 1


def test_names_that_point_to_a_table() -> None:
    """Singular and plural, with and without an ending, and a key that says its table itself."""
    assert is_named_after("company_id", "companies", "id")
    assert is_named_after("company", "dim_companies", "id")
    assert is_named_after("product_sku", "catalogue", "sku")
    assert not is_named_after("company_id", "users", "id")


# -- evaluation


def test_a_first_evaluation() -> None:
    """A column of few values is predicted from columns whose values repeat.

    An id that is no link is none of them: it tells who, and so repeats the answer.
    """
    made = proposed(
        unique(),
        time("at"),
        column("country", distinct=30),
        column("status", distinct=4),
        column("shape", distinct=3),
        column("session", distinct=ROWS - 1),
        column("flag", distinct=1),
        column("customer_id", distinct=50),
    )
    assert made.evaluation
    assert made.evaluation.predict == "status"
    assert made.evaluation.given == ("shape", "country")


def test_nothing_is_worth_predicting() -> None:
    """Without a column of few values there is no evaluation."""
    assert proposed(unique(), time("at"), column("name", distinct=900)).evaluation is None


# -- the text


def test_two_tables_of_one_name() -> None:
    """Tables of two datasets get their dataset's name in front."""
    facts = table(unique(), time("at"))
    text = init.document(inspected(facts, replace(facts, source="old.orders")), None)
    assert [each.name for each in config.parse(text).tables] == ["shop_orders", "old_orders"]


@pytest.mark.parametrize("name", ["yes", "null", "a: b", "ä", "1", "x#y", "-", "{", "a'b"])
def test_names_are_read_back(name: str) -> None:
    """A name that YAML would read as something else is quoted."""
    facts = table(unique(), time("at"), column(name), column("body", mean_words=9.0))
    (made,) = config.parse(init.document(inspected(facts), None)).tables
    clean = name.replace(" ", "_")
    assert set(made.named) == ({clean, "body"} if clean != name else {"body"})
    assert made.left_out == ((name,) if clean != name else ())


def test_a_large_table_raises_the_limit() -> None:
    """The first sync of a table beyond the default limit would be refused."""
    text = init.document(inspected(table(unique(), time("at"), bytes=2**40)), None)
    assert config.parse(text).bigquery.max_bytes_billed == 2**41


def test_words_of_a_name() -> None:
    """Names in snake and camel case."""
    assert words("updatedAt") == words("updated_at") == words("UPDATED_AT") == {"updated", "at"}


# -- tables of a replicator, such as HubSpot's contacts


def contacts(*more: ColumnFacts) -> TableProposal:
    """A wide table that a replicator has written."""
    flags = [column(f"flag_{n}", "BOOLEAN", distinct=2, nulls=900) for n in range(20)]
    marks = column("_fivetran_deleted", "BOOLEAN", distinct=2), time("_fivetran_synced")
    stage = column("lifecycle_stage", distinct=6), column("country", distinct=9)
    return proposed(unique("id", "INTEGER"), *marks, *flags, *stage, *more)


def test_a_replicator_writes_changed_rows_again() -> None:
    """Rows change, although no column says that they are updated."""
    made = contacts()
    assert made.cursor is not None
    assert (made.cursor.source, made.mode.value) == ("_fivetran_synced", "merge")
    assert any(note.startswith("deletes: _fivetran_deleted ") for note in made.notes)


def test_words_that_run_together() -> None:
    """`lastmodifieddate` says that rows are updated."""
    made = contacts(time("createdate"), time("lastmodifieddate"))
    assert made.cursor is not None
    assert (made.cursor.source, made.mode.value) == ("lastmodifieddate", "merge")


def test_what_the_replicator_adds_is_not_predicted() -> None:
    """A category is predicted from what is filled, not from empty flags."""
    made = contacts().evaluation
    assert made is not None
    assert made.predict == "lifecycle_stage"
    assert made.given[0] == "country"
