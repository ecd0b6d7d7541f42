"""Links from the status page into Google Cloud's console.

Addresses: https://cloud.google.com/logging/docs/view/logs-explorer-interface and
https://cloud.google.com/bigquery/docs/admin-jobs-explorer
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

CONSOLE = "https://console.cloud.google.com"


@dataclass(frozen=True)
class Console:
    """Where a deployed function's log and jobs are shown.

    service: the Cloud Run service. project: where it runs. jobs_project: where its queries run.
    """

    service: str
    project: str
    jobs_project: str

    @classmethod
    def of(cls, environ: Mapping[str, str], jobs_project: str) -> Console | None:
        """The console of this process; None when it does not run on Cloud Run."""
        service = environ.get("K_SERVICE")
        if not service:
            return None
        return cls(service, environ.get("GOOGLE_CLOUD_PROJECT") or jobs_project, jobs_project)

    def log(self, table: str | None = None) -> str:
        """The log of the function, or its lines about one table."""
        conditions = [
            'resource.type="cloud_run_revision"',
            f'resource.labels.service_name="{self.service}"',
        ]
        if table is not None:
            conditions.append(f'jsonPayload.table="{_escaped(table)}"')
        query = quote("\n".join(conditions), safe="")
        return f"{CONSOLE}/logs/query;query={query}?{urlencode({'project': self.project})}"

    @property
    def jobs(self) -> str:
        """BigQuery's list of jobs."""
        project = urlencode({"project": self.jobs_project})
        return f"{CONSOLE}/bigquery/admin/jobs-explorer?{project}"


def _escaped(text: str) -> str:
    """A text inside the quotes of a log filter."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
