"""A new operator's desk: what the runbook says is typed, and the local stack answers.

The commands come from the document's text. Only the cloud's own programs are played: `terraform
apply` deploys the configuration to a function in this process, `gcloud` calls that function or adds
a version of a secret, `bq` asks the emulator. `./aito-sync` is the real command line.
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
from sync.app import Services
from sync.entry import http
from sync.entry.commands import cli, main
from tests.terraform.tools import ROOT, Plan
from tests.workbench import FAST, Workbench

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
OPERATIONS = RUNBOOK.split("\n## Operations")[1]
PROGRAMS = r"(?:terraform|gcloud|bq|eval|git|make|python3|\./aito-sync) "
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
    _services: Services | None = None

    def __post_init__(self) -> None:
        self.aito = self.bench.aito
        self.add_key(self.aito.api_key)

    # -- what a person does

    def edit(self, *tables: dict[str, Any], **aito: Any) -> None:
        """Write sync.yaml."""
        url = {"url": self.aito.url, "api_key_secret": SECRET, **FAST, **aito}
        self.bench.configure(*tables, aito=url)

    def type(self, beginning: str, table: str = "", answer: str = "") -> str:
        """Type the section's command that begins so; what it printed.

        table: in place of TABLE. answer: to a question.
        """
        known = commands(sections(OPERATIONS)[self.section])
        found = [command for command in known if command == beginning]
        found = found or [command for command in known if command.startswith(beginning)]
        assert found, f"{self.section}: no command begins with {beginning!r}, but {known}"
        return self._run(found[0].replace("TABLE", table), answer)

    def request(self, **fields: Any) -> dict[str, Any]:
        """The function's answer to a message."""
        data = base64.b64encode(json.dumps(fields).encode()).decode()
        return self._post({"message": {"data": data}, "subscription": "s"})

    def add_key(self, key: str) -> None:
        """A new version of the secret."""
        self.bench.stack.secrets.add(f"projects/{self.bench.stack.project}/secrets/{SECRET}", key)

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
        return ""

    def _gcloud(self, words: list[str]) -> str:
        if words[:3] == ["scheduler", "jobs", "run"]:
            return json.dumps(self._post(self._job(words[3])))
        if words[:3] == ["pubsub", "topics", "publish"]:
            message = next(w for w in words if w.startswith("--message=")).partition("=")[2]
            return json.dumps(self.request(**json.loads(message)))
        assert words[:3] == ["secrets", "versions", "disable"], words
        return ""

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
        file = self._file.with_name("deployed.yaml")
        file.write_text(self.deployed)
        app = flask.Flask("desk")
        context = app.test_request_context("/", method="POST", json=body)
        with mock.patch.dict("os.environ", self.bench.stack.environ(file)), context:
            answer = http.handle(flask.request, self._started, lambda: lambda: False)
        found: dict[str, Any] = answer.get_json()
        return found

    def _started(self) -> Services:
        """The function's process lives from one deployment to the next."""
        self._services = self._services or Services.from_environment()
        return self._services

    @property
    def _file(self) -> Path:
        return Path(self.bench.stack.folder) / f"{self.bench.name}.yaml"
