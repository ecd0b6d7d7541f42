"""Another target than Aito needs a class of its own and one line of app.py, and nothing else."""

from __future__ import annotations

import pytest

from local.stack import Stack
from sync import app
from sync.model.ports import Target
from tests.printing_target import PrintingTarget
from tests.workbench import DAY, Workbench, row


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_a_target_that_prints(
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mode: str,
) -> None:
    """Load, replace by key and repair work against it, and both ends are verified."""
    target = PrintingTarget()
    made: Target = target  # mypy compares the class with the port
    monkeypatch.setattr(app, "_target", lambda *_: made)
    bench = Workbench(stack, f"printed_{mode}", mode)
    bench.put([row("a", bench.now - 60, "old"), row("b", bench.now - DAY)])
    first = bench.run().tables[0]
    assert (first.status, first.uploaded, first.verified) == ("ok", 2, True)
    bench.put([row("a", bench.now - 50, "new"), row("c", bench.now - 10)])
    assert bench.run().tables[0].verified
    held = target.held[bench.name]
    assert {each["id"]: each["value"] for each in held} == {"a": "new", "b": "v", "c": "v"}
    held.clear()
    assert bench.run(action="reconcile").tables[0].verified
    assert sorted(each["id"] for each in target.held[bench.name]) == ["a", "b", "c"]
    assert bench.name in capsys.readouterr().out
