"""A BigQuery on this machine: the `bqemulator` package (REST over DuckDB) in a process of its own,
in memory.

    with BigQuery() as bigquery:
        client = bigquery.client()
        load(client, "shop.pages", PAGES, rows, partition_by="timestamp")

Known differences from the real one: dry runs estimate 0 bytes, `maximum_bytes_billed`, required
partition filters and expiry are not enforced, results cannot be read through the Storage API, BYTES
in loaded rows stay text, there is no time travel.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery._helpers import _rows_from_json
from google.cloud.bigquery.job.base import _error_result_to_exception

PROJECT = "local-project"
READY_SECONDS = 60  # four seconds on an idle laptop; a loaded CI machine gets its time
CALL_SECONDS = 60  # the client's own habit is to repeat a refused connection for ten minutes
# Of glibc: freed memory is used again, where to give it back takes a tenth of a small statement.
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**26), "MALLOC_TRIM_THRESHOLD_": str(2**28)}
MOST_ROWS = 1_000_000  # that `sql` returns; it raises when there are more

Row = Mapping[str, Any]


class BigQuery:
    """The emulator's process. `start` returns at once; whoever asks for `url` first waits until it
    answers.

    pause: seconds that each page of a result is kept back, as by a network.
    threads: that work on a statement; 0 for as many as there are cores. Statements over a few rows
    take a fifth less CPU with one.
    """

    def __init__(self, project: str = PROJECT, pause: float = 0.0, threads: int = 0) -> None:
        self.project = project
        self._arguments = [str(pause), str(threads)]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Start the process without waiting for it: it takes seconds, in which others can start
        too.
        """
        self._process = subprocess.Popen(
            # its own warnings concern nobody here
            [sys.executable, "-W", "ignore", "-m", "local._bqemulator", *self._arguments],
            cwd=Path(__file__).parent.parent,
            env={**os.environ, **KEPT_MEMORY},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        return self

    def stop(self) -> None:
        """End the process; what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
            self.__dict__.pop("url", None)

    @property
    def pid(self) -> int:
        """The process that was started."""
        if self._process is None:
            raise RuntimeError("the BigQuery emulator is not started")
        return self._process.pid

    @cached_property
    def url(self) -> str:
        """The value for BIGQUERY_EMULATOR_HOST, such as `http://127.0.0.1:40123`."""
        process = self._process
        if process is None or process.stdout is None:
            raise RuntimeError("the BigQuery emulator is not started")
        impatience = threading.Timer(READY_SECONDS, process.kill)
        impatience.start()
        line = process.stdout.readline()
        impatience.cancel()
        word, _, port = line.strip().partition(" ")
        if word != "ready":
            raise RuntimeError(
                f"the BigQuery emulator did not start within {READY_SECONDS} s; its error is on"
                " stderr"
            )
        return f"http://127.0.0.1:{port}"

    def client(self, project: str | None = None) -> bigquery.Client:
        """A client of the official library that talks to this emulator."""
        return client_of(self.url, project or self.project)


def client_of(url: str, project: str) -> bigquery.Client:
    """A client of the official library that talks to the emulator of this address."""
    client = bigquery.Client(
        project=project,
        credentials=AnonymousCredentials(),
        client_options=ClientOptions(api_endpoint=url),
    )
    client._http.trust_env = False  # no proxy lies between; to look for one is slow
    return client


def load(
    client: bigquery.Client,
    table: str,
    schema: Sequence[bigquery.SchemaField],
    rows: Iterable[Row],
    *,
    partition_by: str | None = None,
    truncate: bool = False,
) -> int:
    """Load rows into `dataset.table`, making both when missing. -> number of rows.

    `partition_by`: a TIMESTAMP, DATETIME or DATE column for daily partitions, or "" for partitions
    by ingestion time. Values are JSON's; times as ISO text. One load job, so that 100,000 rows take
    seconds.
    """
    create(client, table, schema, partition_by=partition_by)
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    if not lines:
        return 0
    config = bigquery.LoadJobConfig(
        schema=list(schema),
        source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
        write_disposition="WRITE_TRUNCATE" if truncate else "WRITE_APPEND",
    )
    # The emulator reads a file of this machine itself: one request, where an upload takes three.
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write("\n".join(lines))
        file.flush()
        client.load_table_from_uri(
            f"file://{file.name}", _full(client, table), job_config=config, timeout=CALL_SECONDS
        ).result(timeout=CALL_SECONDS)
    return len(lines)


def create(
    client: bigquery.Client,
    table: str,
    schema: Sequence[bigquery.SchemaField],
    *,
    partition_by: str | None = None,
) -> None:
    """Create `dataset.table` and its dataset when missing."""
    made = bigquery.Table(_full(client, table), schema=list(schema))
    if partition_by is not None:
        made.time_partitioning = bigquery.TimePartitioning(field=partition_by or None)
    try:
        client.get_table(made.reference, timeout=CALL_SECONDS)
    except NotFound:
        client.create_dataset(made.reference.dataset_id, exists_ok=True, timeout=CALL_SECONDS)
        client.create_table(made, exists_ok=True, timeout=CALL_SECONDS)


def sql(client: bigquery.Client, query: str) -> list[dict[str, Any]]:
    """Run one statement by one request. -> its rows as dicts, none for DML and DDL."""
    path = f"/projects/{client.project}/queries"
    asked = {"query": query, "useLegacySql": False, "maxResults": MOST_ROWS}
    answer = client._connection.api_request(
        method="POST", path=path, data=asked, timeout=CALL_SECONDS
    )
    if answer.get("errors"):
        raise _error_result_to_exception(answer["errors"][0])
    if answer.get("pageToken"):
        raise ValueError(f"a result of more than {MOST_ROWS:,} rows: add a LIMIT, or count them")
    fields = [bigquery.SchemaField.from_api_repr(field) for field in answer["schema"]["fields"]]
    rows = _rows_from_json(answer["rows"], fields)
    return [dict(row) for row in rows]


def empty(client: bigquery.Client, dataset: str) -> set[str]:
    """Delete all rows of a dataset's tables by one request, which only this emulator knows.

    -> the names of the tables; none where the dataset is missing.
    """
    path = f"/projects/{client.project}/datasets/{dataset}/empty"
    answer = client._connection.api_request(method="POST", path=path, timeout=CALL_SECONDS)
    return set(answer["tables"])


def _full(client: bigquery.Client, table: str) -> str:
    return table if table.count(".") == 2 else f"{client.project}.{table}"


def main() -> int:
    """Run the statement that is the argument on the BigQuery of BIGQUERY_EMULATOR_HOST.

    Prints each row as JSON.
    """
    host = os.environ.get("BIGQUERY_EMULATOR_HOST")
    if not host or len(sys.argv) != 2:
        print('usage: python -m local.bigquery "SELECT ..."; first `source` the file of the demo')
        return 2
    try:
        rows = sql(client_of(host, PROJECT), sys.argv[1])
    except GoogleAPIError as error:
        print(f"BigQuery: {getattr(error, 'message', error)}")
        return 1
    for row in rows:
        print(json.dumps(row, default=str, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
