"""Evaluations: how well Aito predicts what the configuration names.

A sync collects what earlier runs started and starts one evaluation; it waits for none. A watch
collects and starts the rest.
"""

from sync.evaluation.collect import MEMORY, collect
from sync.evaluation.context import EvaluationContext, Known, LoadedTable, StartedEvaluation
from sync.evaluation.estimate import planned_cases
from sync.evaluation.launch import launch
from sync.evaluation.question import named_columns
from sync.evaluation.retention import Wanted
from sync.evaluation.study import Study
from sync.evaluation.watch import begin_study, resume, wait_for, wait_for_study

__all__ = [
    "MEMORY",
    "EvaluationContext",
    "Known",
    "LoadedTable",
    "StartedEvaluation",
    "Study",
    "Wanted",
    "begin_study",
    "collect",
    "launch",
    "named_columns",
    "planned_cases",
    "resume",
    "wait_for",
    "wait_for_study",
]
