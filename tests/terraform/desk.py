"""A new operator's desk: what the runbook says is typed, and the local stack answers.

The commands come from the document's text. Only the cloud's own programs are played: `terraform
apply` deploys the configuration to a function in this process, or the code of a clone to a process
of its own; `gcloud` calls that function or adds a version of a secret, `bq` asks the emulator.
`git` and `./aito-sync` are real.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import click.testing
import flask

from local.aito.server import Aito
from local.stack import Function
from sync.app import Services
from sync.entry import http
from sync.entry.commands import cli, main
from tests.terraform.repository import Repository
from tests.terraform.tools import ROOT, Plan
from tests.workbench import FAST, Workbench

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
OPERATIONS = RUNBOOK.split("\n## Operations")[1]
PROGRAMS = r"(?:terraform|gcloud|bq|eval|git|make|printf|python3|\./aito-sync) "
SECRET = "aito-api-key"


def sections(text: str) -> dict[str, str]:
    """Heading -> what stands under it."""
    parts = re.split(r"^### (.+)$", text, flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def commands(section: str) -> list[str]:
    """The commands of a section, in their order, each once."""
    fenced = re.findall(r"```sh\n(.*?)```", section, re.S)
    inline = re.findall(rf"`({PROGRAMS}[^`]*)`", section)
    lines = [line for block in fenced for line in block.splitlines()]
    return list(dict.fromkeys([*inline, *lines]))


@dataclass
class Desk:
    """One operator, one deployment. `section` names the operation; its commands are typed.

    aito: the database that the configuration names. key: what is typed where a key is asked for.
    """

    bench: Workbench
    plan: Plan
    section: str
    aito: Aito = field(init=False)
    key: str = ""
    paused: bool = False
    deployed: str = ""
    repository: Repository | None = None
    function: Function | None = None  # the code of the repository's clone
    waiting: list[dict[str, Any]] = field(default_factory=list)  # messages while it is paused
    _services: Services | None = None

    def __post_init__(self) -> None:
        self.aito = self.bench.aito
        self.add_key(self.aito.api_key)

    # -- what a person does

    def edit(self, *tables: dict[str, Any], ledger: str = "", api_key_secret: str = SECRET) -> None:
        """Write sync.yaml."""
        aito = {"url": self.aito.url, "api_key_secret": api_key_secret, **FAST}
        path = self.bench.configure(*tables, aito=aito)
        path.write_text(path.read_text().replace(self.bench.ledger, ledger or self.bench.ledger))

    def type(self, beginning: str, table: str = "", answer: str = "", commit: str = "") -> str:
        """Type the section's command that begins so; what it printed.

        table, commit: in place of TABLE and COMMIT. answer: to a question.
        """
        known = commands(sections(OPERATIONS)[self.section])
        found = [command for command in known if command == beginning]
        found = found or [command for command in known if command.startswith(beginning)]
        assert found, f"{self.section}: no command begins with {beginning!r}, but {known}"
        typed = found[0].replace("TABLE", table).replace("COMMIT", commit)
        return self._run(typed, answer)

    def request(self, **fields: Any) -> dict[str, Any]:
        """The function's answer to a message."""
        data = base64.b64encode(json.dumps(fields).encode()).decode()
        return self._post({"message": {"data": data}, "subscription": "s"})

    def add_key(self, key: str, secret: str = SECRET) -> None:
        """A new version of the secret."""
        self.bench.stack.secrets.add(f"projects/{self.bench.stack.project}/secrets/{secret}", key)

    # -- what the programs do

    def _run(self, command: str, answer: str = "") -> str:
        pasted = re.fullmatch(r'eval "\$\(terraform output -raw (\w+)\)"', command)
        if pasted:
            if pasted[1] == "add_key":
                self.add_key(self.key)
                return ""
            if pasted[1] == "disable_old_keys":  # test_plan.py runs the line
                return self._output(pasted[1])
            return self._run(self._output(pasted[1]))
        words = shlex.split(command)
        if words[0] == "git":
            assert self.repository
            return self.repository.git(*words[1:])
        programs = {"terraform": self._terraform, "gcloud": self._gcloud, "bq": self._bq}
        if words[0] == "./aito-sync":
            return self._aito_sync(words[1:], answer)
        return programs[words[0]](words[1:])

    def _output(self, name: str) -> str:
        return str(self.plan.document["output_changes"][name]["after"])

    def _terraform(self, words: list[str]) -> str:
        assert words[0] == "apply", words
        self.paused = words[1:] == ["-var", "pause=true"]
        self.deployed = self._file.read_text()
        self._services = None
        if self.repository:
            self._start(self.repository.clone / "main.py")
        late, self.waiting = self.waiting, []
        return "\n".join(self._publish(message) for message in late)

    def _start(self, source: Path) -> None:
        """Deploy the code that `source` stands in."""
        self.stop()
        deployed = self._deployed_file()
        environment = {**self.bench.stack.environ(deployed), "PYTHONPATH": str(source.parent)}
        self.function = Function(environment, source=source)
        self.function.start()

    def stop(self) -> None:
        """End the deployed process."""
        if self.function:
            self.function.kill()
        self.function = None

    def _publish(self, message: dict[str, Any]) -> str:
        if self.paused:
            self.waiting.append(message)
            return ""
        return json.dumps(self.request(**message))

    def _gcloud(self, words: list[str]) -> str:
        if words[:3] == ["scheduler", "jobs", "run"]:
            return json.dumps(self._post(self._job(words[3])))
        if words[:3] == ["pubsub", "topics", "publish"]:
            message = next(w for w in words if w.startswith("--message=")).partition("=")[2]
            return self._publish(json.loads(message))
        raise AssertionError(words)

    def _job(self, name: str) -> dict[str, Any]:
        jobs = {r.values["name"]: r.values for r in self.plan.of("google_cloud_scheduler_job")}
        body = base64.b64decode(jobs[name]["http_target"][0]["body"])
        found: dict[str, Any] = json.loads(body)
        return found

    def _bq(self, words: list[str]) -> str:
        text = words[-1].replace("aito_sync.", f"{self.bench.ledger}.")
        return json.dumps(self.bench.sql(text), default=str)

    def _aito_sync(self, words: list[str], answer: str) -> str:
        runner = click.testing.CliRunner()
        with mock.patch.dict("os.environ", self.bench.stack.environ(self._file)):
            if answer:
                done = runner.invoke(cli, words, input=answer, standalone_mode=False)
                return done.output
            with runner.isolation() as (out, *_):
                status = main(words)
                assert status == 0, out.getvalue().decode()
                return out.getvalue().decode()

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.function:
            _, found = self.function.post(body)
            assert isinstance(found, dict), found
            return found
        file = self._deployed_file()
        app = flask.Flask("desk")
        context = app.test_request_context("/", method="POST", json=body)
        with mock.patch.dict("os.environ", self.bench.stack.environ(file)), context:
            answer = http.handle(flask.request, self._started, lambda: lambda: False)
        answered: dict[str, Any] = answer.get_json()
        return answered

    def _deployed_file(self) -> Path:
        file = Path(self.bench.stack.folder) / "deployed.yaml"
        file.write_text(self.deployed)
        return file

    def _started(self) -> Services:
        """The function's process lives from one deployment to the next."""
        self._services = self._services or Services.from_environment()
        return self._services

    @property
    def _file(self) -> Path:
        return Path(self.bench.stack.folder) / f"{self.bench.name}.yaml"
