"""Secret Manager, Pub/Sub, the stack as a whole, and the function's process."""

import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import secretmanager
from google.cloud.pubsub_v1 import PublisherClient
from google_crc32c import value as crc32c

from local.pubsub import PubSub
from local.secret_manager import SecretManager
from local.stack import Function, Stack

ROOT = Path(__file__).parents[2]
KEY = "projects/p/secrets/key"
FUNCTION = """
import json, os, sys, time
def sync(request):
    print(json.dumps({"event": "called", "body": request.get_json(silent=True)}), flush=True)
    print("no json", flush=True)
    if request.path == "/slow":
        time.sleep(60)
    if request.path == "/text":
        return "hello"
    return {"project": os.environ["GOOGLE_CLOUD_PROJECT"], "home": sorted(set(os.environ))}, 202
"""


# -- Secret Manager


@pytest.fixture
def secrets() -> Iterator[SecretManager]:
    with SecretManager({KEY: "first"}) as server:
        yield server


def access(secrets: SecretManager, version: str, name: str = KEY) -> requests.Response:
    return requests.get(f"{secrets.url}/v1/{name}/versions/{version}:access", timeout=5)


def test_secret_with_its_checksum(secrets: SecretManager) -> None:
    """The payload comes with the CRC32C that Google's own library computes, as a decimal string."""
    body = access(secrets, "1").json()
    assert body["name"] == f"{KEY}/versions/1"
    assert base64.b64decode(body["payload"]["data"]) == b"first"
    assert body["payload"]["dataCrc32c"] == str(crc32c(b"first"))


def test_latest_is_the_newest(secrets: SecretManager) -> None:
    """A new version is `latest` at once; old ones stay."""
    assert secrets.add(KEY, "second") == f"{KEY}/versions/2"
    bodies = [access(secrets, version).json() for version in ("latest", "1", "2")]
    assert [body["name"][-1] for body in bodies] == ["2", "1", "2"]
    assert secrets.accesses == 3


def test_refusals_in_googles_shape(secrets: SecretManager) -> None:
    """What is not there is NOT_FOUND, what is not allowed PERMISSION_DENIED."""
    for answer in (
        access(secrets, "7"),
        access(secrets, "x"),
        access(secrets, "1", "projects/p/secrets/none"),
    ):
        assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")
    secrets.forbidden.add(KEY)
    answer = access(secrets, "latest")
    assert (answer.status_code, answer.json()["error"]["status"]) == (403, "PERMISSION_DENIED")


def test_a_spoilt_checksum(secrets: SecretManager) -> None:
    """On demand the checksum does not fit."""
    secrets.corrupt = True
    assert access(secrets, "1").json()["payload"]["dataCrc32c"] != str(crc32c(b"first"))


def test_the_official_client_reads_it(secrets: SecretManager) -> None:
    """google-cloud-secret-manager over REST takes the answers."""
    options = ClientOptions(api_endpoint=secrets.url)
    client = secretmanager.SecretManagerServiceClient(
        transport="rest", client_options=options, credentials=AnonymousCredentials()
    )
    answer = client.access_secret_version(name=f"{KEY}/versions/latest", timeout=5)
    assert answer.payload.data == b"first"
    assert answer.payload.data_crc32c == crc32c(b"first")


# -- Pub/Sub


def test_the_official_publisher_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data and attributes arrive; a topic that is not there is an error."""
    with PubSub() as pubsub:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.host)
        publisher = PublisherClient()
        assert (
            publisher.publish("projects/p/topics/t", b"{}", kind="again").result(timeout=5) == "1"
        )
        message = pubsub.messages[0]
        assert (message.topic, message.data, message.attributes) == (
            "projects/p/topics/t",
            b"{}",
            {"kind": "again"},
        )
        pubsub.missing.add("projects/p/topics/none")
        with pytest.raises(Exception, match="not found"):
            publisher.publish("projects/p/topics/none", b"{}").result(timeout=5)
        publisher.stop()


# -- the function


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("function") / "main.py"
    path.write_text(FUNCTION)
    return path


def test_the_function_in_the_stacks_environment(stack: Stack, source: Path) -> None:
    """It gets the stack's addresses and nothing of this process's own settings; its log lines are
    gathered.
    """
    with Function(stack.environ(stack.configure(tables=[])), source=source) as function:
        status, answer = function.post({"action": "sync"})
        assert (status, answer["project"]) == (202, stack.project)
        assert "AITO_API_KEY" not in answer["home"]
        assert {"SYNC_CONFIG", "BIGQUERY_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"} <= set(
            answer["home"]
        )
        assert function.get("/text") == (200, "hello")
        function.terminate()
    assert function.logs == [
        {"event": "called", "body": {"action": "sync"}},
        {"event": "called", "body": None},
    ]


def test_configuration_knows_the_stack(stack: Stack) -> None:
    """The file holds the stand-in's address and what the test adds."""
    text = stack.configure(
        name="other.yaml", aito={"requests_per_second": 100}, tables=[{"name": "t"}]
    ).read_text()
    assert stack.aito.url in text
    assert "requests_per_second: 100" in text


def test_killing_the_function(source: Path) -> None:
    """SIGKILL takes the whole group at once, in the middle of a request; it can be started again
    on the same port.
    """
    function = Function({**os.environ, "GOOGLE_CLOUD_PROJECT": "p"}, source=source)
    function.start()
    with pytest.raises(requests.Timeout):
        function.get("/slow", timeout=0.3)
    function.kill()
    with pytest.raises(requests.ConnectionError):
        function.post({})
    function.start()
    assert function.post({})[0] == 202
    function.kill()


def test_a_function_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The error carries the process's own words."""
    (tmp_path / "main.py").write_text("raise RuntimeError('no such luck')")
    with pytest.raises(RuntimeError, match="no such luck"):
        Function(dict(os.environ), source=tmp_path / "main.py").start()


def test_the_function_dies_with_its_parent(source: Path) -> None:
    """A test run killed with -9 leaves no function behind."""
    script = f"""
import os, time
from pathlib import Path
from local.stack import Function
function = Function({{**os.environ, "GOOGLE_CLOUD_PROJECT": "p"}}, source=Path({str(source)!r}))
function.start()
print(function.url, flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        assert requests.get(f"{url}/text", timeout=5).text == "hello"
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while _answers(url) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _answers(url)


def _answers(url: str) -> bool:
    try:
        requests.get(f"{url}/text", timeout=5)
    except requests.ConnectionError:
        return False
    return True
