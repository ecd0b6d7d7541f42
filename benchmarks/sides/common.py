"""What the scripts beside this file share.

They know nothing of the function; each runs in a venv of its own.
"""

from __future__ import annotations

import os
from pathlib import Path

from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

AITO = os.environ["BENCH_AITO"]
KEY = os.environ["BENCH_KEY"]
BATCH = 1000  # rows a request, for all sides
BATCH_URL = f"{AITO}/api/v1/data/pages/batch"
HEADERS = {"content-type": "application/json", "x-api-key": KEY}
COLUMNS = os.environ["BENCH_COLUMNS"]  # fourteen names
ROWS = f"SELECT {COLUMNS}, UNIX_SECONDS(timestamp) AS unix_timestamp FROM web.pages"
DOCUMENTS = f"SELECT unix_timestamp, TO_JSON_STRING(t) AS document FROM ({ROWS}) AS t"
BATCH_FILE = Path(os.environ["BENCH_BATCH"])  # one finished body of BATCH documents


def client() -> bigquery.Client:
    """A client of the official library for the emulator."""
    options = ClientOptions(api_endpoint=os.environ["BIGQUERY_EMULATOR_HOST"])
    return bigquery.Client("local-project", AnonymousCredentials(), client_options=options)
