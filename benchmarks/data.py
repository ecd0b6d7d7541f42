"""The 15-column web table (the shape of local/sample.PAGES), made in BigQuery: the same rows for
the same numbers.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.cloud import bigquery
from google.cloud.bigquery import ScalarQueryParameter, SchemaField

from local.bigquery import create

DATASET = "web"
PAGES, LARGE = f"{DATASET}.pages", f"{DATASET}.large"
STRINGS = [
    "id",
    "anonymous_id",
    "context_campaign_medium",
    "context_campaign_name",
    "context_campaign_source",
    "context_ip",
    "context_locale",
    "context_page_path",
    "context_page_referrer",
    "context_page_title",
    "context_user_agent",
    "referrer",
    "search",
    "url",
]
SPAN = timedelta(days=60)  # the rows are spread evenly over it; its end is yesterday
STEP = 100_000  # rows a statement
CALL_SECONDS = 900


def _choice(divisor: int, *values: str | None) -> str:
    """SQL that picks one of the values by a digit of the row's dice."""
    cases = " ".join(
        f"WHEN {i} THEN '{value}'" for i, value in enumerate(values) if value is not None
    )
    return f"CASE MOD(DIV(dice, {divisor}), {len(values)}) {cases} END"


_PATH = _choice(1, "/", "/pricing", "/blog/churn", "/blog/fraud", "/docs/api", "/signup")
_REFERRER = _choice(
    7,
    None,
    "https://www.google.com/",
    "https://news.ycombinator.com/",
    "https://www.linkedin.com/feed/",
)
_CAMPAIGN = _choice(11, None, "google", "newsletter", "linkedin")
_SEARCH = _choice(
    17, None, None, None, "predictive database", 'what is "churn"?', "päätöspuu 決定木"
)
_AGENT = _choice(
    19,
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0"
    " Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like"
    " Gecko) Mobile/15E148",
    "Googlebot/2.1 (+http://www.google.com/bot.html)",
)
_ROWS = f"""
WITH numbered AS (
  SELECT n, MOD(n * 7919 + DIV(n, 13) * 104729, 1000003) AS dice,
    TO_HEX(MD5(CAST(n AS STRING))) AS hash,
    TO_HEX(MD5(CONCAT('visitor ', CAST(MOD(n * 31, 20011) AS STRING)))) AS visitor
  FROM UNNEST(GENERATE_ARRAY(@first, @last)) AS n),
drawn AS (
  SELECT *, {_PATH} AS path, {_REFERRER} AS referred, {_CAMPAIGN} AS campaign FROM numbered)
SELECT hash AS id, visitor AS anonymous_id,
  IF(campaign = 'newsletter', 'email', IF(campaign IS NULL, NULL, 'cpc'))
    AS context_campaign_medium,
  CONCAT(campaign, ' spring') AS context_campaign_name, campaign AS context_campaign_source,
  CONCAT('10.0.', CAST(MOD(dice, 256) AS STRING), '.', CAST(MOD(DIV(dice, 256), 256) AS STRING))
    AS context_ip,
  {_choice(23, "en-GB", "fi-FI", "de-DE")} AS context_locale, path AS context_page_path,
  referred AS context_page_referrer, CONCAT('Example ', path) AS context_page_title,
  {_AGENT} AS context_user_agent,
  referred AS referrer, {_SEARCH} AS search, CONCAT('https://example.com', path) AS url,
  TIMESTAMP_ADD(@begin, INTERVAL DIV(n * @span, @rows) SECOND) AS timestamp
FROM drawn"""
_DOCUMENTS = """
SELECT CAST(n AS STRING) AS id, REPEAT(TO_HEX(MD5(CAST(n AS STRING))), DIV(@bytes, 32)) AS body,
  TIMESTAMP_ADD(@begin, INTERVAL DIV(n * @span, @rows) SECOND) AS timestamp
FROM UNNEST(GENERATE_ARRAY(@first, @last)) AS n"""


def pages(client: bigquery.Client, rows: int) -> None:
    """Make the web table with so many rows."""
    _make(client, PAGES, STRINGS, _ROWS, rows)


def large(client: bigquery.Client, rows: int, size: int) -> None:
    """Make a table of documents of `size` bytes each."""
    _make(
        client,
        LARGE,
        ["id", "body"],
        _DOCUMENTS,
        rows,
        ScalarQueryParameter("bytes", "INT64", size),
    )


def _make(
    client: bigquery.Client,
    table: str,
    strings: list[str],
    select: str,
    rows: int,
    *more: ScalarQueryParameter,
) -> None:
    client.delete_table(table, not_found_ok=True)
    schema = [SchemaField(name, "STRING") for name in strings] + [
        SchemaField("timestamp", "TIMESTAMP")
    ]
    create(client, table, schema, partition_by="timestamp")
    begin = (
        datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        - timedelta(days=1)
        - SPAN
    )
    numbers = {"rows": rows, "span": int(SPAN.total_seconds())}
    fixed = [ScalarQueryParameter("begin", "TIMESTAMP", begin), *more]
    fixed += [ScalarQueryParameter(name, "INT64", number) for name, number in numbers.items()]
    for first in range(0, rows, STEP):
        part = {"first": first, "last": min(rows, first + STEP) - 1}
        bounds = [ScalarQueryParameter(name, "INT64", number) for name, number in part.items()]
        config = bigquery.QueryJobConfig(query_parameters=[*fixed, *bounds])
        client.query(f"INSERT INTO {table} {select}", job_config=config).result(
            timeout=CALL_SECONDS
        )
