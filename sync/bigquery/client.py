"""Makes the client of google-cloud-bigquery, with short and explicit time-outs and retries.

The client's own default repeats a refused connection for ten minutes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry, if_exception_type
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from sync.base.errors import ActionRequired
from sync.bigquery.errors import TRANSIENT, translated
from sync.bigquery.wire import LargePieces, return_large_blocks
from sync.config import BigQuerySettings

RETRY = Retry(
    predicate=if_exception_type(*TRANSIENT), initial=0.3, maximum=4.0, multiplier=2.0, timeout=15.0
)
REQUEST_SECONDS = 60.0
# Seconds to connect and to be answered. An unreachable server is reported within 30 s.
# `Any`: the client's annotations do not know such a pair.
CALL_SECONDS: Any = (3.0, REQUEST_SECONDS)
# For a query to wait for a slot and to finish. The client's default is to wait without end.
JOB_SECONDS = 300.0


DRIVE_SCOPE = "https://www.googleapis.com/auth/drive.readonly"

BigQueryClient = bigquery.Client


def make_client(settings: BigQuerySettings) -> bigquery.Client:
    """A client for BigQuery, or for the emulator that BIGQUERY_EMULATOR_HOST names.

    Raises AccessDenied when there are no Google credentials.
    """
    emulator = os.environ.get("BIGQUERY_EMULATOR_HOST")
    project = settings.project or os.environ.get("GOOGLE_CLOUD_PROJECT")
    if emulator:
        client = _emulator_client(emulator, project, settings.location)
    else:
        with translated("BigQuery"), _project_needed():
            client = bigquery.Client(
                project=project, location=settings.location, client_options=_options(settings)
            )
    _read_in_large_pieces(client)
    return client


def _options(settings: BigQuerySettings) -> ClientOptions | None:
    """What access to ask for, where it is more than the client's default."""
    if not settings.drive:
        return None
    return ClientOptions(scopes=[*bigquery.Client.SCOPE, DRIVE_SCOPE])


@contextmanager
def _project_needed() -> Iterator[None]:
    """Say how to name the project. The client raises an OSError when nothing names it."""
    try:
        yield
    except OSError as error:
        if "Project" not in str(error):
            raise
        remedy = "set GOOGLE_CLOUD_PROJECT, or bigquery.project in sync.yaml"
        raise ActionRequired(f"BigQuery: no project to run queries in; {remedy}") from error


def _emulator_client(emulator: str, project: str | None, location: str | None) -> bigquery.Client:
    url = emulator if "://" in emulator else f"http://{emulator}"
    client = bigquery.Client(
        project=project or "local",
        location=location,
        credentials=AnonymousCredentials(),
        client_options=ClientOptions(api_endpoint=url),
    )
    client._http.trust_env = False  # no proxy lies between; to look for one is slow
    return client


def identity(client: bigquery.Client) -> str:
    """Whose credentials the client uses, for people. It names no secret."""
    if emulator := os.environ.get("BIGQUERY_EMULATOR_HOST"):
        return f"emulator at {emulator}, no credentials"
    credentials = client._credentials  # the client has no public way to it
    account = getattr(credentials, "service_account_email", None)
    return f"service account {account}" if account else "user credentials"


def _read_in_large_pieces(client: bigquery.Client) -> None:
    session = client._http  # Google's own manuals mount an adapter here, too
    if not session.is_mtls:  # such a session has an adapter that holds the client's certificate
        session.mount("https://", LargePieces())
        session.mount("http://", LargePieces())
    return_large_blocks()
