"""Faults that no test can find, because they do no harm: see tests/mutation.py."""

# (module, the fault): why nobody could notice it.
HARMLESS: dict[tuple[str, str], str] = {
    (
        "sync/pipeline/verify.py",
        "slices[number].start < slices[0].start -> slices[number].start <= slices[0].start",
    ): "the number is at least 1, and no two slices begin at once",
    ("sync/pipeline/purge.py", "1 -> 2"): "a slice is one row shorter, which the next one deletes",
}
