"""Other Google services: the key in Secret Manager, messages on Pub/Sub."""

from sync.gcp.secret import Secret, api_key
from sync.gcp.topic import publish

__all__ = ["Secret", "api_key", "publish"]
