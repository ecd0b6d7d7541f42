"""Where Aito's builds differ, or its sources disagree: one switch each.

The defaults are what was recorded of real instances, or the stricter choice. A test turns a switch
on the stand-in (`aito.switches.put_over_rows = "empty"`), another process below `/_local/switches`.
"""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Literal

from local.aito.schema import Json


@dataclass
class Switches:
    """How the stand-in behaves.

    Schema:
    put_over_rows: a PUT over a table with rows is refused, or empties it (OpenAPI).
    drop_missing: a DELETE of a table that is not there is a 404, or ok (as SDK tests rely on).
    columns: the order in which they are read back.
    put_over_column: the same column once more changes nothing, or empties it (OpenAPI: replaces).
    types, analyzers, self_links, nullable_false, nullable_true: how they are written when read
    back.
    long_type: whether the type Long exists.
    collections: names that GET /schema shows as collections. Nothing can be written into one.
    hidden_collections: the same, but only version 2 of the API shows them.
    new_columns: what a table with rows takes: any new column that is nullable or has a value, only
    those without a value, or only those with one.
    rename_over_linked: whether a table that others link to may be replaced by a rename.
    dangling_links: whether a value without its row in the linked table is taken.

    Data:
    refused_rows: what is kept of a batch with a bad row: nothing, or the rows before it.
    null_booleans: how a null in a Boolean column is read: left out, or as false.
    modify: `atomic`; `inserts first` applies deletes last; `no delete` ignores them; `wrong row`
    deletes another row; `missing` has no such call.
    file_upload: whether the first step of an upload is answered.

    Queries:
    insertion_order: rows come in the order they went in where none is requested.
    max_limit: the most hits of one answer. refused_limit: a larger limit is refused.
    max_or: the most values of one `$or`.

    Jobs:
    job_created: the status that says a job was made. data_jobs: whether writes can be jobs.
    failed_jobs: `hidden` answers every failed job alike; `told` answers as the call itself would.
    expired_jobs: what is gone when a result expires: the result alone, or the job.

    Time:
    slow: seconds that a kind of call takes. gateway_seconds: after so long a gateway answers 500
    in place of the call, which is applied later: by `Aito.land()`, or when its time is over.
    """

    put_over_rows: Literal["refuse", "empty"] = "refuse"
    put_over_column: Literal["keep", "empty"] = "keep"
    drop_missing: Literal["404", "ok"] = "404"
    columns: Literal["alphabetical", "as made"] = "alphabetical"
    types: Literal["as documented", "lower"] = "as documented"
    analyzers: Literal["long name", "as sent", "object"] = "long name"
    self_links: Literal["table", "this"] = "table"
    nullable_false: Literal["written", "left out"] = "written"
    nullable_true: Literal["written", "left out"] = "written"
    long_type: bool = True
    collections: list[str] = field(default_factory=list)
    hidden_collections: list[str] = field(default_factory=list)
    new_columns: Literal["any", "without a value", "with a value"] = "any"
    rename_over_linked: bool = True
    dangling_links: bool = True
    refused_rows: Literal["none", "before"] = "none"
    null_booleans: Literal["left out", "false"] = "left out"
    modify: Literal["atomic", "inserts first", "no delete", "wrong row", "missing"] = "atomic"
    file_upload: bool = False
    insertion_order: bool = False
    max_limit: int | None = None
    refused_limit: int | None = None
    max_or: int | None = None
    job_created: Literal[200, 201] = 201
    data_jobs: bool = True
    failed_jobs: Literal["hidden", "told"] = "hidden"
    expired_jobs: Literal["result", "job"] = "result"
    slow: dict[str, float] = field(default_factory=dict)
    gateway_seconds: float | None = None

    def turn(self, **changes: Json) -> None:
        """Set several by name. Raises ValueError for a name that is no switch."""
        known = {each.name for each in fields(self)}
        for name in changes.keys() - known:
            raise ValueError(f"no switch {name!r}; there are {', '.join(sorted(known))}")
        for name, value in changes.items():
            setattr(self, name, value)

    def reset(self) -> None:
        """Every switch as it was at the beginning."""
        self.turn(**replace(Switches()).shown())

    def shown(self) -> dict[str, Json]:
        """All of them by name."""
        return asdict(self)
