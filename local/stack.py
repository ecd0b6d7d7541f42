"""The whole local stack at once, and the function itself in a process of its own.

with Stack() as stack, Function(stack.environ(stack.configure(tables=[...]))) as function:
    status, answer = function.post({"action": "sync"})
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, ClassVar, Protocol, Self

import requests
import yaml

from local.aito.server import Aito
from local.bigquery import PROJECT, BigQuery
from local.pubsub import PubSub
from local.secret_manager import SecretManager

ROOT = Path(__file__).parent.parent
SECRET = "aito-api-key"
LEDGER = "aito_sync"
START_SECONDS = 60
# PyYAML's emitter in C, where it was built with it: five times as fast.
Dumper: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
PATIENCE_SECONDS = 300  # of `post`; a first load under a debugger takes a while

# Waits until the parent lets go of its stdin, which it does by dying, and then ends the process
# group named to it.
_GUARD = 'read _; kill -s KILL -- "-$1"'


class Stack:
    """BigQuery, Aito, Secret Manager and Pub/Sub, each a real server on a free loopback port."""

    def __init__(self, project: str = PROJECT, threads: int = 0) -> None:
        """threads: see `BigQuery`."""
        self.project = project
        self.bigquery = BigQuery(project, threads=threads)
        self.aito = Aito()
        self.secrets = SecretManager({f"projects/{project}/secrets/{SECRET}": self.aito.api_key})
        self.pubsub = PubSub()
        self.folder = Path(tempfile.mkdtemp(prefix="local-stack-"))
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        self._exit.callback(shutil.rmtree, self.folder, ignore_errors=True)
        for server in (self.bigquery, self.aito, self.secrets, self.pubsub):
            self._exit.enter_context(server)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._exit.close()

    def configure(self, *, name: str = "sync.yaml", **settings: Any) -> Path:
        """Write a configuration file for this stack; `settings` are merged over the addresses.

        -> its path.
        """
        aito = {"url": self.aito.url, "api_key_secret": SECRET, **settings.pop("aito", {})}
        path = self.folder / name
        whole = {"aito": aito, "ledger": LEDGER, **settings}
        path.write_text(yaml.dump(whole, Dumper=Dumper, sort_keys=False), encoding="utf-8")
        return path

    @staticmethod
    def inherited() -> dict[str, str]:
        """What a process of the function takes from this one."""
        return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}

    def environ(self, config: Path | None = None) -> dict[str, str]:
        """The environment of a function process that talks to this stack and to nothing else."""
        return {
            **self.inherited(),
            "BIGQUERY_EMULATOR_HOST": self.bigquery.url,
            "SECRET_MANAGER_EMULATOR_HOST": self.secrets.url,
            "PUBSUB_EMULATOR_HOST": self.pubsub.host,
            "GOOGLE_CLOUD_PROJECT": self.project,
            **({"SYNC_CONFIG": str(config)} if config else {}),
        }


class Process(Protocol):
    """A process in a group of its own. This is the part of `subprocess.Popen` that is used here."""

    stdout: IO[str] | None
    stderr: IO[str] | None

    @property
    def pid(self) -> int:
        """Its number, which is its group's, too."""

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""

    def wait(self) -> int:
        """Wait for its end. -> the exit status."""

    def send_signal(self, number: int) -> None:
        """Send it a signal. One that has ended gets none."""


def start_python(
    module: str, arguments: Sequence[str], environ: Mapping[str, str], cwd: Path
) -> Process:
    """Run a module with this Python in a new process. It has a group of its own, so that a signal
    can reach its children too.
    """
    process: Process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=dict(environ),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    return process


class Function:
    """The function under functions-framework, as the cloud runs it.

    `lines` and `errors` gather stdout and stderr, `logs` the lines of stdout that are JSON.
    `start_process`: another way to start the process than from nothing.
    """

    start_process: ClassVar[Callable[..., Process]] = staticmethod(start_python)

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        source: Path = ROOT / "main.py",
        target: str = "sync",
        port: int = 0,
    ) -> None:
        self._environ, self._source, self._target = dict(environ), source, target
        self._port = port or _free_port()
        self._process: Process | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._readers: list[threading.Thread] = []
        self.url = f"http://127.0.0.1:{self._port}"
        self.lines: list[str] = []
        self.errors: list[str] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start the process and wait until it takes connections."""
        command = [
            "--target",
            self._target,
            "--source",
            str(self._source),
            "--host",
            "127.0.0.1",
            "--port",
            str(self._port),
        ]
        self._process = self.start_process(
            "functions_framework", command, self._environ, self._source.parent
        )
        self._guard = _guard(self._process.pid)
        self._readers = [
            _gather(self._process.stdout, self.lines.append),
            _gather(self._process.stderr, self.errors.append),
        ]
        self._wait(self._process)

    def kill(self) -> None:
        """SIGKILL for the whole process group, as a machine that goes away."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM, as the platform sends before it takes an instance away; returns when the
        process has ended.
        """
        self._end(signal.SIGTERM)

    def post(
        self,
        body: Any = None,
        *,
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        timeout: float = PATIENCE_SECONDS,
    ) -> tuple[int, Any]:
        """POST a JSON body, or bytes as they are. The path may have a query string.

        -> (status, JSON, or the text where it is none).
        """
        return _read(
            requests.post(
                self.url + path,
                data=_encoded(body),
                headers=_headers(body, headers),
                timeout=timeout,
            )
        )

    def get(self, path: str = "/", *, timeout: float = PATIENCE_SECONDS) -> tuple[int, Any]:
        """GET a path. -> (status, JSON, or the text where it is none)."""
        return _read(requests.get(self.url + path, timeout=timeout))

    @property
    def pid(self) -> int:
        """The process that was started; the framework's workers are its children."""
        if self._process is None:
            raise RuntimeError("the function is not running")
        return self._process.pid

    @property
    def logs(self) -> list[dict[str, Any]]:
        """Log events so far: the lines of stdout that are JSON objects."""
        return [event for line in list(self.lines) if isinstance(event := _json(line), dict)]

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
        if number == signal.SIGKILL:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        process.wait()
        for reader in self._readers:
            reader.join()

    def _wait(self, process: Process) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            time.sleep(0.02)
        self.kill()
        raise RuntimeError(
            "the function did not start:\n" + "".join(self.errors[-20:] or self.lines[-20:])
        )


def _guard(group: int) -> subprocess.Popen[bytes]:
    """Sees to it that a test which is killed leaves no function behind."""
    return subprocess.Popen(
        ["sh", "-c", _GUARD, "sh", str(group)], stdin=subprocess.PIPE, start_new_session=True
    )


def _gather(stream: IO[str] | None, keep: Callable[[str], None]) -> threading.Thread:
    def read() -> None:
        for line in stream or ():
            keep(line)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _encoded(body: Any) -> bytes | None:
    return body if body is None or isinstance(body, bytes) else json.dumps(body).encode()


def _headers(body: Any, headers: Mapping[str, str] | None) -> dict[str, str]:
    return {**({} if body is None else {"Content-Type": "application/json"}), **(headers or {})}


def _read(answer: requests.Response) -> tuple[int, Any]:
    read = _json(answer.text)
    return answer.status_code, answer.text if read is None else read


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
