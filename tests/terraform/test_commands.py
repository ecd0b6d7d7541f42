"""Every command that people are told to type is performed by test_operations.py, or checked here.

The commands come from docs/runbook.md, terraform/README.md, the outputs and the mails. A command of
the runbook that no check knows fails the test, so a new one needs a check.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from local._kept import Kept, cache_folder
from sync.entry.commands import cli
from tests.terraform.desk import RUNBOOK, commands
from tests.terraform.test_text import README
from tests.terraform.tools import ROOT, Plan, another, need_offline, terraform
from tests.workbench import Workbench

SELECT = re.compile(r"^bq query --nouse_legacy_sql '(?P<text>SELECT .*)'$")
VERBS = (
    *("add", "add-iam-policy-binding", "create", "describe", "disable", "enable", "list"),
    *("login", "proxy", "publish", "pull", "read", "resume", "run", "set", "update"),
)


def performed() -> tuple[str, ...]:
    """The beginnings of the commands that the tests of the operations type."""
    source = Path(__file__).with_name("test_operations.py").read_text()
    begun = re.findall(r"desk\.type\(\s*(?:\"([^\"]+)\"|'([^']+)')", source)
    return (*(first or second for first, second in begun), 'eval "$(terraform output -raw run_now)')


def is_output(command: str, plan: Plan) -> bool:
    """An output of the deployment, or its value as a command."""
    found = re.fullmatch(r'(?:eval "\$\()?terraform output (?:-raw )?(\w+)(?:\)")?', command)
    return found is not None and found[1] in plan.document["output_changes"]


def is_terraform(command: str, plan: Plan) -> bool:
    """`plan` and `apply` with a variable or a file of values that is there; commands of providers,
    which test_terraform_takes_the_words runs.
    """
    words = ("terraform apply", "terraform init", "terraform output", "terraform plan")
    if command in (*words, INIT, LOCK, UPGRADE):
        return True
    names = re.findall(r"-var (\w+)=", command)
    files = re.findall(r"-var-file=(\S+)", command)
    known = all(name in plan.document["variables"] or name == "pause" for name in names)
    there = all((ROOT / "terraform" / name).exists() for name in files)
    return command.startswith("terraform apply ") and bool(names or files) and known and there


def is_program_of_ours(command: str, _: Plan) -> bool:
    """A command of the command line with options that it takes, a target, or a script."""
    words = shlex.split(command)
    if words[0] == "./aito-sync":
        made = cli.commands[words[1]]
        whole = click.Context(cli, **cli.context_settings)
        made.make_context(words[1], list(words[2:]), parent=whole)
        return True
    if words[0] == "make":
        return bool(re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M))
    return words[0] == "python3" and (ROOT / words[1]).exists()


def is_gcloud(command: str, plan: Plan) -> bool:
    """A command of gcloud on something that the plan makes, or the login. gcloud's own words are
    checked below.
    """
    if command == "gcloud auth application-default login":
        return True
    names = {str(r.values.get("name")) for r in plan.resources}
    return command.startswith("gcloud ") and bool(set(shlex.split(command)) & names)


def is_query(command: str, _: Plan) -> bool:
    """A query that test_queries_run types, or the statement that GoogleSQL's analyzer takes."""
    undrop = "bq --location=EU query --nouse_legacy_sql 'UNDROP SCHEMA aito_sync'"
    return bool(SELECT.match(command)) or command == undrop


def is_file(command: str, _: Plan) -> bool:
    """The one file that is written by hand."""
    return command == BACKEND


INIT = (
    "terraform init -reconfigure -backend-config=bucket=my-project-aito-sync-state"
    " -backend-config=prefix=aito-sync/staging"
)
LOCK = "terraform providers lock -platform=linux_amd64 -platform=darwin_arm64"
UPGRADE = "terraform init -upgrade"
BACKEND = r"printf 'terraform {\n  backend " + r'"gcs" {}\n}\n' + "' > backend.tf"
CHECKS: tuple[Callable[[str, Plan], bool], ...] = (
    *(is_output, is_terraform, is_program_of_ours, is_gcloud, is_query, is_file),
)


@pytest.mark.parametrize("command", commands(RUNBOOK))
def test_every_command_is_performed_or_checked(command: str, planned: Plan) -> None:
    """Each command line of the runbook is typed by a test, or known to a check."""
    typed = command.startswith(performed())
    assert typed or any(check(command, planned) for check in CHECKS), command


def test_no_command_hides_from_this_test() -> None:
    """What looks like a command is read as one: every code span that begins with a program."""
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", RUNBOOK, flags=re.S))
    words = ("bash", "bq", "cp", "curl", "docker", "gcloud", "git", "gsutil", "make", "pip")
    programs = (*words, "printf", "python", "python3", "sh", "terraform", "./aito-sync", "eval")
    typed = {span for span in spans if span.split()[0] in programs and " " in span}
    assert typed - set(commands(RUNBOOK)) == set()


def test_queries_run(bench: Workbench) -> None:
    """Every query of the runbook runs on a ledger and a source."""
    bench.put([])
    bench.run_ok()
    names = {
        "aito_sync.": f"{bench.ledger}.",
        "CURSOR": "`at`",
        "DATASET.TABLE": f"`{bench.source}`",
    }
    texts = [found["text"] for each in commands(RUNBOOK) if (found := SELECT.match(each))]
    assert len(texts) >= 4
    for text in texts:
        for name, real in names.items():
            text = text.replace(name, real)
        bench.sql(text)


@pytest.mark.slow  # several processes of Terraform
def test_two_environments_have_two_states(sound: Path, tmp_path: Path) -> None:
    """The runbook's commands, with files in place of the bucket's prefixes: each environment finds
    its own state, and knows nothing of the other's.
    """
    need_offline("it applies one resource of Terraform's own")
    folder = another(sound, tmp_path / "repository")
    found = {}
    for name, values in (("production", "example"), ("staging", "staging"), ("production", "")):
        state = INIT.split(" -backend")[0] + f" -backend-config=path={name}.tfstate"
        environment = "-auto-approve -input=false -target=terraform_data.environment"
        files = f"-var-file=examples/two-environments/{values}.tfvars"
        apply = f"&& terraform apply {environment} {files} " if values else ""
        show = "terraform state show -no-color terraform_data.environment"
        done = terraform(folder, f"{state} >said {apply}>>said && {show}")
        assert done.returncode == 0, (folder / "said").read_text() + done.stderr
        found[name] = re.findall(r'input +=\s+"(.*)"', done.stdout)
    assert found == {
        "production": ["example-project/aito-sync"],
        "staging": ["example-project/aito-staging"],
    }


@pytest.mark.slow  # several processes of Terraform
def test_terraform_takes_the_words(sound: Path, tmp_path: Path) -> None:
    """The providers are upgraded by the runbook's command; the lock's command is understood, and
    needs the registry alone; the file of the backend is one.
    """
    folder = another(sound, tmp_path / "repository")
    assert terraform(folder, UPGRADE).returncode == 0
    locked = terraform(folder, f"{LOCK} -no-color")
    said = locked.stdout + locked.stderr
    assert locked.returncode == 0 or "registry.terraform.io" in said, said
    (folder / "zz_backend_override.tf").unlink()
    assert terraform(folder, f"{BACKEND} && terraform fmt -check backend.tf").returncode == 0
    assert '  backend "gcs" {}\n' in (folder / "backend.tf").read_text()


def told_to_type(plan: Plan) -> set[str]:
    """Every command of gcloud: the runbook's, the README's, the outputs' and the mails'."""
    mails = [a.values["documentation"][0]["content"] for a in plan.of(POLICY)]
    outputs = [str(each.get("after", "")) for each in plan.document["output_changes"].values()]
    blocks = re.findall(r"```sh\n(.*?)```", README, re.S)
    text = "\n".join(blocks).replace("\\\n", " ")
    found = {
        span for each in (RUNBOOK, README, *mails) for span in re.findall(r"`([^`\n]+)`", each)
    }
    lines = [*found, *text.splitlines(), *outputs]
    return {gcloud for line in lines for gcloud in re.findall(r"gcloud [a-z][^|;]*", line)}


POLICY = "google_monitoring_alert_policy"


@pytest.mark.slow  # gcloud takes two seconds to say what it takes
@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_gcloud_has_these_commands_and_options(planned: Plan) -> None:
    """gcloud's own help of each command names every option that is used with it."""
    options: dict[str, set[str]] = {}
    for command in told_to_type(planned):
        words = re.split(r"[ ;|&)]+", command)[1:]
        last = next(number for number, word in enumerate(words) if number and word in VERBS)
        kind = [word for word in words[last + 1 : last + 2] if word == "github"]
        name = " ".join([*words[: last + 1], *kind])
        options.setdefault(name, set()).update(re.findall(r" (--[a-z-]+)", command))
    assert len(options) > 10
    for name, used in options.items():
        shown = help_of(name)
        assert not {each for each in used if each not in shown}, f"gcloud {name}: {used}"


def help_of(name: str) -> str:
    """What gcloud says of one of its commands. It is kept for this version of gcloud."""
    program = Path(str(shutil.which("gcloud"))).resolve()
    version = program.parents[1] / "VERSION"
    if not version.exists():
        return asked_help(name)
    kept = Kept(cache_folder() / "bigquery-to-aito" / "gcloud")
    key = Kept.key(version.read_bytes(), str(program).encode(), name.encode())
    found = kept.get(key)
    if found is None:
        found = asked_help(name).encode()
        kept.keep(key, found)
    return found.decode()


def asked_help(name: str) -> str:
    """What gcloud says of one of its commands, without colours."""
    done = subprocess.run(
        ["gcloud", *name.split(), "--help"],
        text=True,
        capture_output=True,
        check=False,
        env={**os.environ, "CLOUDSDK_CORE_DISABLE_PROMPTS": "1", "PAGER": "cat"},
    )
    assert done.returncode == 0, f"gcloud {name}: {done.stderr[-300:]}"
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


def test_the_configuration_is_checked_as_typed() -> None:
    """`python3 terraform/validate.py FILE` from the repository's folder."""
    file = "terraform/tests/configs/default.yaml"
    command = [sys.executable, "terraform/validate.py", file]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{file}: 2 tables, no mistakes\n")
