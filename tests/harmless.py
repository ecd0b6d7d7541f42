"""Faults that no test can find, because they do no harm: see tests/mutation.py."""

# (module, the fault): why nobody could notice it.
HARMLESS: dict[tuple[str, str], str] = {
    (
        "sync/pipeline/verify.py",
        "slices[number].start < slices[0].start -> slices[number].start <= slices[0].start",
    ): "the number is at least 1, and no two slices begin at once",
    (
        "sync/pipeline/verify.py",
        "expected_rows(part, self._rejects) + kept -> expected_rows(part, self._rejects) - kept",
    ): "the slice is read once more, and what it holds then decides",
    (
        "sync/pipeline/reconcile.py",
        "repairer.delete_extra(plan) -> None",
    ): "when it is out of time: the comparison at the end finds the rows again",
    (
        "sync/pipeline/swap.py",
        "run.deadline.left > WHOLE_BUDGET * run.settings.time_budget_ -> "
        "run.deadline.left >= WHOLE_BUDGET * run.settings.time_budget",
    ): "no clock stands still for exactly that long",
    ("sync/pipeline/purge.py", "1 -> 2"): "a slice is one row shorter, which the next one deletes",
}
