"""Where the sides play: BigQuery, the sink and Secret Manager, each stage set up once for a number
of rows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

from benchmarks import data
from local.bigquery import PROJECT, BigQuery, sql
from local.secret_manager import SecretManager

ROOT = Path(__file__).parent.parent
KEY = "benchmark-key"
SECRET = "benchmark"
BATCH = 1000


@dataclass(frozen=True)
class Stage:
    """What a side is given: addresses by environment, a folder, and how much there is to bring
    across.
    """

    environ: dict[str, str]
    folder: Path
    sink: str
    rows: int

    def swept(self, pause: float = 0.0) -> dict[str, int]:
        """Empty the sink.

        pause: seconds a batch takes at least from now on. -> what it got: requests, bytes, rows.
        """
        answer = requests.post(f"{self.sink}/stats", json={"pause": pause}, timeout=60)
        return dict(answer.json())


@contextmanager
def stage(rows: int, document_bytes: int | None = None, page_pause: float = 0.0) -> Iterator[Stage]:
    """Set up: the web table with so many rows, or so many documents of a size.

    page_pause: seconds more a page.
    """
    with ExitStack() as up:
        folder = Path(up.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        bigquery = up.enter_context(BigQuery(pause=page_pause))
        sink = up.enter_context(_sink())
        secrets = up.enter_context(SecretManager({f"projects/{PROJECT}/secrets/{SECRET}": KEY}))
        client = bigquery.client()
        if document_bytes is None:
            data.pages(client, rows)
            first = sql(
                client, f"SELECT TO_JSON_STRING(t) AS document FROM ({_rows()}) AS t LIMIT {BATCH}"
            )
            (folder / "batch.json").write_text(
                "[" + ",".join(row["document"] for row in first) + "]"
            )
        else:
            data.large(client, rows, document_bytes)
        config = _configured(folder, sink, large=document_bytes is not None)
        yield Stage(_environ(bigquery.url, secrets.url, sink, config), folder, sink, rows)


def _rows() -> str:
    return (
        f"SELECT {', '.join(data.STRINGS)}, UNIX_SECONDS(timestamp) AS unix_timestamp FROM"
        f" {data.PAGES}"
    )


@contextmanager
def _sink() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.sink"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdin
        yield f"http://127.0.0.1:{process.stdout.readline().split()[1]}"
        process.stdin.close()


def _configured(folder: Path, sink: str, *, large: bool) -> Path:
    """The function's configuration.

    The ceiling of requests is out of the way, as the other sides have none.
    """
    table: dict[str, Any] = {
        "name": "pages",
        "source": data.LARGE if large else data.PAGES,
        "key": "id",
        "cursor": {"source": "timestamp", "column": "unix_timestamp"},
        "columns": dict.fromkeys(["id", "body"] if large else data.STRINGS),
        "keep": "90d",
    }
    aito = {"url": sink, "api_key_secret": SECRET, "requests_per_second": 1_000_000}
    path = folder / "sync.yaml"
    path.write_text(
        yaml.safe_dump({"aito": aito, "ledger": "ledger", "tables": [table]}, sort_keys=False)
    )
    return path


def _environ(bigquery: str, secrets: str, sink: str, config: Path) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **inherited,
        "PYTHONPATH": str(ROOT),
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "BIGQUERY_EMULATOR_HOST": bigquery,
        "SECRET_MANAGER_EMULATOR_HOST": secrets,
        "SYNC_CONFIG": str(config),
        "BENCH_AITO": sink,
        "BENCH_KEY": KEY,
        "BENCH_COLUMNS": ", ".join(data.STRINGS),
        "BENCH_BATCH": str(config.with_name("batch.json")),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }


def checked(side: str, got: dict[str, int], rows: int) -> dict[str, int]:
    """What the sink got, when that is every row once."""
    if got["rows"] != rows:
        raise RuntimeError(f"{side} brought {got['rows']} of {rows} rows: {json.dumps(got)}")
    return {"requests": got["requests"], "bytes_sent": got["bytes"]}
