"""Fifteen small faults, and the test that finds each: `python -m tests.promise.mutants`.

Each fault is made in a copy of the repository, alone, and its test is run there. The test must fail
with the fault. `--only N` tries one of them. The last line says how many were found.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".mypy_cache", "__pycache__", "node_modules")
GUARDS = "tests/promise/test_guards.py"
LEASE = "tests/unit/test_lease.py"
TARGET = "tests/adapters/test_aito_target.py"


@dataclass(frozen=True)
class Mutant:
    """A fault: in `file` the only `before` becomes `after`. `test` must fail with it."""

    name: str
    file: str
    before: str
    after: str
    test: str


MUTANTS = (
    Mutant(
        "one lease of several is enough",
        "sync/ledger/lease.py",
        "still_held = held >= self._held",
        "still_held = held > 0",
        f"{LEASE}::test_one_of_two_leases_is_lost",
    ),
    Mutant(
        "a delete is judged by its answer",
        "sync/aito/v1.py",
        "if not left:\n                break",
        "if failure is None:\n                break",
        f"{TARGET}::test_a_delete_whose_every_answer_is_an_error",
    ),
    Mutant(
        "no lease check before the swap",
        "sync/pipeline/swap.py",
        "    run.lease.check()\n    _rename_over",
        "    _rename_over",
        f"{GUARDS}::test_no_swap_without_a_lease",
    ),
    Mutant(
        "no lease check before a repair deletes",
        "sync/pipeline/repair.py",
        "            self._run.lease.check()\n            self._run.target.delete",
        "            self._run.target.delete",
        f"{GUARDS}::test_no_delete_without_a_lease",
    ),
    Mutant(
        "no lease check before a probe",
        "sync/pipeline/writer.py",
        "        self._run.lease.check()\n        if upsert:",
        "        if upsert:",
        f"{GUARDS}::test_no_probe_without_a_lease",
    ),
    Mutant(
        "outdated rows of suspects are not forgotten",
        "sync/pipeline/suspects.py",
        "suspects, self._suspects = self._suspects, []",
        "suspects = list(self._suspects)",
        f"{GUARDS}::test_a_reject_deletes_outdated_rows_once",
    ),
    Mutant(
        "the lease counts from the answer",
        "sync/ledger/lease.py",
        "        still_held = held",
        "        requested = self._clock.monotonic()\n        still_held = held",
        f"{LEASE}::test_it_counts_from_the_request",
    ),
    Mutant(
        "leases that were given back are renewed",
        "sync/ledger/leases.py",
        " WHERE run_id = @run_id AND state = 'held'",
        " WHERE run_id = @run_id",
        f"{GUARDS}::test_a_small_table_over_some_nights",
    ),
    Mutant(
        "a reject at the edge belongs to two slices",
        "sync/pipeline/rejects.py",
        "start <= row_id.cursor < end",
        "start <= row_id.cursor <= end",
        f"{GUARDS}::test_a_reject_belongs_to_one_slice",
    ),
    Mutant(
        "a part of a second counts as gone through",
        "sync/pipeline/load.py",
        "if part.parts == 1:",
        "if part.parts >= 1:",
        f"{GUARDS}::test_a_part_of_a_second_is_not_gone_through",
    ),
    Mutant(
        "the newest row may lie at the end",
        "sync/aito/v1.py",
        '"where": {cursor: {"$lt": before}}',
        '"where": {cursor: {"$lte": before}}',
        f"{TARGET}::test_newest_is_before_a_second",
    ),
    Mutant(
        "a repair sends rejects again",
        "sync/pipeline/repair.py",
        "row_id.key is not None and not self._rejects.holds(row_id)",
        "row_id.key is not None",
        f"{GUARDS}::test_a_small_table_over_some_nights",
    ),
    Mutant(
        "a doubled row counts as held",
        "sync/pipeline/held.py",
        "cursors == [row.values[self._run.cursor]]",
        "row.values[self._run.cursor] in cursors",
        f"{GUARDS}::test_a_small_table_over_some_nights",
    ),
    Mutant(
        "an index of a second that is read in parts",
        "sync/pipeline/compare.py",
        "plan.whole_rows or part.parts > 1",
        "plan.whole_rows",
        f"{GUARDS}::test_a_heavy_second_is_not_held_in_memory",
    ),
    Mutant(
        "the newest row is not in the fingerprint",
        "sync/bigquery/queries.py",
        "sync_second <= @watermark",
        "sync_second < @watermark",
        f"{GUARDS}::test_a_small_table_over_some_nights",
    ),
)


def copy_repository(parent: Path) -> Path:
    """A copy of the repository, which a fault can be made in."""
    return Path(shutil.copytree(ROOT, parent / "copy", ignore=LEFT_OUT, symlinks=True))


def is_found(mutant: Mutant, folder: Path) -> bool:
    """Make the fault in a copy of the repository. Returns whether its test fails there.

    Raises SystemExit when the fault cannot be made, or when the test cannot be run.
    """
    copy = copy_repository(folder)
    path = copy / mutant.file
    text = path.read_text()
    if text.count(mutant.before) != 1:
        raise SystemExit(f"{mutant.name}: {mutant.file} does not hold its text just once")
    path.write_text(text.replace(mutant.before, mutant.after))
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, mutant.test], cwd=copy, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{mutant.name}: {mutant.test} did not run\n{done.stdout[-2000:]}")
    return done.returncode == 1


def main() -> int:
    """Try the faults. Returns the exit code: 0 when each was found."""
    parser = argparse.ArgumentParser(description="Fifteen faults, and the test that finds each.")
    parser.add_argument("--only", type=int, help="try this one alone, from 1 on")
    only = parser.parse_args().only
    numbered = list(enumerate(MUTANTS, 1))
    chosen = [each for each in numbered if only in (None, each[0])]
    survivors = 0
    for number, mutant in chosen:
        with tempfile.TemporaryDirectory() as folder:
            found = is_found(mutant, Path(folder))
        survivors += not found
        state = "killed" if found else "SURVIVED"
        print(f"{number:2} {state:8} {mutant.name} ({mutant.test})", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} killed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
