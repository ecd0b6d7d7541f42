"""The steps of a run. `run_tables` takes them in order for each table; `reset_table` undoes them.

run -> actions -> plan, prepare, load or reconcile or swap -> verify -> purge
"""

from sync.pipeline.context import RunContext
from sync.pipeline.outcome import unexpected
from sync.pipeline.reset import ResetPlan, plan_reset, reset_table
from sync.pipeline.run import run_tables
from sync.pipeline.table_run import TableRun

__all__ = [
    "ResetPlan",
    "RunContext",
    "TableRun",
    "plan_reset",
    "reset_table",
    "run_tables",
    "unexpected",
]
