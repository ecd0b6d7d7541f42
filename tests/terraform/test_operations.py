"""Each operation of docs/runbook.md, performed on the local stack as a new operator would: the
commands are those of the document (see desk.py).
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from local.aito.server import Aito
from sync import __version__
from tests.terraform.desk import Desk
from tests.terraform.repository import Repository
from tests.terraform.tools import Plan
from tests.workbench import Workbench, iso, table

pytestmark = pytest.mark.slow  # two or three runs each

COLUMNS = {"id": "STRING", "ts": "TIMESTAMP", "kind": "STRING"}
RUN_NOW = 'eval "$(terraform output -raw run_now)"'
JANUARY = 1_767_225_600 + 86_400 * 10  # 2026-01-11


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
    made.stop()
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


@operation("Pause")
def test_pause(desk: Desk, section: str) -> None:
    """Paused as a whole, and going on; one table left alone."""
    desk.type("terraform apply -var pause=true")
    assert desk.paused
    assert desk._publish({"action": "sync"}) == ""
    assert loaded(desk.type("terraform apply")) == {"web": "ok"}, "the message has waited"
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
    desk.edit(web(desk.bench, "other"))
    desk.type("terraform apply")
    assert loaded(desk.request(action="sync")) == {"other": "ok"}
    desk.type("./aito-sync reset TABLE --yes", "web")
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
def test_upgrade(desk: Desk, section: str, tmp_path: Path) -> None:
    """A release is pulled, beside values of the operator's own; the next run of the new code goes
    on where the old one ended.
    """
    desk.repository = Repository(tmp_path)
    desk.repository.commit("terraform/terraform.tfvars", 'config_file = "../my-sync.yaml"\n')
    desk.repository.release("sync/__init__.py", f'"{__version__}"', '"0.9.9"')
    desk.repository.release("sync.yaml", "aito:", "# another example\naito:")
    desk.type("git pull --rebase --autostash")
    desk.type("terraform apply")
    assert loaded(desk.request(action="sync")) == {"web": "ok"}
    assert ran_last(desk) == "0.9.9"
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


@operation("Roll back")
def test_roll_back_of_code(desk: Desk, section: str, tmp_path: Path) -> None:
    """A release in which every run fails: at once by the commit that worked, then for good. No row
    is lost.
    """
    desk.repository = Repository(tmp_path)
    desk.repository.release("sync/__init__.py", f'"{__version__}"', '"0.9.9"')
    broken = "\n\ndef run(*_: object, **__: object) -> None:\n    raise RuntimeError\n"
    last = "def _is_chosen"
    fault = desk.repository.release("sync/app.py", last, f"{broken.strip()}\n\n\n{last}")
    desk.repository.git("pull")
    desk.type("terraform apply")
    assert "error" in desk.request(action="sync")
    worked = desk.type("git log --oneline").splitlines()[1].split()[0]
    desk.type("git checkout COMMIT", commit=worked)
    desk.type("terraform apply")
    assert loaded(desk.request(action="sync")) == {"web": "ok"}
    desk.type("git checkout main")
    desk.type("git revert --no-edit COMMIT", commit=fault)
    desk.type("terraform apply")
    assert loaded(desk.request(action="sync")) == {"web": "ok"}
    assert ran_last(desk) == "0.9.9"
    assert desk.bench.aito.count("web") == 20


@operation("Roll back")
def test_roll_back_of_configuration_and_provider(desk: Desk, section: str, tmp_path: Path) -> None:
    """`git revert` of a commit of sync.yaml, and of one that upgraded a provider with its lock:
    the files are those of before. The plan's test on them is `pins` of tests/terraform/rules.py.
    """
    desk.repository = Repository(tmp_path)
    git = desk.repository
    before = (git.clone / "terraform" / "providers.tf").read_text()
    pins = dict(re.findall(r'source += "hashicorp/(\w+)"\n +version = "([\d.]+)"', before))
    upgraded = before.replace(pins["google"], "7.99.0")
    (git.clone / "terraform" / ".terraform.lock.hcl").write_text("# hashes of 7.99.0\n")
    upgrade = git.commit("terraform/providers.tf", upgraded)
    example = (git.clone / "sync.yaml").read_text()
    change = git.commit("sync.yaml", example.replace("keep: 90d", "keep: 9d"))
    for fault in (change, upgrade):
        desk.type("git revert --no-edit COMMIT", commit=fault)
    assert (git.clone / "sync.yaml").read_text() == example
    assert (git.clone / "terraform" / "providers.tf").read_text() == before
    assert not (git.clone / "terraform" / ".terraform.lock.hcl").exists()


@operation("A second environment")
def test_second_environment(desk: Desk, section: str) -> None:
    """Another name, Aito database, secret and ledger of one source: what the one does, the other
    does not see. Their states are tried in test_commands.py.
    """
    bench, before = desk.bench, len(desk.bench.ledger_rows("runs"))
    with Aito(api_key="staging-key") as staging:
        desk.aito, desk.key = staging, "staging-key"
        desk.add_key("staging-key", "aito-api-key-staging")
        ledger = f"{bench.ledger}_staging"
        desk.edit(web(bench), ledger=ledger, api_key_secret="aito-api-key-staging")
        desk.type("terraform apply -var-file=examples/two-environments/staging.tfvars")
        assert loaded(desk.request(action="sync")) == {"web": "ok"}
        assert staging.count("web") == 20
        assert len(bench.sql(f"SELECT run_id FROM `{ledger}.runs`")) == 1
    assert bench.aito.count("web") == 20
    assert len(bench.ledger_rows("runs")) == before


def ran_last(desk: Desk) -> str:
    """The version of the last run in the ledger."""
    runs = desk.bench.ledger_rows("runs")
    return str(max(runs, key=lambda run: str(run["started_at"]))["version"])
