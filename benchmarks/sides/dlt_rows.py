"""dlt as its manual shows it: an incremental resource of rows and a custom destination that posts
them.
"""

from collections.abc import Iterator
from typing import Any

import dlt
import requests

from benchmarks.sides import common

session = requests.Session()


@dlt.resource(name="pages", primary_key="id", write_disposition="append")
def pages(
    cursor: Any = dlt.sources.incremental("unix_timestamp", initial_value=0),
) -> Iterator[Any]:
    query = f"SELECT * FROM ({common.ROWS}) WHERE unix_timestamp >= {int(cursor.start_value)}"
    for page in common.client().query(query).result(page_size=10_000).pages:
        yield [dict(row) for row in page]


@dlt.destination(
    batch_size=common.BATCH, loader_file_format="typed-jsonl", skip_dlt_columns_and_tables=True
)
def aito(items: Any, table: Any) -> None:
    session.post(
        common.BATCH_URL, json=items, headers=common.HEADERS, timeout=60
    ).raise_for_status()


pipeline = dlt.pipeline(
    "bench", destination=aito, pipelines_dir=str(common.BATCH_FILE.parent / "dlt"), dev_mode=True
)
pipeline.run(pages()).raise_on_failed_jobs()
