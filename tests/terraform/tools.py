"""Runs Terraform for the tests: the real thing, with the real provider's schema, and no cloud.

Two ways to the providers. An offline check (a folder with a `provider_stub.py`, named by
OFFLINE_CHECK or standing at ../shared/terraform) serves their schemas and the API's limits;
otherwise `terraform init` gets them from the registry, and plans are made by `terraform test` with
mocks, which needs no credentials. With neither, or without a terraform, the tests are skipped with
the reason, or fail with it when TERRAFORM_REQUIRED is set (as terraform/check.sh does).
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from local._kept import cache_folder
from tests.terraform.remembered import Remembered, tools_of

ROOT = Path(__file__).resolve().parents[2]
OFFLINE = Path(os.environ.get("OFFLINE_CHECK", ROOT.parent / "shared" / "terraform"))
OFFLINE_VENV = (
    Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "terraform-offline-venv"
)
LEDGER = {str(p.relative_to(ROOT)) for p in (ROOT / "sync" / "ledger").glob("*.json")}
COPIED = ("main.py", "requirements.txt", "sync.schema.json", "terraform")
# The part of sync/ that Terraform reads, and one file of code. All files are in a whole copy: they
# cost a plan five seconds, because Terraform hashes their text over and over.
THIN = ("sync/__init__.py", "sync/config/reader.py", *sorted(LEDGER))
CONFIGURATION = ROOT / "terraform" / "tests" / "configs" / "default.yaml"
EXAMPLE = "tests/example.tfvars"
LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", ".terraform", ".terraform.lock.hcl", "*.tfstate*", "*.tfvars"
)

INIT = "terraform init -input=false -no-color >init.log 2>&1 || { cat init.log; exit 1; }"
MOCKED_PLAN = """mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}
run "plan" {
  command = plan
}
"""
LOCAL_STATE = 'terraform {\n  backend "local" {}\n}\n'


@dataclass(frozen=True)
class Resource:
    """One resource as it is planned to be."""

    address: str
    type: str
    name: str
    values: dict[str, Any]
    unknown: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What the rules look at: the resources, the whole document, the zip, and the text it was made
    from.
    """

    document: dict[str, Any]
    zip: bytes
    source: str

    @functools.cached_property
    def resources(self) -> list[Resource]:
        """Every managed resource that will exist."""
        changes = self.document["resource_changes"]
        return [
            Resource(
                c["address"],
                c["type"],
                c["name"],
                c["change"]["after"],
                _flags(c["change"].get("after_unknown", {})),
            )
            for c in changes
            if c["mode"] == "managed" and c["change"]["after"] is not None
        ]

    def of(self, kind: str) -> list[Resource]:
        """Every resource of one type."""
        return [r for r in self.resources if r.type == kind]

    def one(self, address: str) -> dict[str, Any]:
        """The values of one resource, by its address."""
        found = [r.values for r in self.resources if r.address == address]
        assert len(found) == 1, f"{address} is planned {len(found)} times"
        return found[0]

    @functools.cached_property
    def text(self) -> str:
        """The whole plan as text."""
        return json.dumps(self.document)


def _flags(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def give_up(reason: str) -> NoReturn:
    """Skip with the reason, or fail with it where Terraform is required."""
    if os.environ.get("TERRAFORM_REQUIRED"):
        pytest.fail(reason)
    pytest.skip(reason)


def need_offline(reason: str) -> None:
    """Skip what the registry's provider cannot do without a cloud, and say why."""
    if not offline():
        pytest.skip(f"needs the offline check: {reason}")


def copy_to(folder: Path, *, whole: bool = False) -> Path:
    """A copy of what Terraform reads; answers the copy's terraform folder.

    whole: with all of sync/. Only what looks at the zip needs that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*COPIED, "sync") if whole else (*COPIED, *THIN):
        _copy(name, folder)
    if not whole:
        (folder / "requirements.txt").write_text("# the lock\n")
    shutil.copy(CONFIGURATION, folder / "sync.yaml")  # never the user's own
    for vars_file in (ROOT / "terraform").glob("*/**/*.tfvars"):
        shutil.copy(vars_file, folder / vars_file.relative_to(ROOT))
    deployment = folder / "terraform"
    (deployment / "zz_backend_override.tf").write_text(LOCAL_STATE)
    shutil.copy(deployment / "tests" / "teardown_override.tf", deployment)
    return deployment


def _copy(name: str, folder: Path) -> None:
    """Copy a file or a folder of the repository."""
    source, target = ROOT / name, folder / name
    if not source.exists():
        give_up(f"{name} is not there, and it is part of what is deployed")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=None if name == "sync" else LEFT_OUT)
    else:
        shutil.copy(source, target)


@functools.cache
def provider_way() -> list[str]:
    """The command to put in front of a shell that runs terraform: the offline stub, or nothing
    (the registry).
    """
    if shutil.which("terraform") is None:
        give_up("there is no terraform on PATH")
    stub = OFFLINE / "provider_stub.py"
    if stub.exists():
        python = OFFLINE_VENV / "bin" / "python"
        if not python.exists():
            subprocess.run(
                [OFFLINE / "check", ROOT / "terraform"], check=False, capture_output=True
            )
        return [
            str(python),
            str(stub),
            "--reattach",
            str(OFFLINE / "google.json"),
            str(OFFLINE / "archive.json"),
            "--",
        ]
    return []


def offline() -> bool:
    """Whether the offline stub serves the providers."""
    return bool(provider_way())


def terraform(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script with terraform in a copied folder, or play what it did the last time."""
    env = {
        **os.environ,
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
        "TF_DATA_DIR": str(folder / ".terraform"),
        "GOGC": "400",  # less garbage collection: a fifth of a plan's time
    }
    env.pop("TF_CLI_CONFIG_FILE", None)
    env.setdefault("TF_PLUGIN_CACHE_DIR", _plugin_cache())

    def run() -> subprocess.CompletedProcess[str]:
        command = [*provider_way(), "sh", "-c", script]
        return subprocess.run(
            command, cwd=folder, env=env, text=True, capture_output=True, check=False
        )

    if offline() and "TF_LOG" not in os.environ:  # a log is not a part of what is kept
        return _remembered().run(folder, script, run)
    return run()


@functools.cache
def _remembered() -> Remembered:
    return Remembered(tools_of(OFFLINE), cache_folder() / "bigquery-to-aito" / "terraform")


@functools.cache
def _plugin_cache() -> str:
    cache = Path.home() / ".terraform.d" / "plugin-cache"
    cache.mkdir(parents=True, exist_ok=True)
    return str(cache)


def ready(folder: Path) -> None:
    """Get the providers, or give up with terraform's own words."""
    done = terraform(folder, INIT)
    if done.returncode:
        give_up(
            f"the providers cannot be had: {' '.join((done.stdout + done.stderr).split())[-300:]}"
        )


def plan_script(*arguments: str) -> str:
    """The shell lines that make a plan and leave it as plan.json (offline) or plan.jsonl
    (registry).
    """
    options = " ".join(arguments or (f"-var-file={EXAMPLE}",))
    if offline():
        return (
            f"terraform plan -input=false -no-color -out=plan.bin {options} >plan.txt 2>&1 || "
            "{ cat plan.txt; exit 1; }; terraform show -json plan.bin >plan.json"
        )
    return (
        f"printf '%s' '{MOCKED_PLAN}' >tests/zz_plan.tftest.hcl\n"
        f"terraform test -json -verbose -filter=tests/zz_plan.tftest.hcl {options} >plan.jsonl || "
        "{ cat plan.jsonl; exit 1; }"
    )


def read_plan(folder: Path) -> Plan:
    """What plan_script left."""
    zipped = (folder / ".terraform" / "source.zip").read_bytes()
    source = "\n".join(path.read_text() for path in sorted(folder.glob("*.tf")))
    if (folder / "plan.json").exists():
        return Plan(json.loads((folder / "plan.json").read_text()), zipped, source)
    lines = [json.loads(line) for line in (folder / "plan.jsonl").read_text().splitlines()]
    return Plan(
        next(line["test_plan"] for line in lines if line["type"] == "test_plan"), zipped, source
    )


def another(ready_folder: Path, folder: Path) -> Path:
    """A copy of a copy, its providers included; answers its terraform folder."""
    shutil.copytree(ready_folder.parent, folder, dirs_exist_ok=True)
    return folder / ready_folder.name


def plan(folder: Path, *arguments: str) -> Plan:
    """Plan a copied folder; a refusal fails the test with what terraform said."""
    ready(folder)
    done = terraform(folder, plan_script(*arguments))
    assert done.returncode == 0, done.stdout + done.stderr
    return read_plan(folder)


def python() -> str:
    """The interpreter that runs these tests."""
    return sys.executable
