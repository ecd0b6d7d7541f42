"""Keys that the text of a SELECT shows to change at each reading."""

from __future__ import annotations

import pytest

from sync.bigquery.unstable import sampling, unstable_column

UNSTABLE = [
    ("SELECT GENERATE_UUID() AS id, * FROM t", "GENERATE_UUID()"),
    ("SELECT *, ROW_NUMBER() OVER (ORDER BY ts) AS ID FROM t", "ROW_NUMBER() over all rows"),
    ("SELECT *, CAST(ROW_NUMBER() OVER () AS STRING) id FROM t", "ROW_NUMBER() over all rows"),
    ("SELECT MD5(CONCAT('a,b', CAST(RAND() AS STRING))) AS `id` FROM t -- AS id", "RAND()"),
    (
        "WITH n AS (SELECT *, RANK() OVER w AS r FROM t WINDOW w AS (ORDER BY ts))"
        " SELECT CONCAT('k', CAST(r AS STRING)) AS id, n.ts FROM n",
        "a value that is made anew at each reading",
    ),
    ("SELECT s.id AS id FROM (SELECT GENERATE_UUID() id, ts FROM t) AS s", "GENERATE_UUID()"),
    ("FROM t |> EXTEND GENERATE_UUID() AS id", "GENERATE_UUID()"),
    ("SELECT COUNT(*) OVER (ORDER BY ts) AS id FROM t", "COUNT() over all rows"),
    (
        "SELECT FARM_FINGERPRINT(CAST(CURRENT_TIMESTAMP() AS STRING)) AS id FROM t",
        "CURRENT_TIMESTAMP()",
    ),
    ("SELECT CONCAT(a, CAST(CURRENT_DATE() AS STRING)) AS id FROM t", "CURRENT_DATE()"),
]
STABLE = [
    "SELECT * FROM t QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY ts DESC) = 1",
    "SELECT *, ROW_NUMBER() OVER (ORDER BY ts) AS n FROM t",
    "SELECT x.order_id AS id FROM (SELECT order_id, RAND() AS r FROM t) AS x",
    "SELECT order_id AS id FROM (SELECT GENERATE_UUID() AS id, order_id FROM t)",
    "SELECT 'GENERATE_UUID()' AS id FROM t",
    "SELECT CONCAT(o, ROW_NUMBER() OVER (PARTITION BY o ORDER BY sku)) AS id FROM t",
    "SELECT CONCAT(o, ROW_NUMBER() OVER (PARTITION BY DATE(ts) ORDER BY (sku))) AS id FROM t",
    # The rows of a group have the same keys at each reading, whatever their order.
    "SELECT CONCAT(o, ROW_NUMBER() OVER (PARTITION BY o)) AS id FROM t",
    "SELECT CONCAT(o, COUNT(*) OVER (PARTITION BY o)) AS id FROM t",
    "SELECT CAST(o AS STRING) AS id, CAST(GENERATE_UUID() AS STRING) AS run FROM t",
    "SELECT id, CURRENT_TIMESTAMP() AS loaded FROM t WHERE ts < CURRENT_TIMESTAMP()",
]


@pytest.mark.parametrize(("text", "function"), UNSTABLE)
def test_unstable(text: str, function: str) -> None:
    """The function is named, also behind other names and inside other functions."""
    assert unstable_column(text, "id") == function


@pytest.mark.parametrize("text", STABLE)
def test_stable(text: str) -> None:
    """What does not make the key itself is nothing to refuse: removing duplicates, for example."""
    assert unstable_column(text, "id") == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SELECT * FROM t WHERE a = 1 AND RAND() < 0.1", "RAND()"),
        ("SELECT * FROM t WHERE rand() < 0.1", "RAND()"),
        ("SELECT * FROM t ORDER BY RAND() LIMIT 100", "RAND()"),
        ("SELECT * FROM t TABLESAMPLE SYSTEM (10 PERCENT)", "TABLESAMPLE"),
        ("SELECT *, RAND() < 0.1 AS is_test FROM t WHERE a > 1", ""),
        ("SELECT * FROM t WHERE brand = 'x' AND note != 'AND RAND() < 1'", ""),
        ("SELECT * FROM t WHERE MOD(ABS(FARM_FINGERPRINT(id)), 10) = 0", ""),
    ],
)
def test_sampling(text: str, found: str) -> None:
    """Rows that are chosen by chance are others at each reading; columns of chance are no rows."""
    assert sampling(text) == found
