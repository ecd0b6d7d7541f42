"""`reset TABLE`: what is shown, asked and removed, and that the next sync loads the table anew."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest

from local.stack import Stack
from sync.base.errors import Unavailable
from sync.ledger import BigQueryLedger
from tests.entry.conftest import Inside
from tests.workbench import DAY, Workbench, row, table

SOURCE = {"id": "STRING", "ts": "TIMESTAMP", "parent": "STRING"}


@pytest.fixture
def bench(stack: Stack, request: pytest.FixtureRequest) -> Workbench:
    """A loaded table of five rows. Its clock shows the real time, as the command's does."""
    made = Workbench(stack, re.sub(r"\W+", "_", request.node.name))
    made.put(row(f"k{i}", made.now - 60 - i) for i in range(5))
    made.run_ok()
    return made


def latest_checkpoint(bench: Workbench) -> dict[str, Any]:
    """The checkpoint of the own table that counts."""
    found = [each for each in bench.ledger_rows("checkpoints") if each["table"] == bench.name]
    return max(found, key=lambda each: each["updated_at"])


def test_reset_and_load_anew(bench: Workbench, inside: Inside) -> None:
    """The table is dropped, the checkpoint is forgotten, and the next sync makes both again."""
    assert latest_checkpoint(bench)["definition"]
    done = inside(bench.environment(), "reset", bench.name, "--yes")
    assert done.returncode == 0, done.stderr
    assert "a reset removes Aito's table with 5 rows (watermark 20" in done.stderr
    assert "and its checkpoint of 20" in done.stderr
    assert done.stdout == f"{bench.name}: reset; the next sync loads it anew\n"
    assert bench.name not in bench.aito.schema()
    assert latest_checkpoint(bench)["definition"] is None
    assert bench.lease_states() == ["done"]
    assert bench.run_ok().uploaded == 5
    assert latest_checkpoint(bench)["definition"]


def test_another_type_is_reached_by_a_reset(bench: Workbench, inside: Inside) -> None:
    """The message about another type names the command, which helps."""
    columns = {"id": {}, "at": {}, "value": {"type": "Text"}}
    changed = {**bench.table_config(), "columns": columns}
    (failed,) = bench.run(changed).tables
    assert f"`./aito-sync reset {bench.name}`" in (failed.error or "")
    assert inside(bench.environment(changed), "reset", bench.name, "--yes").returncode == 0
    bench.run_ok(changed)
    assert bench.aito.schema()[bench.name]["columns"]["value"]["type"] == "Text"
    assert len(bench.aito_rows()) == 5


def test_it_asks(bench: Workbench, inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --yes it asks. Anything but yes, and no answer at all, changes nothing."""
    environ = bench.environment()
    for typed, status in (("n\n", 1), ("\n", 1), ("", 1), ("y\n", 0)):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        done = inside(environ, "reset", bench.name)
        assert done.returncode == status, typed
        assert f"Reset {bench.name}? [y/N]" in done.stderr, typed
        assert (bench.name in bench.aito.schema()) == (status == 1), typed
        assert ("nothing was changed" in done.stderr) == (status == 1), typed


def test_json(bench: Workbench, inside: Inside) -> None:
    """`--json` prints what was removed. A second reset finds nothing, and asks nothing."""
    environ = bench.environment()
    done = inside(environ, "reset", bench.name, "--yes", "--json")
    answer = json.loads(done.stdout)
    assert (answer["table"], answer["rows"], answer["reset"]) == (bench.name, 5, True)
    assert answer["watermark"] == bench.now - 60
    assert answer["checkpoint"]["table"] == bench.name
    again = inside(environ, "reset", bench.name, "--json")
    assert again.returncode == 0
    answer = json.loads(again.stdout)
    assert (answer["rows"], answer["checkpoint"], answer["reset"]) == (None, None, False)
    assert "nothing to reset" in inside(environ, "reset", bench.name).stdout


def test_a_name_that_is_not_configured(bench: Workbench, inside: Inside) -> None:
    """A table that was never synced is not ours to drop."""
    bench.aito.create_table("reset_strange", {"id": {"type": "String"}})
    done = inside(bench.environment(), "reset", "reset_strange", "--yes")
    assert done.returncode == 2
    assert "no table 'reset_strange' in the configuration" in done.stderr
    assert "reset_strange" in bench.aito.schema()
    bench.aito.drop_table("reset_strange")


def test_a_table_that_was_taken_out_of_the_configuration(bench: Workbench, inside: Inside) -> None:
    """The warning names the command, which drops the table and does not report it again."""
    other = table("reset_other", bench.source, columns={"id": {}})
    (warning,) = bench.run(other).to_json()["warnings"]
    assert f"`./aito-sync reset {bench.name}` drops it" in warning["message"]
    environ = bench.environment(other)
    done = inside(environ, "reset", bench.name, "--yes")
    assert done.returncode == 0, done.stderr
    assert "so no sync loads it again" in done.stderr
    assert bench.name not in bench.aito.schema()
    assert "warnings" not in bench.run(other).to_json()
    assert inside(environ, "reset", bench.name, "--yes").returncode == 2


def test_a_table_of_another_run(bench: Workbench, inside: Inside) -> None:
    """While a run holds the table nothing is dropped, and calling again helps: 3."""
    bench.hold_lease("somebody")
    done = inside(bench.environment(), "reset", bench.name, "--yes")
    assert done.returncode == 3
    assert "run somebody is at work on it" in done.stderr
    assert len(bench.aito_rows()) == 5


def test_a_table_that_others_link_to(stack: Stack, inside: Inside) -> None:
    """It is refused with the columns that link to it and what to do first. That order works."""
    bench = Workbench(stack, "reset_linked")
    moment = "2024-01-01T00:00:00Z"
    bench.load_source("rows", SOURCE, [{"id": "a", "ts": moment, "parent": "a"}])
    parent = table("reset_parent", bench.source, columns={"id": {}})
    link = {"id": {}, "parent": {"link": "reset_parent.id"}}
    child = table("reset_child", bench.source, columns=link)
    bench.run_ok(parent, child)
    environ = bench.environment(parent, child)
    done = inside(environ, "reset", "reset_parent", "--yes")
    assert done.returncode == 1
    assert "reset_child.parent links to it" in done.stderr
    assert "First run `./aito-sync reset reset_child`" in done.stderr
    assert bench.aito.count("reset_parent") == 1
    assert inside(environ, "reset", "reset_child", "--yes").returncode == 0
    assert inside(environ, "reset", "reset_parent", "--yes").returncode == 0
    bench.run_ok(parent, child)
    assert bench.aito.count("reset_child") == 1


def test_a_link_from_a_table_that_is_not_configured(bench: Workbench, inside: Inside) -> None:
    """It says to drop that table in Aito."""
    column = {"type": "String", "link": f"{bench.name}.id"}
    bench.aito.create_table("reset_outsider", {"ref": column})
    done = inside(bench.environment(), "reset", bench.name, "--yes")
    bench.aito.drop_table("reset_outsider")
    assert done.returncode == 1
    assert "First drop reset_outsider in Aito, which the configuration" in done.stderr
    assert len(bench.aito_rows()) == 5


def test_what_a_swap_left_behind_goes_too(bench: Workbench, inside: Inside) -> None:
    """A fresh table that a killed run left behind belongs to the table. It may link to it."""
    fresh = f"{bench.name}__fresh"
    column = {"type": "String", "link": f"{bench.name}.id"}
    bench.aito.create_table(fresh, {"ref": column})
    done = inside(bench.environment(), "reset", bench.name, "--yes")
    assert done.returncode == 0, done.stderr
    assert f"{fresh}, which a broken-off run left behind" in done.stderr
    assert not {bench.name, fresh} & bench.aito.schema().keys()


def test_a_reset_that_breaks_off(
    bench: Workbench, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is gone and the checkpoint is not forgotten: the next sync loads all the same."""

    def broken(*_: object) -> None:
        raise Unavailable("the ledger does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(BigQueryLedger, "save_checkpoint", broken)
        done = inside(bench.environment(), "reset", bench.name, "--yes")
    assert done.returncode == 3
    assert bench.lease_states() == ["unfinished"]
    assert bench.name not in bench.aito.schema()
    bench.put([row("old", bench.now - 30 * DAY)])
    assert bench.run_ok().uploaded == 6
