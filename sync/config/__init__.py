"""Reads `sync.yaml` into settings, or reports every problem in it at once.

settings.py   the types: one frozen object, whose types are the rules for single values
rules.py      the rules that span several values
yaml_file.py  YAML text -> data in which every value knows its line
reader.py     the three together: text -> settings, or one message
problems.py   how a problem is described; "did you mean"
"""

from sync.config.reader import json_schema, load, parse
from sync.config.settings import (
    NAME,
    NAME_RULE,
    AitoSettings,
    BatchSettings,
    BigQuerySettings,
    ColumnSettings,
    CursorSettings,
    DeleteSettings,
    EvaluationSettings,
    Frozen,
    PurgeSettings,
    RejectSettings,
    Settings,
    TableSettings,
    duration,
    spell_duration,
)

__all__ = [
    "NAME",
    "NAME_RULE",
    "AitoSettings",
    "BatchSettings",
    "BigQuerySettings",
    "ColumnSettings",
    "CursorSettings",
    "DeleteSettings",
    "EvaluationSettings",
    "Frozen",
    "PurgeSettings",
    "RejectSettings",
    "Settings",
    "TableSettings",
    "duration",
    "json_schema",
    "load",
    "parse",
    "spell_duration",
]
