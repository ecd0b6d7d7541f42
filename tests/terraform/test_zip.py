"""The zip that is deployed: what is in it, what makes it change, and that no key ever gets near
it.
"""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

from sync import config
from tests.terraform.tools import (
    CONFIGURATION,
    EXAMPLE,
    ROOT,
    copy_to,
    need_offline,
    plan,
    ready,
    terraform,
)

MARKER = "MARKER-rw-key-that-nobody-may-ever-see-0123456789"
QUIET = f"-input=false -no-color -var-file={EXAMPLE}"
APPLY = f"terraform apply {QUIET} -auto-approve >apply.txt 2>&1 || {{ cat apply.txt; exit 1; }}"
CHANGES = (
    f"terraform plan {QUIET} -out=next.bin >next.txt 2>&1 || {{ cat next.txt; exit 1; }}\n"
    "terraform show -json next.bin >plan.json"
)
EXAMPLES = sorted((ROOT / "terraform" / "examples").glob("*/*.yaml"))


@pytest.fixture(scope="module")
def zipped(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The zip of the repository as it stands."""
    folder = copy_to(tmp_path_factory.mktemp("zip"), whole=True)
    plan(folder)
    return zipfile.ZipFile(folder / ".terraform" / "source.zip")


def tracked() -> set[str]:
    """What git knows of sync/, documentation apart."""
    try:
        found = subprocess.run(
            ["git", "ls-files", "sync"], cwd=ROOT, text=True, capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return set()
    return {
        name for name in found.stdout.split() if not name.endswith(".md") and (ROOT / name).exists()
    }


@pytest.mark.slow
def test_the_zip_holds_what_runs_and_nothing_else(zipped: zipfile.ZipFile) -> None:
    """main.py, requirements.txt, the configuration and every tracked file of sync/: byte for byte,
    and nothing more.
    """
    names = set(zipped.namelist())
    rest = {n for n in names if not n.startswith("sync/")}
    assert rest == {"main.py", "requirements.txt", "sync.yaml"}
    assert tracked() <= names, f"not in the zip: {sorted(tracked() - names)}"
    for name in names:
        path = CONFIGURATION if name == "sync.yaml" else ROOT / name
        assert zipped.read(name) == path.read_bytes(), name
    strange = {n for n in names if "__pycache__" in n or "/." in n or n.endswith((".pyc", ".md"))}
    assert not strange, strange


@pytest.mark.slow
def test_the_configuration_in_the_zip_parses(zipped: zipfile.ZipFile) -> None:
    """The function will understand the configuration that it is deployed with."""
    assert config.parse(zipped.read("sync.yaml").decode()).tables


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "terraform" / "examples").glob("*/*.yaml")),
    ids=lambda p: f"{p.parent.name}/{p.stem}",
)
def test_each_examples_configuration_parses(path: Path) -> None:
    """The examples are configurations that the function takes."""
    assert config.load(path).tables


def test_terraform_and_the_code_know_the_same_defaults() -> None:
    """The budget and the request time-out that Terraform reckons with are those of the settings."""
    smallest = {
        "aito": {"url": "https://my-db.aito.app", "api_key_secret": "k"},
        "ledger": "l",
        "tables": [{"name": "t", "source": "d.t", "mode": "replace"}],
    }
    settings = config.parse(yaml.safe_dump(smallest))
    clocks = (ROOT / "terraform" / "clocks.tf").read_text()
    assert (
        f"try(coalesce(local.config.time_budget_seconds), {settings.time_budget_seconds:.0f})"
        in clocks
    )
    assert (
        f"try(coalesce(local.config.aito.timeout_seconds), {settings.aito.timeout_seconds:.0f})"
        in clocks
    )


def changed(folder: Path) -> dict[str, list[str]]:
    """Address -> actions, of everything the next apply would do."""
    done = terraform(folder, CHANGES)
    assert done.returncode == 0, done.stdout + done.stderr
    changes = json.loads((folder / "plan.json").read_text()).get("resource_changes", [])
    found = {c["address"]: c["change"]["actions"] for c in changes}
    return {
        address: actions
        for address, actions in found.items()
        if actions not in (["no-op"], ["read"])
    }


def applied(folder: Path) -> Path:
    """A copy that was applied, to the stub's made-up cloud."""
    need_offline("it applies, to a made-up cloud")
    work = copy_to(folder)
    ready(work)
    done = terraform(work, APPLY)
    assert done.returncode == 0, done.stdout + done.stderr
    return work


@pytest.mark.slow
def test_a_changed_line_deploys_and_a_changed_readme_does_not(tmp_path: Path) -> None:
    """One line of sync/ changes the object's name and the function; a README, a test or a note
    changes nothing.
    """
    folder = applied(tmp_path)
    repository = folder.parent
    assert changed(folder) == {}

    for name in (
        "README.md",
        "sync/README.md",
        "terraform/README.md",
        "tests/test_new.py",
        "sync/__pycache__/x.pyc",
    ):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text("another word\n")
    assert changed(folder) == {}

    with (repository / "sync" / "config" / "reader.py").open("a") as file:
        file.write("# another line\n")
    assert changed(folder) == {
        "google_storage_bucket_object.source": ["delete", "create"],
        "google_cloudfunctions2_function.sync": ["update"],
    }


@pytest.mark.slow
def test_a_changed_configuration_deploys(tmp_path: Path) -> None:
    """A new table in the configuration is a new zip, and opens its dataset."""
    folder = applied(tmp_path)
    with (folder / "tests" / "configs" / "default.yaml").open("a") as file:
        file.write("  - {name: more, source: another_set.more, mode: replace, key: id}\n")
    found = changed(folder)
    assert found['google_bigquery_dataset_iam_member.read["example-project.another_set"]'] == [
        "create"
    ]
    assert found["google_cloudfunctions2_function.sync"] == ["update"]


@pytest.mark.slow
def test_the_key_is_in_no_state_plan_zip_or_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that lies about in the environment and in files beside the code gets into nothing that
    Terraform makes.
    """
    monkeypatch.setenv("AITO_API_KEY", MARKER)
    monkeypatch.setenv("TF_LOG", "TRACE")
    monkeypatch.setenv("TF_LOG_PATH", str(tmp_path / "terraform.log"))
    need_offline("it applies, to a made-up cloud")
    folder = copy_to(tmp_path / "repository")
    for name in (".env", "sync/.env", "sync/aito.key", "sync/key.txt", "terraform/.env"):
        (folder.parent / name).write_text(f"AITO_API_KEY={MARKER}\n")
    ready(folder)
    done = terraform(
        folder,
        f"{APPLY}; {CHANGES}; terraform output -json >output.json; terraform state pull"
        " >state.json",
    )
    assert done.returncode == 0, done.stdout + done.stderr

    made = [
        p
        for p in tmp_path.rglob("*")
        if p.is_file() and not p.name.startswith((".env", "aito.key", "key.txt"))
    ]
    names = {p.name for p in made}
    assert {
        "state.json",
        "terraform.tfstate",
        "plan.json",
        "next.bin",
        "source.zip",
        "terraform.log",
    } <= names
    leaks = [
        (p.name, inner)
        for p in made
        for inner, content in contents(p)
        if MARKER.encode() in content
    ]
    assert not leaks
    assert MARKER.encode() in contents(folder / ".env")[0][1], "the search finds what is there"
    assert MARKER not in done.stdout + done.stderr


def contents(path: Path) -> list[tuple[str, bytes]]:
    """A file's bytes, and those of everything in it when it is a zip (a saved plan is one too)."""
    whole = [("", path.read_bytes())]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as inside:
            whole += [(name, inside.read(name)) for name in inside.namelist()]
    return whole
