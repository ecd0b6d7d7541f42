"""Chaos: `python -m tests.promise.chaos --rounds 300 --seed 7`.

A round has a table of its own. In several nights, rows of every awkward kind reach its source. In
each night random faults hit random calls to Aito, a second trigger may come on top, and the
function's process may be killed with SIGKILL at a random moment. Then the function is called until
it answers 200. Whenever it does, both ends must be equal: no row lost, none doubled. Most rounds
run in this process, with what no server can show: see dice.py.

A round depends on the seed and its number alone. `--only N` plays that one again.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests

from local.stack import Function, Stack
from tests.faults import BAD, refuse_bad_rows
from tests.promise.dice import UNKNOWN, Stuck, played
from tests.workbench import DAY, HOUR, Row, Workbench, batches_of, row

LEDGER = "chaos_ledger"
SETTINGS: Row = {"time_budget_seconds": 20, **batches_of(12)}
PROCESS_EVERY = 5  # rounds; the others run in this process, which is faster
ROUNDS_A_PROCESS = 10  # starting a process of the function takes a second, so rounds share one
CALLS = 8  # until 200: three would do, but the first may meet a lease or a fault that is left
PATIENCE = 60.0  # seconds that a call may take
FAULTS = (
    "contention",
    "throttled",
    "error",
    "unavailable",
    "bad_gateway",
    "gateway_timeout",
    "garbage",
    "html",
    "empty",
    "truncated",
    "short",
    "cut",
    "cut",
    "cut",
    "hang",
    "too_large",
    "refused",
    "missing",
    "migrating",
)
KINDS = ("any", "insert", "insert", "search", "modify", "delete", "schema", "optimize")
APPLIED = ("none", "half", "all", "late")


class Unequal(Exception):
    """Both ends differ after a 200, or no call answered 200."""


@dataclass
class Chaos:
    """Plays rounds on one stack, and counts what happened."""

    stack: Stack
    seed: int
    killed: int = 0
    calls: int = 0
    faults: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    calls_here: int = 0
    thrown: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        thrown = ", ".join(f"{count} x {what}" for what, count in sorted(self.thrown.items()))
        statuses = ", ".join(
            f"{count} x {status}" for status, count in sorted(self.statuses.items())
        )
        of_processes = f"{self.calls} calls ({statuses}), {self.faults} faults, {self.killed} kills"
        return f"{of_processes}; here {self.calls_here} calls, {thrown}"

    def rounds(self, numbers: Sequence[int]) -> None:
        """Play these rounds, one after the other, with one process of the function."""
        if not numbers:
            return
        tables = {number: self._table(number) for number in numbers}
        described = [bench.table_config() for bench in tables.values()]
        aito = {"requests_per_second": 100_000, "timeout_seconds": 1}
        path = self.stack.configure(
            name=f"chaos_{numbers[0]}.yaml", ledger=LEDGER, aito=aito, tables=described, **SETTINGS
        )
        self.stack.aito.heal()
        with Function(self.stack.environ(path)) as function:
            for number, bench in tables.items():
                try:
                    self._round(random.Random(f"{self.seed}/{number}"), function, bench)
                except Unequal as error:
                    raise Unequal(f"round {number} of seed {self.seed}: {error}") from error

    def rounds_here(self, numbers: Sequence[int]) -> None:
        """Play these rounds inside this process."""
        with played(self.stack) as here:
            for number in numbers:
                dice = random.Random(f"{self.seed}/{number}")
                try:
                    here.round(dice, f"dice_{number}")
                except Stuck as error:
                    raise Unequal(f"round {number} of seed {self.seed}: {error}") from error
        self.calls_here += here.calls
        for what, count in here.thrown.items():
            self.thrown[what] = self.thrown.get(what, 0) + count

    def _table(self, number: int) -> Workbench:
        dice = random.Random(f"{self.seed}/{number} table")
        return Workbench(
            self.stack,
            f"chaos_{number}",
            dice.choice(("append", "append", "merge")),
            dice.choice((None, 40 * DAY)),
            now=now() - 60,
            numbered=dice.random() < 0.3,
            dataset=f"chaos_{number}",
            shared_ledger=LEDGER,
            table={
                "lookback": dice.choice(("1s", "10m", "1h", "1d")),
                "rejects": {"max_share": 1.0},
            },
        )

    def _round(self, dice: random.Random, function: Function, bench: Workbench) -> None:
        # Seconds over which the rows lie: dense or sparse, so that a lookback covers many or few.
        spread = dice.choice((300, 2 * HOUR, 20 * DAY))
        self.stack.aito.refusal_status = dice.choice((400, 400, 500))
        for night in range(dice.randrange(1, 4)):
            bench.put(rows(dice, bench, bench.mode, spread, night))
            self._plan_faults(dice)
            self._trigger(dice, function, bench)
            self.stack.aito.heal()
            self._until_ok(function, bench)
            if dice.random() < 0.5 and self.stack.aito.land():
                self._until_ok(function, bench)
        self.stack.aito.forget_late()
        self.stack.aito.drop_table(bench.name)

    def _plan_faults(self, dice: random.Random) -> None:
        """Let random calls to Aito fail."""
        for _ in range(dice.randrange(6)):
            self.faults += 1
            apply = dice.choice(APPLIED)
            self.stack.aito.fail(
                dice.choice(UNKNOWN if apply == "late" else FAULTS),
                on=dice.choice(KINDS),
                apply=apply,
                times=dice.randrange(1, 4),
                skip=dice.randrange(8),
                retry_after=dice.choice((None, 0, 0.1)),
            )

    def _trigger(self, dice: random.Random, function: Function, bench: Workbench) -> None:
        """Call the function once, or twice at the same time, and perhaps kill it meanwhile."""
        callers = [
            threading.Thread(target=self._post, args=(function, bench))
            for _ in range(dice.choice((1, 1, 2)))
        ]
        for caller in callers:
            caller.start()
        if dice.random() < 0.6:
            self._kill(dice, function, callers)
        for caller in callers:
            caller.join(PATIENCE)
        bench.expire_leases()

    def _kill(
        self, dice: random.Random, function: Function, callers: list[threading.Thread]
    ) -> None:
        """Kill the process after a random number of requests to Aito, or a random time."""
        last_request = self.stack.aito.total() + dice.randrange(1, 25)
        deadline = time.monotonic() + dice.uniform(0.2, 3)
        while self.stack.aito.total() < last_request and time.monotonic() < deadline:
            if not any(caller.is_alive() for caller in callers):
                return
            time.sleep(0.002)
        function.kill()
        self.killed += 1
        self.stack.aito.release()
        function.start()

    def _post(self, function: Function, bench: Workbench) -> tuple[int, Any]:
        with suppress(requests.RequestException):
            status, answer = function.post({"tables": [bench.name]}, timeout=PATIENCE)
            self.calls += 1
            self.statuses[status] = self.statuses.get(status, 0) + 1
            return status, answer
        return 0, None

    def _until_ok(self, function: Function, bench: Workbench) -> None:
        answers = []
        for _ in range(CALLS):
            status, answer = self._post(function, bench)
            answers.append((status, answer and answer["tables"][0]["error"]))
            if status == 200:
                bench.now = answer["tables"][0]["window"]["end"]
                if problems := bench.differences():
                    raise Unequal(f"{len(problems)} differences after ok: {problems[:5]}")
                return
        raise Unequal(f"not ok after {CALLS} calls: {answers}")


def now() -> int:
    """Epoch seconds."""
    return int(datetime.now(UTC).timestamp())


def rows(dice: random.Random, bench: Workbench, mode: str, spread: int, night: int) -> list[Row]:
    """The rows of one night: new, tied, bad, of the future, repeated and changed ones."""
    key: Callable[[int], str | int] = (lambda i: i) if bench.numbered else (lambda i: f"k{i:05}")
    first, end = 1000 * night, bench.now + night
    newest = max(
        (datetime.fromisoformat(r["at"]).timestamp() for r in bench.source_rows),
        default=end - spread,
    )
    fresh = [row(key(first + i), dice.uniform(newest, end)) for i in range(dice.randrange(80))]
    tied = [row(key(first + 500 + i), newest) for i in range(dice.randrange(15))]
    bad = [
        row(key(first + 600 + i), dice.uniform(newest, end), BAD)
        for i in range(dice.choice((0, 0, 1, 3)))
    ]
    future = [row(key(first + 700 + i), end + 5 * HOUR) for i in range(dice.randrange(3))]
    again = [dict(each) for each in dice.sample(fresh, len(fresh) // 10)]
    made = fresh + tied + bad + future + again
    if night and mode == "merge" and bench.source_rows:
        known = [r for r in bench.source_rows if not r["value"].startswith(BAD)]
        changed = dice.sample(known, min(len(known), dice.randrange(20)))
        made += [row(each["id"], dice.uniform(newest, end), f"night {night}") for each in changed]
    dice.shuffle(made)
    return made


def play(
    stack: Stack, seed: int, numbers: Sequence[int], tell: Callable[[str], None] = print
) -> Chaos:
    """Play rounds. Raises Unequal, which names the round, at the first that fails."""
    chaos = Chaos(stack, seed)
    refuse_bad_rows(stack.aito)
    try:
        for first in range(0, len(numbers), ROUNDS_A_PROCESS):
            some = numbers[first : first + ROUNDS_A_PROCESS]
            chaos.rounds([number for number in some if number % PROCESS_EVERY == 0])
            chaos.rounds_here([number for number in some if number % PROCESS_EVERY])
            gc.collect()  # BigQuery's clients keep their sockets in cycles of references
            tell(f"{min(first + ROUNDS_A_PROCESS, len(numbers))} rounds: {chaos}")
    finally:
        stack.aito.refuse(None)
        stack.aito.refusal_status = 400
        stack.aito.heal()
    return chaos


def main() -> int:
    """Play the rounds. -> the exit code."""
    parser = argparse.ArgumentParser(
        description="Random faults, kills and overlaps; nothing lost, nothing doubled."
    )
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", type=int, help="play this round alone")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    begun = time.monotonic()
    numbers = range(asked.rounds) if asked.only is None else [asked.only]
    with Stack() as stack:
        try:
            chaos = play(stack, asked.seed, numbers, lambda text: print(text, flush=True))
        except Unequal as error:
            print(error)
            return 1
    print(
        f"{len(numbers)} rounds, seed {asked.seed}: no row lost, none doubled; {chaos}, "
        f"{time.monotonic() - begun:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
