"""Faults that no test can find, because they do no harm."""

# (module, function, the fault): why nobody could notice it.
HARMLESS: dict[tuple[str, str, str], str] = {
    (
        "sync/pipeline/verify.py",
        "Verifier.verify_and_repair",
        "slices_hold = False -> slices_hold = True",
    ): "each round sets it before it is read",
    (
        "sync/pipeline/verify.py",
        "Verifier.verify_and_repair",
        "plan = recount(self._run, plan, oldest(self._run), prune=False)"
        " -> plan = recount(self._run, plan, oldest(self._run), prune=True)",
    ): "rows wait only after a whole reading, which the plan stays with",
    (
        "sync/pipeline/verify.py",
        "Verifier._interrupt",
        "slices[number].start < slices[0].start -> slices[number].start <= slices[0].start",
    ): "the number is at least 1, and no two slices begin at once",
    (
        "sync/pipeline/load.py",
        "Loader._begin_reading",
        "first = list(itertools.islice(found, 1)) -> first = list(itertools.islice(found, 2))",
    ): "one batch more is read before it is sent",
    (
        "sync/pipeline/load.py",
        "Loader._send_batch",
        "is_equal = False -> is_equal = True",
    ): "nobody asks about slices of which the target holds nothing",
    (
        "sync/pipeline/compare.py",
        "_hash",
        "digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()"
        " -> digest = hashlib.md5(text.encode(), usedforsecurity=True).hexdigest()",
    ): "only machines that forbid MD5 for security tell them apart",
    (
        "sync/ledger/lease.py",
        "RunLease.kept",
        "thread = threading.Thread(target=self._renew_regularly, name='lease', daemon=True)"
        " -> thread = threading.Thread(target=self._renew_regularly, name='lease', daemon=False)",
    ): "whatever ends the block ends the thread",
    (
        "sync/bigquery/queries.py",
        "",
        "table: BigQueryTable, part: Slice | None, limits: BatchSettings, shard: int=0"
        " -> table: BigQueryTable, part: Slice | None, limits: BatchSettings, shard: int=1",
    ): "whoever reads a slice of several shards names the shard",
    (
        "sync/model/window.py",
        "slice_rows",
        "return max(1, min(SLICE_ROWS, int(SLICE_BYTES / max(document_bytes, 1))))"
        " -> return max(1, min(SLICE_ROWS, int(SLICE_BYTES / max(document_bytes, 2))))",
    ): "documents of one or two bytes make slices of the most rows",
    (
        "sync/model/window.py",
        "sorted_rows",
        "return max(1, min(SLICE_ROWS, int(SORTED_BYTES / max(document_bytes, 1))))"
        " -> return max(1, min(SLICE_ROWS, int(SORTED_BYTES / max(document_bytes, 2))))",
    ): "the same",
    (
        "sync/model/window.py",
        "slices",
        "return [_joined(start, end, group, most) for (start, end), group in zip(spans, groups, "
        "strict=True)] -> return [_joined(start, end, group, most) for (start, end), group in "
        "zip(spans, groups, strict=False)]",
    ): "there are as many spans as groups",
    (
        "sync/model/window.py",
        "_grouped",
        "held = 0 -> held = 1",
    ): "the first bucket begins a group, which sets it",
}
