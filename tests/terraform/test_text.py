"""What people read about the deployment, held against what it is: README, example values, Cloud
Build, check.sh.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sync import app
from sync.bigquery.client import JOB_SECONDS
from sync.config.settings import AitoSettings, Settings
from tests.terraform.tools import ROOT

FOLDER = ROOT / "terraform"
README = (FOLDER / "README.md").read_text()


def declared(kind: str, file: str) -> list[str]:
    """Names of the variables or outputs of a file, in its order."""
    return re.findall(rf'^{kind} "(\w+)"', (FOLDER / file).read_text(), re.M)


def test_every_variable_is_documented_and_in_order() -> None:
    """README's table and variables.tf name the same variables; the file has them by name, each
    with type and reason.
    """
    names = declared("variable", "variables.tf")
    table = README.split("## Variables")[1].split("##")[0]
    assert names == sorted(names)
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.M)) == set(names)
    for block in re.split(r"^variable ", (FOLDER / "variables.tf").read_text(), flags=re.M)[1:]:
        name = block.split('"')[1]
        assert all(
            re.search(rf"^  {word}\b", block, re.M)
            for word in ("description", "type", "validation")
        ), name


def test_every_output_is_in_the_readme() -> None:
    """What can be pasted is told where it is needed."""
    for name in declared("output", "outputs.tf"):
        assert re.search(rf"terraform output (-raw )?{name}\b", README), name


def test_the_example_values_are_variables() -> None:
    """Every name in terraform.tfvars.example, commented out or not, is a variable."""
    text = (FOLDER / "terraform.tfvars.example").read_text()
    names = set(re.findall(r"^#? ?(\w+) +=", text, re.M))
    assert names <= set(declared("variable", "variables.tf"))
    assert {"project_id", "alert_email"} <= names


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("function.tf", ["who may call it", "roles/run.invoker", "var.callers"]),
        ("secret.tf", ["who may read it", "roles/secretmanager.secretAccessor"]),
        (
            "clocks.tf",
            ["what happens when a night fails", "scheduler_retries", "stale_after_hours"],
        ),
    ],
)
def test_each_question_is_answered_in_one_file(file: str, words: list[str]) -> None:
    """Who may call, who may read the secret, what happens when a night fails: one file each, named
    in README.
    """
    text = (FOLDER / file).read_text()
    assert all(word in text for word in words)
    assert f"]({file})" in README
    for role in (word for word in words if word.startswith("roles/")):
        assert [p.name for p in FOLDER.glob("*.tf") if role in p.read_text()] == [file], (
            f"{role} is granted elsewhere too"
        )


def test_permissions_stand_beside_what_they_guard() -> None:
    """There is no iam.tf, and nothing makes up names."""
    assert not (FOLDER / "iam.tf").exists()
    assert not re.search(
        r"random_|\bforce_destroy\s+= true", "".join(p.read_text() for p in FOLDER.glob("*.tf"))
    )


def test_the_roles_of_the_deploying_account_are_explained() -> None:
    """Every role that the command grants has its line in the table, and the other way round."""
    granted = set(
        re.findall(r"[a-z]+[a-zA-Z]*\.[a-zA-Z]+", README.split("for role in")[1].split("; do")[0])
    )
    table = README.split("| role of the deploying account |")[1].split("\n\n")[0]
    assert set(re.findall(r"`([a-z]+[a-zA-Z]*\.[a-zA-Z]+)`", table)) == granted


def build() -> dict[str, Any]:
    """cloudbuild.yaml."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())
    return loaded


def test_cloud_build_checks_before_it_applies() -> None:
    """The steps are check, configuration, validate, plan, apply. The plan waits for all checks, and
    its own plan is applied.
    """
    steps = {step["id"]: step for step in build()["steps"]}
    assert list(steps) == ["check", "configuration", "validate", "plan", "apply"]
    assert steps["configuration"]["waitFor"] == ["check"]
    assert steps["plan"]["waitFor"] == ["configuration", "validate"]
    assert '/validate.py "$$CONFIG" --real' in steps["configuration"]["args"][1]
    assert "waitFor" not in steps["apply"]
    assert "-out=plan.tfplan" in steps["plan"]["args"][1]
    assert "apply -lock-timeout=300s plan.tfplan" in steps["apply"]["args"][1]
    assert re.search(r"make check test", steps["check"]["args"][1])
    assert build()["options"]["logging"] == "CLOUD_LOGGING_ONLY"


def test_cloud_build_tests_with_the_python_that_is_deployed() -> None:
    """The check runs the version of Python that the function runs."""
    runtime = re.search(r'runtime += "python3(\d+)"', (FOLDER / "function.tf").read_text())
    assert runtime
    assert build()["steps"][0]["name"] == f"python:3.{runtime[1]}-slim"


def test_cloud_build_names_only_variables_that_exist() -> None:
    """Every TF_VAR_ is a variable, and what must be said about a project is given."""
    given = {
        line.split("=")[0].removeprefix("TF_VAR_")
        for line in build()["options"]["env"]
        if "TF_VAR_" in line
    }
    assert {"project_id", "alert_email"} <= given <= set(declared("variable", "variables.tf"))


@pytest.mark.parametrize(
    ("branch", "pull_request", "applied"),
    [
        ("main", "", True),
        ("topic", "", False),
        ("main", "17", False),
        ("", "", False),
        ("$(touch owned)", "", False),
    ],
)
def test_only_a_push_to_main_is_applied(
    tmp_path: Path, branch: str, pull_request: str, applied: bool
) -> None:
    """Another branch, a pull request (whatever its branch is called) and a build by hand are only
    planned.
    """
    step = next(step for step in build()["steps"] if step["id"] == "apply")
    (tmp_path / "terraform").write_text("#!/bin/sh\necho APPLIED\n")
    (tmp_path / "terraform").chmod(0o755)
    values = {"BRANCH": branch, "PULL_REQUEST": pull_request, "DEPLOY_BRANCH": "main"}
    assert {line.split("=")[0] for line in step["env"]} == set(values)
    done = subprocess.run(
        ["sh", step["args"][0], step["args"][1].replace("$$", "$")],
        cwd=tmp_path,
        env={**values, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert ("APPLIED" in done.stdout) == applied
    assert not (tmp_path / "owned").exists()


def test_without_terraform_the_check_fails_and_says_so(tmp_path: Path) -> None:
    """check.sh never passes in silence: without a terraform it names what is missing."""
    for tool in ("sh", "dirname"):
        (tmp_path / tool).symlink_to(
            subprocess.check_output(["sh", "-c", f"command -v {tool}"], text=True).strip()
        )
    done = subprocess.run(
        ["/bin/sh", str(FOLDER / "check.sh")],
        env={"PATH": str(tmp_path)},
        text=True,
        capture_output=True,
    )
    assert done.returncode != 0
    assert "no terraform on PATH" in done.stderr


def test_without_providers_the_check_fails_and_says_so(tmp_path: Path) -> None:
    """When neither the registry nor an offline check can be used, nothing was checked, and
    check.sh does not pass.
    """
    (tmp_path / "terraform").write_text(
        '#!/bin/sh\n[ "$1" != init ] || { echo no registry; exit 1; }\n'
    )
    (tmp_path / "terraform").chmod(0o755)
    done = subprocess.run(
        ["sh", str(FOLDER / "check.sh")],
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "OFFLINE_CHECK": str(tmp_path / "nowhere"),
        },
        text=True,
        capture_output=True,
    )
    assert done.returncode != 0
    assert "nothing was checked" in done.stderr
    assert "no registry" in done.stdout


def test_the_clocks_are_those_of_the_code() -> None:
    """clocks.tf repeats three times of the code, for Terraform cannot read them there."""
    text = (FOLDER / "clocks.tf").read_text()
    fields = (
        Settings.model_fields["time_budget_seconds"],
        AitoSettings.model_fields["timeout_seconds"],
    )
    names = "config.time_budget_seconds", "config.aito.timeout_seconds"
    told = [re.search(rf"coalesce\(local\.{re.escape(name)}\), (\d+)\)", text) for name in names]
    waits = re.search(r"query_seconds += (\d+)", text)
    assert [float(found[1]) for found in (*told, waits) if found] == [
        *(f.default for f in fields),
        JOB_SECONDS,
    ]


def test_every_deliberate_mistake_still_changes_something() -> None:
    """The text that a mistake replaces is in its file. The slow half tries what catches it."""
    mistakes = yaml.safe_load((FOLDER / "tests" / "mistakes.yaml").read_text())
    assert len(mistakes) >= 80
    gone = [m["what"] for m in mistakes if m["old"] not in (FOLDER / m["file"]).read_text()]
    assert gone == []


def test_a_watch_ends_before_its_caller_hangs_up() -> None:
    """Its time and one request more fit into Cloud Scheduler's wait."""
    waits = re.search(r"watch_deadline += (\d+)", (FOLDER / "clocks.tf").read_text())
    assert waits
    request = AitoSettings.model_fields["timeout_seconds"].default
    assert app.WATCH_SECONDS + request <= int(waits[1])


def test_the_cost_is_reckoned_from_the_settings() -> None:
    """README's month is what cost.py makes of this folder: `cost.py --write` after a change."""
    done = subprocess.run(
        [sys.executable, FOLDER / "cost.py"], text=True, capture_output=True, check=True
    )
    assert done.stdout
    assert done.stdout in README


def test_the_watch_is_in_time_for_an_evaluation() -> None:
    """Aito keeps a result about 15 minutes: the watch comes at least every ten."""
    minutes = re.search(r"watch_minutes += (\d+)", (FOLDER / "clocks.tf").read_text())
    assert minutes
    assert int(minutes[1]) <= 10


def test_the_check_of_the_configuration_names_the_line(tmp_path: Path) -> None:
    """validate.py takes the example, and names the line of a mistake."""
    good = FOLDER / "tests" / "configs" / "default.yaml"
    bad = tmp_path / "sync.yaml"
    bad.write_text(good.read_text().replace("keep: 90d", "keep: ninety days"))
    line = bad.read_text()[: bad.read_text().index("keep: ninety")].count("\n") + 1
    checks = [
        subprocess.run(
            [sys.executable, FOLDER / "validate.py", path], text=True, capture_output=True
        )
        for path in (good, bad)
    ]
    assert [check.returncode for check in checks] == [0, 2], checks[0].stdout
    assert f"line {line}: tables[1].keep" in checks[1].stdout


def test_the_check_of_the_configuration_says_when_it_cannot(tmp_path: Path) -> None:
    """Where the function's packages are not installed it says what to type, and does not pass.
    Where `./aito-sync` has installed them, it takes them.
    """
    script = tmp_path / "terraform" / "validate.py"
    script.parent.mkdir()
    shutil.copy(FOLDER / "validate.py", script)
    command = [sys.executable, "-S", "terraform/validate.py", "my.yaml"]
    done = subprocess.run(command, text=True, capture_output=True, cwd=tmp_path)
    assert (done.returncode, "`./aito-sync --version`" in done.stdout) == (3, True)
    ours = tmp_path / ".venv" / "bin" / "python"
    ours.parent.mkdir(parents=True)
    ours.write_text('#!/bin/sh\necho "checked: $2"\n')
    ours.chmod(0o755)
    done = subprocess.run(command, text=True, capture_output=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "checked: my.yaml\n")
