"""dlt as fast as it gets: Arrow tables of finished documents, which its normalizer leaves alone,
joined as strings.
"""

from collections.abc import Iterator
from typing import Any

import dlt
import pyarrow.parquet
import requests

from benchmarks.sides import common

session = requests.Session()


@dlt.resource(name="pages", write_disposition="append")
def pages(
    cursor: Any = dlt.sources.incremental("unix_timestamp", initial_value=0, primary_key=()),
) -> Iterator[Any]:
    query = f"SELECT * FROM ({common.DOCUMENTS}) WHERE unix_timestamp >= {int(cursor.start_value)}"
    yield from common.client().query(query).result(page_size=10_000).to_arrow_iterable()


@dlt.destination(batch_size=0, loader_file_format="parquet", skip_dlt_columns_and_tables=True)
def aito(path: str, table: Any) -> None:
    for batch in pyarrow.parquet.ParquetFile(path).iter_batches(common.BATCH, columns=["document"]):
        body = ("[" + ",".join(batch.column(0).to_pylist()) + "]").encode()
        session.post(
            common.BATCH_URL, data=body, headers=common.HEADERS, timeout=60
        ).raise_for_status()


pipeline = dlt.pipeline(
    "bench", destination=aito, pipelines_dir=str(common.BATCH_FILE.parent / "dlt"), dev_mode=True
)
pipeline.run(pages()).raise_on_failed_jobs()
