"""A stand-in for Secret Manager's REST API: `GET /v1/projects/P/secrets/S/versions/V:access`, and
nothing else.

with SecretManager({"projects/p/secrets/aito-api-key": "the key"}) as secrets:
    secrets.url                                   # the value for SECRET_MANAGER_EMULATOR_HOST
"""

import base64
import json
import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from local._http import Request, Response, Server

_ACCESS = re.compile(
    r"/v1/(projects/[^/]+(?:/locations/[^/]+)?/secrets/[^/]+)/versions/([^/:]+):access"
)
_CASTAGNOLI = 0x82F63B78  # the CRC32C polynomial, bits reversed


class SecretManager:
    """Secrets by `projects/P/secrets/S`, each a list of versions counted from 1.

    `accesses` counts the requests; `corrupt` spoils the checksum of every answer; secrets in
    `forbidden` answer 403.
    """

    def __init__(self, secrets: Mapping[str, str | bytes] | None = None, port: int = 0) -> None:
        self.accesses = 0
        self.corrupt = False
        self.forbidden: set[str] = set()
        self._versions: dict[str, list[bytes]] = {}
        for name, value in (secrets or {}).items():
            self.add(name, value)
        self._server = Server(self._answer, port)
        self.url = self._server.url

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._server.stop()

    def add(self, name: str, value: str | bytes) -> str:
        """Add a version. -> its full name."""
        versions = self._versions.setdefault(name, [])
        versions.append(value.encode() if isinstance(value, str) else value)
        return f"{name}/versions/{len(versions)}"

    def _answer(self, request: Request) -> Response:
        path = request.path.partition("?")[0].replace("%3A", ":")
        match = _ACCESS.fullmatch(path)
        if request.method != "GET" or match is None:
            return _refusal(404, "NOT_FOUND", "The requested URL was not found on this server.")
        self.accesses += 1
        return self._access(*match.groups())

    def _access(self, name: str, version: str) -> Response:
        versions = self._versions.get(name, [])
        number = (
            len(versions) if version == "latest" else int(version) if version.isdecimal() else 0
        )
        if name in self.forbidden:
            reason = (
                "Permission 'secretmanager.versions.access' denied for resource"
                f" '{name}/versions/{version}'"
            )
            return _refusal(403, "PERMISSION_DENIED", f"{reason} (or it may not exist).")
        if not versions:
            return _refusal(404, "NOT_FOUND", f"Secret [{name}] not found or has no versions.")
        if not 1 <= number <= len(versions):
            return _refusal(
                404, "NOT_FOUND", f"Secret Version [{name}/versions/{version}] not found."
            )
        return self._payload(f"{name}/versions/{number}", versions[number - 1])

    def _payload(self, name: str, data: bytes) -> Response:
        checksum = crc32c(data) ^ (1 if self.corrupt else 0)
        payload = {"data": base64.b64encode(data).decode(), "dataCrc32c": str(checksum)}
        return _json(200, {"name": name, "payload": payload})


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), as Secret Manager sends it. Bit by bit: a secret is short."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_CASTAGNOLI if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _refusal(status: int, reason: str, message: str) -> Response:
    """An error in the shape of Google's JSON APIs."""
    return _json(status, {"error": {"code": status, "message": message, "status": reason}})


def _json(status: int, body: dict[str, Any]) -> Response:
    return Response(status, json.dumps(body).encode())
