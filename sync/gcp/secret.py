"""The Aito key: from Secret Manager, or from AITO_API_KEY on a person's machine.

The key is kept in memory only, and never printed.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from typing import Any

from google.api_core import exceptions, retry
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError

from sync.base.errors import AccessDenied, Unavailable

FETCH_SECONDS = 15.0
# https://cloud.google.com/secret-manager/regional-secrets/access-regional-secret
REGIONAL_SERVER = "secretmanager.{location}.rep.googleapis.com"


class Secret:
    """The key. It is loaded when it is first needed, and again after Aito refused it.

    Safe for threads.
    """

    def __init__(self, fetch: Callable[[], str], origin: str) -> None:
        """origin: where the key comes from, for messages."""
        self.origin = origin
        self._fetch = fetch
        self._lock = threading.Lock()
        self._value: str | None = None

    def __repr__(self) -> str:
        return "Secret(...)"

    def get(self) -> str:
        """The key. Raises AccessDenied or Unavailable when it cannot be had."""
        with self._lock:
            if self._value is None:
                self._value = self._fetch()
            return self._value

    def renew(self, refused: str) -> bool:
        """Load the key again after `refused` did not work.

        Returns whether there is another one to try.
        """
        with self._lock:
            if self._value == refused:
                self._value = self._fetch()
            return self._value != refused


def api_key(name: str | None, project: str | None, setting: str = "") -> Secret:
    """The key that the configuration names, or the one in AITO_API_KEY.

    name: secret id, projects/P/secrets/S or .../versions/V, also with projects/P/locations/L.
    project: of a bare id. setting: where the configuration names it, for messages.
    """
    if key := os.environ.get("AITO_API_KEY", "").strip():
        return Secret(lambda: _shaped(key, "AITO_API_KEY"), "AITO_API_KEY")
    named = f"{setting}: " if setting else ""
    return Secret(lambda: _access(version(name, project, named), named), f"secret {name}")


def version(name: str | None, project: str | None, named: str = "") -> str:
    """The full name of a secret's version. Raises AccessDenied when there is nothing to name.

    named: how messages about it begin.
    """
    if not name:
        raise AccessDenied(
            "no Aito key: set aito.api_key_secret in the configuration, or AITO_API_KEY on a laptop"
        )
    if not name.startswith("projects/"):
        if not project:
            raise AccessDenied(
                f"{named}secret {name}: no project; set GOOGLE_CLOUD_PROJECT or write"
                f" projects/P/secrets/{name}"
            )
        name = f"projects/{project}/secrets/{name}"
    return name if "/versions/" in name else f"{name}/versions/latest"


def _access(name: str, named: str = "") -> str:
    repeat = retry.Retry(
        initial=0.3, maximum=3.0, timeout=FETCH_SECONDS, predicate=retry.if_transient_error
    )
    try:
        answer = _client(name).access_secret_version(name=name, retry=repeat, timeout=FETCH_SECONDS)
    except exceptions.NotFound as error:
        raise AccessDenied(
            f"{named}secret {name} is not there, or has no version: {_making(name)}"
        ) from error
    except (exceptions.Forbidden, exceptions.Unauthorized) as error:
        raise AccessDenied(
            f"{named}secret {name} may not be read: grant roles/secretmanager.secretAccessor on it"
        ) from error
    except exceptions.BadRequest as error:
        raise AccessDenied(
            f"{named}secret {name} is disabled or destroyed: add a version"
        ) from error
    except (exceptions.GoogleAPIError, GoogleAuthError, OSError) as error:
        raise Unavailable(
            f"secret {name}: Secret Manager did not answer ({type(error).__name__})"
        ) from error
    return _checked(answer.payload, name)


def _making(name: str) -> str:
    """How to make a secret, and a version of it."""
    parts = name.split("/")
    place = f" --project={parts[1]}"
    if parts[2] == "locations":
        place = f" --location={parts[3]}{place}"
    secret = f"{parts[parts.index('secrets') + 1]}{place}"
    return (
        f'with the key in AITO_API_KEY type `printf %s "$AITO_API_KEY" |'
        f" gcloud secrets versions add {secret} --data-file=-`."
        f" Where that finds no secret, first `gcloud secrets create {secret}`"
    )


def _client(name: str) -> Any:
    """A client for the place where the secret is: a regional secret has a server of its own."""
    from google.cloud import secretmanager  # slow to import, and only read once a process

    host = os.environ.get("SECRET_MANAGER_EMULATOR_HOST")
    if not host:
        regional = re.match(r"projects/[^/]+/locations/([^/]+)/", name)
        if regional:
            server = REGIONAL_SERVER.format(location=regional[1])
            return secretmanager.SecretManagerServiceClient(client_options={"api_endpoint": server})
        return secretmanager.SecretManagerServiceClient()
    from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
        SecretManagerServiceRestTransport,
    )

    scheme, _, address = host.rpartition("://")
    transport = SecretManagerServiceRestTransport(
        host=address.rstrip("/"), url_scheme=scheme or "http", credentials=AnonymousCredentials()
    )
    return secretmanager.SecretManagerServiceClient(transport=transport)


def _checked(payload: Any, name: str) -> str:
    import google_crc32c

    if payload.data_crc32c and int(google_crc32c.value(payload.data)) != payload.data_crc32c:
        raise Unavailable(
            f"secret {name}: the payload's CRC32C does not match; it was damaged on its way"
        )
    return _shaped(payload.data.decode("ascii", "replace").strip(), f"secret {name}")


def _shaped(key: str, where: str) -> str:
    """The key, if it can be one. Raises AccessDenied."""
    for found, is_there in (
        ("it is empty", not key),
        ("it holds a line break", len(key.splitlines()) > 1),
        ("it holds white space", any(character.isspace() for character in key)),
        ("it holds a character that no key has", not (key.isascii() and key.isprintable())),
    ):
        if is_there:
            raise AccessDenied(
                f"{where} does not hold an Aito key: {found}; copy the key alone, which is one line"
                " of printable characters"
            )
    return key
