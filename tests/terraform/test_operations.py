"""Each operation of docs/runbook.md, performed on the local stack as a new operator would: the
commands are those of the document (see desk.py).
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from local.aito.server import Aito
from tests.terraform.desk import OPERATIONS, Desk, commands, sections
from tests.terraform.tools import ROOT, Plan
from tests.workbench import Workbench, iso, table

pytestmark = pytest.mark.slow  # two or three runs each

COLUMNS = {"id": "STRING", "ts": "TIMESTAMP", "kind": "STRING"}
RUN_NOW = 'eval "$(terraform output -raw run_now)"'
JANUARY = 1_767_225_600 + 86_400 * 10  # 2026-01-11


# What is typed to git and to Terraform alone: nothing of ours runs. Looked at by the test below.
CHECKED = (
    "git revert COMMIT",
    "git pull",
    "git checkout COMMIT -- terraform/providers.tf terraform/.terraform.lock.hcl",
    "make lock",
    "terraform plan",
    "terraform init -upgrade",
    "terraform init -reconfigure -backend-config=bucket=my-project-aito-sync-state"
    " -backend-config=prefix=aito-sync/staging",
    "terraform apply -var-file=examples/two-environments/staging.tfvars",
    "terraform providers lock -platform=linux_amd64 -platform=darwin_arm64",
    "bq query --nouse_legacy_sql 'UNDROP SCHEMA aito_sync'",
)


@pytest.fixture
def desk(bench: Workbench, planned: Plan, request: pytest.FixtureRequest) -> Any:
    """A deployment of the table `web`, loaded once. The marker's section is performed."""
    section = request.node.get_closest_marker("parametrize").args[1][0]
    made = Desk(bench, planned, section)
    bench.now = int(time.time())
    rows = [
        {"id": f"r{n}", "ts": iso(bench.now - 60 - n * 600), "kind": "ab"[n % 2]} for n in range(20)
    ]
    bench.load_source("web", COLUMNS, rows)
    made.edit(web(bench))
    made._terraform(["apply"])
    assert loaded(made.request(action="sync")) == {"web": "ok"}
    yield made
    bench.aito.heal()
    bench.aito.refuse(None)
    for name in list(bench.aito.schema()):
        bench.aito.drop_table(name)


def web(bench: Workbench, name: str = "web", **more: Any) -> dict[str, Any]:
    """The table's entry in sync.yaml."""
    return table(name, f"{bench.dataset}.web", **more)


def loaded(answer: dict[str, Any] | str) -> dict[str, str]:
    """Status by table."""
    body = json.loads(answer) if isinstance(answer, str) else answer
    return {each["table"]: each["status"] for each in body["tables"]}


def operation(name: str) -> pytest.MarkDecorator:
    """The section that a test performs."""
    return pytest.mark.parametrize("section", [name])


def test_every_command_is_performed_or_checked() -> None:
    """No command of an operation is left out. What is not performed is Terraform's or git's."""
    typed = {text for section in sections(OPERATIONS).values() for text in commands(section)}
    source = (ROOT / "tests" / "terraform" / "test_operations.py").read_text()
    begun = re.findall(r"desk\.type\(\s*(?:RUN_NOW|\"([^\"]+)\"|'([^']+)')", source)
    beginnings = [first or second for first, second in begun if first or second] + [RUN_NOW]
    left = {t for t in typed - set(CHECKED) if not t.startswith(tuple(beginnings))}
    assert left == set()
    assert set(CHECKED) <= typed


def test_files_of_commands_exist() -> None:
    """Each file that a command of Terraform's or git's names is there."""
    staging = ROOT / "terraform" / "examples" / "two-environments" / "staging.tfvars"
    assert staging.exists()
    assert (ROOT / "terraform" / "providers.tf").exists()
    assert re.search(r"^lock:", (ROOT / "Makefile").read_text(), re.M)


@operation("Pause")
def test_pause(desk: Desk, section: str) -> None:
    """Paused as a whole, and going on; one table left alone."""
    desk.type("terraform apply -var pause=true")
    assert desk.paused
    desk.type("terraform apply")
    assert not desk.paused
    other = web(desk.bench, "other")
    desk.edit(web(desk.bench, enabled=False), other)
    desk.type("terraform apply")
    assert loaded(desk.request(action="sync")) == {"other": "ok"}
    assert desk.bench.aito.count("web") == 20


@operation("Remove a table")
def test_remove(desk: Desk, section: str) -> None:
    """The Aito table is dropped, the entry is taken out; the history stays, nothing comes back."""
    desk.edit(web(desk.bench), web(desk.bench, "other"))
    desk.type("./aito-sync reset TABLE --yes", "web")
    desk.edit(web(desk.bench, "other"))
    desk.type("terraform apply")
    assert loaded(desk.request(action="sync")) == {"other": "ok"}
    assert "web" not in desk.bench.aito.schema()
    assert {run["table"] for run in desk.bench.ledger_rows("runs")} == {"web", "other"}


@operation("Rename a table")
def test_rename(desk: Desk, section: str) -> None:
    """The new table stands beside the old one, with the same rows."""
    desk.edit(web(desk.bench), web(desk.bench, "renamed"))
    desk.type("terraform apply")
    assert loaded(desk.type(RUN_NOW)) == {"web": "ok", "renamed": "ok"}
    assert desk.bench.aito_keys("renamed") == desk.bench.aito_keys("web")


@operation("Re-key")
def test_rekey(desk: Desk, section: str) -> None:
    """A column of another type is refused until the table is reset; a no changes nothing."""
    kind = {"sql": "LENGTH(kind)", "type": "Int"}
    desk.edit(web(desk.bench, columns={"id": None, "kind": kind}))
    desk.type("terraform apply")
    refused = desk.request(action="sync")
    assert loaded(refused) == {"web": "failed"}
    assert "reset" in refused["tables"][0]["error"]
    assert "nothing was changed" in desk.type("./aito-sync reset TABLE", "web", answer="n\n")
    assert desk.bench.aito.count("web") == 20
    desk.type("./aito-sync reset TABLE --yes", "web")
    assert loaded(desk.type(RUN_NOW)) == {"web": "ok"}
    assert desk.bench.aito.schema()["web"]["columns"]["kind"]["type"] == "Int"


@operation("Backfill a range")
def test_backfill(desk: Desk, section: str) -> None:
    """Rows that reached BigQuery late come in; the dry run says so and writes nothing; the
    watermark stays.
    """
    late = [{"id": f"late{n}", "ts": iso(JANUARY + n), "kind": "a"} for n in range(3)]
    desk.bench.load_source("web", COLUMNS, late)
    desk.type("./aito-sync sync --tables TABLE --since", "web")
    assert desk.bench.aito.count("web") == 20
    answer = json.loads(desk.type("gcloud pubsub topics publish", "web"))
    [done] = answer["tables"]
    assert (done["status"], done["uploaded"]) == ("ok", 3)
    assert desk.bench.aito.count("web") == 23
    assert loaded(desk.request(action="sync")) == {"web": "ok"}


@operation("Replay rejects")
def test_replay_rejects(desk: Desk, section: str) -> None:
    """The reasons are shown; after the correction the row is in Aito and no reject is open."""
    moment = iso(desk.bench.now - 30)
    desk.bench.load_source("web", COLUMNS, [{"id": "bad", "ts": moment, "kind": "not-a-number"}])
    number = {"sql": "kind", "type": "String"}
    desk.bench.aito.refuse(lambda row: "bad" if row.get("kind") == "not-a-number" else None)
    desk.request(action="sync")
    assert "1 row" in desk.type("./aito-sync rejects --tables TABLE", "web")
    desk.edit(web(desk.bench, columns={"id": None, "kind": {**number, "sql": "LEFT(kind, 1)"}}))
    desk.type("terraform apply")
    assert loaded(desk.request(action="sync")) == {"web": "ok"}
    assert "bad" in desk.bench.aito_keys("web")
    facts = json.loads(desk._aito_sync(["status", "--json"], ""))
    assert not [each for each in facts["tables"][0]["rejects"] if each.get("open", True)]


@operation("Move to another Aito database")
def test_move(desk: Desk, section: str) -> None:
    """Another database gets the whole range with one run; the old one keeps its rows."""
    with Aito(api_key="key-of-the-other-database") as other:
        desk.aito, desk.key = other, other.api_key
        desk.edit(web(desk.bench))
        desk.type("terraform apply")
        desk.type('eval "$(terraform output -raw add_key)"')
        assert loaded(desk.type(RUN_NOW)) == {"web": "ok"}
        assert other.count("web") == 20
        assert "web" in desk.type("./aito-sync status")
    assert desk.bench.aito.count("web") == 20


@operation("Restore after a lost ledger")
def test_lost_ledger(desk: Desk, section: str) -> None:
    """The next run goes on from the rows in Aito: none is lost, none doubled."""
    desk.bench.client.delete_dataset(desk.bench.ledger, delete_contents=True)
    newer = [{"id": "newer", "ts": iso(desk.bench.now - 10), "kind": "a"}]
    desk.bench.load_source("web", COLUMNS, newer)
    desk.type("terraform apply")
    assert loaded(desk.type(RUN_NOW)) == {"web": "ok"}
    assert len(set(desk.bench.aito_keys("web"))) == len(desk.bench.aito_keys("web")) == 21


@operation("Restore after a lost Aito table")
def test_lost_table(desk: Desk, section: str) -> None:
    """A table that somebody dropped is made and loaded."""
    desk.bench.aito.drop_table("web")
    assert loaded(desk.type(RUN_NOW)) == {"web": "ok"}
    assert desk.bench.aito.count("web") == 20


@operation("Rotate the key")
def test_rotate(desk: Desk, section: str) -> None:
    """The running function takes the new key when Aito refuses the old one; no deployment."""
    before = desk.bench.aito.api_key
    desk.key = "the-new-key"
    desk.type('eval "$(terraform output -raw add_key)"')
    desk.bench.aito.api_key = desk.key
    try:
        assert loaded(desk.type(RUN_NOW)) == {"web": "ok"}
        desk.type('eval "$(terraform output -raw disable_old_keys)"')
    finally:
        desk.bench.aito.api_key = before


@operation("Upgrade")
def test_upgrade(desk: Desk, section: str) -> None:
    """The next run of the new code goes on where the old one ended."""
    desk.type("terraform apply")
    assert loaded(desk.request(action="sync")) == {"web": "ok"}
    assert desk.bench.aito.count("web") == 20


@operation("Roll back")
def test_roll_back(desk: Desk, section: str) -> None:
    """A configuration that is turned back: check shows the rows, the run ends equal."""
    desk.edit(web(desk.bench, columns={"id": None, "kind": {"sql": "UPPER(kind)"}}))
    desk.type("terraform apply")
    assert loaded(desk.request(action="sync")) == {"web": "ok"}
    desk.edit(web(desk.bench))
    assert "20" in desk.type("./aito-sync check")
    desk.type("terraform apply")
    assert loaded(desk.request(action="sync")) == {"web": "ok"}
    assert {held["kind"] for held in desk.bench.aito.rows("web")} == {"a", "b"}
