"""Reads the text of `sync.yaml` into settings, or reports every problem in it at once.

Three steps: YAML with lines (`yaml_file`), single values (`settings`), contradictions (`rules`).
`python -m sync.config` prints the JSON schema for editors.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from sync.base.errors import ConfigError
from sync.config import rules
from sync.config.problems import Origin, Place, Problem, close, quote, shown, suggest
from sync.config.settings import (
    AitoSettings,
    BatchSettings,
    BigQuerySettings,
    ColumnSettings,
    CursorSettings,
    DeleteSettings,
    EvaluationSettings,
    PurgeSettings,
    RejectSettings,
    Settings,
    TableSettings,
)

# The model of a mapping, by the key under which it stands.
MODELS: dict[str, type[BaseModel]] = {
    "aito": AitoSettings,
    "bigquery": BigQuerySettings,
    "batch": BatchSettings,
    "tables": TableSettings,
    "cursor": CursorSettings,
    "purge": PurgeSettings,
    "delete": DeleteSettings,
    "rejects": RejectSettings,
    "evaluate": EvaluationSettings,
}
# A value repaired at one level can uncover a problem one level down. The file is five levels deep.
MAX_ROUNDS = 8

# pydantic's kinds of error, in words for the person who wrote the file.
MESSAGES = {
    "missing": "is missing",
    "model_type": "must be a mapping of keys and values",
    "dict_type": "must be a mapping of keys and values",
    "tuple_type": "must be a list",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "literal_error": "must be one of {expected}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
}
# Kinds of error of a value that is of the right type. Their messages quote it.
QUOTED = {"literal_error", "greater_than", "greater_than_equal", "less_than_equal", "less_than"}
# What stands right where people write a value of another kind.
EXAMPLES = {
    "aito": "{url: https://my-db.aito.app, api_key_secret: aito-api-key}",
    "batch": "{rows: 1000}",
    "column": "updated_unix",
    "columns": "{id: {}, note: {type: Text}}",
    "cursor": "{source: updated_at, column: updated_unix}",
    "delete": "{max_share: 0.1}",
    "evaluate": "[{name: plan, predict: plan, given: [country]}]",
    "except": "[raw]",
    "given": "[plan, country]",
    "ledger": "aito_sync",
    "max_bytes_billed": "10737418240, which is 10 GiB",
    "name": "orders",
    "predict": "plan",
    "purge": "{max_share: 0.5}",
    "rejects": "{max_share: 0.01}",
    "source": "shop.orders",
    "tables": "[{name: orders, source: shop.orders, mode: replace}]",
    "url": "https://my-db.aito.app",
}
# What each choice is for, where the name alone does not tell.
CHOICES = {
    "mode": "`append` where rows never change, `merge` where they do, `replace` to load all anew",
}
COLUMN_EXAMPLE = "{type: Int}"
# Kinds of error of a single value, whose text tells what was intended.
SCALARS = {"int_type", "float_type", "bool_type"}
KINDS = {int: "a number", float: "a fraction", str: "text", list: "a list", dict: "a mapping"}
PERCENT = 100
SECRET_WORDS = ("api_key", "apikey", "api-key", "password", "token")


def load(path: str | os.PathLike[str]) -> Settings:
    """The settings in a file. Raises ConfigError, which lists every problem."""
    from sync.config import yaml_file  # PyYAML is not needed until a file is read: see `parse`

    return parse(yaml_file.text_of(path), os.fspath(path))


def parse(text: str, where: str = "sync.yaml") -> Settings:
    """The settings in a file's text. Messages call the file `where`.

    Raises ConfigError, which lists every problem.
    """
    from sync.config import yaml_file  # keeps PyYAML out of `import main`, which every start pays

    document = yaml_file.read(text, where)
    settings, wrong = _settings(document.data)
    if settings is not None:
        wrong += _contradictions(settings, wrong)
    if settings is None or wrong or document.problems:
        raise ConfigError(document.report(wrong))
    settings.aito.set_origin(Origin(where, document.line, ("aito",)))
    for number, table in enumerate(settings.tables):
        table.set_origin(Origin(where, document.line, ("tables", number)))
    return settings


def json_schema() -> dict[str, Any]:
    """The JSON schema of the file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Settings.model_json_schema(),
        "title": "sync.yaml",
    }


def _contradictions(settings: Settings, wrong: list[Problem]) -> list[Problem]:
    """What the rules find, less what follows from a value that is wrong by itself."""
    places = [problem.place for problem in wrong]
    return [found for found in rules.find(settings) if not found.follows_from(places)]


def _settings(data: dict[str, Any]) -> tuple[Settings | None, list[Problem]]:
    """The settings, and the problems of single values.

    A wrong value is removed or replaced by a right one, and the rest is read again. So the
    settings are complete enough to look for contradictions in the same run.
    """
    wrong: list[Problem] = []
    text = json.dumps(data)
    for _ in range(MAX_ROUNDS):
        try:
            # As JSON, because there strict means what YAML means: lists, mappings, true, false,
            # numbers, text.
            return Settings.model_validate_json(text), wrong
        except ValidationError as error:
            repaired = json.loads(text)
            known = [problem.place for problem in wrong]
            wrong += _repair(repaired, error, known)
            text = json.dumps(repaired)
    return None, wrong


def _repair(data: dict[str, Any], error: ValidationError, known: list[Place]) -> list[Problem]:
    """Repair `data` as far as possible. Returns the problems at places that are not `known`."""
    # Unknown keys first: a key put under its right name is not missing any more.
    details = error.errors(include_url=False)
    details.sort(key=lambda detail: detail["type"] != "extra_forbidden")
    renamed: set[Place] = set()
    found = []
    for detail in details:
        place = _place(detail)
        if place in renamed:
            continue
        if not _within(place, known):
            found.append(Problem(place, _message(detail, place)))
        if detail["type"] == "extra_forbidden":
            renamed.add(_rename(data, place))
        else:
            _replace(data, place)
    return found


def _within(place: Place, known: list[Place]) -> bool:
    """Whether a place is one of the `known`, or inside one."""
    return any(place[: len(other)] == other for other in known)


def _place(detail: ErrorDetails) -> Place:
    """Where it is, without pydantic's mark for a mapping's key."""
    return tuple(part for part in detail["loc"] if part != "[key]")


def _holder(data: Any, place: Place) -> Any:
    """The mapping or list that holds a place."""
    for part in place[:-1]:
        data = data[part]
    return data


def _rename(data: dict[str, Any], place: Place) -> Place:
    """Remove an unknown key, or give it the name that was probably intended. Returns its place."""
    holder = _holder(data, place)
    value = holder.pop(str(place[-1]))
    right = _probable_key(place)
    if right is None or right in holder:
        return place
    holder[right] = value
    return (*place[:-1], right)


def _replace(data: dict[str, Any], place: Place) -> None:
    """Remove a wrong value. Where a value must stand, put one that breaks no rule."""
    holder = _holder(data, place)
    part = place[-1]
    if isinstance(part, int):
        holder[part] = {} if place[-2] in MODELS else "placeholder"
    elif part in holder:
        del holder[part]
    elif part == "aito":
        holder[part] = {}
    elif part == "url":
        holder[part] = "https://placeholder"
    else:
        holder[part] = "placeholder"


def _message(detail: ErrorDetails, place: Place) -> str:
    """What pydantic found, in words for the person who wrote the file."""
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_key(place)
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind not in MESSAGES:
        return detail["msg"]
    limits = {name: _number(limit) for name, limit in detail.get("ctx", {}).items()}
    text = MESSAGES[kind].format(**limits)
    if kind == "missing":
        return f"{text}{_missing(place)}"
    if kind.endswith("_type"):
        example = _example(place)
        such_as = f" such as {example}" if example else ""
        return f"{text}{such_as}{_instead(detail)}"
    if kind in QUOTED:
        hint = _choice(detail, place) if kind == "literal_error" else _as_share(detail)
        return f"{text}, not {shown(detail['input'])}{hint}"
    return text


def _choice(detail: ErrorDetails, place: Place) -> str:
    """Which of the choices was probably meant, or what each is for."""
    choices = re.findall(r"'([^']+)'", detail["ctx"]["expected"])
    found = close(str(detail["input"]), choices)
    if found:
        return f"; did you mean {quote(found)}?"
    meaning = CHOICES.get(str(place[-1]))
    return f": {meaning}" if meaning else ""


def _missing(place: Place) -> str:
    """What to add where a key is missing, and what it means."""
    key = str(place[-1])
    field = _keys(place).get(key)
    example = _example(place)
    added = f"; add `{key}: {example}`" if example else ""
    return f"{added} ({field.description})" if field else added


def _example(place: Place) -> str | None:
    """What stands right at a place."""
    if place[-2:-1] == ("columns",):
        return COLUMN_EXAMPLE
    return EXAMPLES.get(str(place[-1]))


def _as_share(detail: ErrorDetails) -> str:
    """A number of percent as a share. Empty for a limit that is not 1."""
    limit = detail.get("ctx", {}).get("le")
    found = detail["input"]
    if limit != 1 or found > PERCENT:
        return ""
    return f"; {_number(float(found))} % is {_number(found / PERCENT)}"


def _number(limit: Any) -> Any:
    """A limit as people write it: 1 and not 1.0."""
    return f"{limit:.15g}" if isinstance(limit, float) else limit


def _instead(detail: ErrorDetails) -> str:
    """What stands there instead: by its kind, and a word or a number in place of a scalar."""
    found = detail["input"]
    if isinstance(found, str) and detail["type"] in SCALARS:
        is_quoted = re.fullmatch(r"-?[0-9.]+|true|false", found)
        return f", not {shown(found)}{' (take the quotes away)' if is_quoted else ''}"
    if isinstance(found, bool):  # before int, which a bool is in Python
        return ", not true or false (put it in quotes if it is a word)"
    if found is None:
        return ", and nothing stands there"
    kind = KINDS.get(type(found), "this")
    if detail["type"] == "string_type" and isinstance(found, int | float):
        return f", not {kind} (put it in quotes)"
    return f", not {kind}"


def _unknown_key(place: Place) -> str:
    word = str(place[-1])
    if _looks_secret(word):
        return (
            "keys and passwords do not belong in this file: remove it. On the command line set"
            " AITO_API_KEY; for a deployment name the secret in aito.api_key_secret"
        )
    return f"unknown key {quote(word)}; {suggest(word, _keys(place))}"


def _looks_secret(word: str) -> bool:
    return any(part in word.lower() for part in SECRET_WORDS)


def _probable_key(place: Place) -> str | None:
    """The known key that was probably intended. A key itself never becomes a name of a secret."""
    word = str(place[-1])
    if _looks_secret(word):
        return None
    return close(word, _keys(place))


def _keys(place: Place) -> dict[str, FieldInfo]:
    """The keys that the mapping at a place may hold."""
    fields = _model(place).model_fields
    return {field.alias or name: field for name, field in fields.items()}


def _model(place: Place) -> type[BaseModel]:
    """The model of the mapping that holds a place."""
    names = [part for part in place[:-1] if isinstance(part, str)]
    if names[-2:-1] == ["columns"]:
        return ColumnSettings
    if not names:
        return Settings
    return MODELS.get(names[-1], Settings)
