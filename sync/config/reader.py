"""Reads `sync.yaml` into settings, or tells every mistake in it at once.

Three steps: YAML with places (`yamlfile`), single values (`settings`), contradictions
(`crosschecks`). `python -m sync.config` prints the JSON schema for editors.
"""

from __future__ import annotations

import json
import os
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sync.base.errors import ConfigError
from sync.config import rules as crosschecks
from sync.config import yaml_file as yamlfile
from sync.config.problems import Mistake, Place, close, quote, suggest
from sync.config.settings import (
    AitoSettings,
    BatchSettings,
    BigQuerySettings,
    ColumnSettings,
    CursorSettings,
    EvaluationSettings,
    Frozen,
    PurgeSettings,
    RejectSettings,
    Settings,
    TableSettings,
    duration,
)

__all__ = [
    "AitoSettings",
    "BatchSettings",
    "BigQuerySettings",
    "ColumnSettings",
    "CursorSettings",
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
]

MODELS: dict[str, type[BaseModel]] = {
    "aito": AitoSettings,
    "bigquery": BigQuerySettings,
    "batch": BatchSettings,
    "tables": TableSettings,
    "cursor": CursorSettings,
    "purge": PurgeSettings,
    "rejects": RejectSettings,
    "evaluate": EvaluationSettings,
}
ROUNDS = (
    8  # a value mended at one level can show a mistake one level down; the file is five levels deep
)

WORDS = {
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


def load(path: str | os.PathLike[str]) -> Settings:
    """The settings in a file. Raises ConfigError, which lists every mistake."""
    return parse(yamlfile.text_of(path), os.fspath(path))


def parse(text: str, where: str = "sync.yaml") -> Settings:
    """The settings in a file's text; `where` is the name by which messages call the file."""
    document = yamlfile.read(text, where)
    settings, wrong = _settings(document.data)
    places = [mistake.place for mistake in wrong]
    if settings is not None:
        wrong += [found for found in crosschecks.find(settings) if not found.doubtful(places)]
    if settings is None or wrong or document.mistakes:
        raise ConfigError(document.report(wrong))
    return settings


def json_schema() -> dict[str, Any]:
    """The JSON schema of the file, for editors."""
    schema = Settings.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "sync.yaml",
    }


def _settings(data: dict[str, Any]) -> tuple[Settings | None, list[Mistake]]:
    """The settings, and the mistakes in single values.

    A value that is wrong is taken out or replaced by one that is not, and the rest is read again:
    so the settings are complete enough to look for contradictions in the same go.
    """
    wrong: list[Mistake] = []
    text = json.dumps(data)
    for _ in range(ROUNDS):
        try:
            # As JSON, because there strict means what YAML means: lists, mappings, true/false,
            # numbers, text.
            return Settings.model_validate_json(text), wrong
        except ValidationError as error:
            mended = json.loads(text)
            wrong += _mend(mended, error, [mistake.place for mistake in wrong])
            text = json.dumps(mended)
    return None, wrong


def _mend(data: dict[str, Any], error: ValidationError, known: list[Place]) -> list[Mistake]:
    """Put right what can be, so that reading goes on; tells what was not known to be wrong."""
    # Unknown keys first: a key put under its right name is not missing any more.
    details = sorted(
        error.errors(include_url=False), key=lambda detail: detail["type"] != "extra_forbidden"
    )
    renamed: set[Place] = set()
    told = []
    for detail in details:
        place = _place(detail)
        if place in renamed:
            continue
        if not any(place[: len(other)] == other for other in known):
            told.append(Mistake(place, _told(detail, place)))
        if detail["type"] == "extra_forbidden":
            renamed.add(_rename(data, place))
        else:
            _replace(data, place)
    return told


def _place(detail: ErrorDetails) -> Place:
    """Where it is, without pydantic's mark for a mapping's key."""
    return tuple(part for part in detail["loc"] if part != "[key]")


def _holder(data: Any, place: Place) -> Any:
    """The mapping or list that holds a place."""
    for part in place[:-1]:
        data = data[part]
    return data


def _rename(data: dict[str, Any], place: Place) -> Place:
    """Take an unknown key out, or give it the name that was probably meant."""
    holder, word = _holder(data, place), str(place[-1])
    value, right = holder.pop(word), _meant(place)
    if right is None or right in holder:
        return place
    holder[right] = value
    return (*place[:-1], right)


def _replace(data: dict[str, Any], place: Place) -> None:
    """Take a wrong value out; where one must stand, put one that breaks no rule."""
    holder, part = _holder(data, place), place[-1]
    if isinstance(part, int):
        holder[part] = {} if place[-2] in MODELS else "placeholder"
    elif part in holder:
        del holder[part]
    else:
        holder[str(part)] = {"aito": {}, "url": "https://placeholder"}.get(str(part), "placeholder")


def _told(detail: ErrorDetails, place: Place) -> str:
    """What pydantic found, in words for the person who wrote the file."""
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_key(place)
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    limits = {
        name: f"{limit:.15g}" if isinstance(limit, float) else limit
        for name, limit in detail.get("ctx", {}).items()
    }
    text = WORDS[kind].format(**limits) if kind in WORDS else detail["msg"]
    field = _model(place).model_fields.get(str(place[-1]))
    if kind == "missing" and field is not None:
        return f"{text}: {field.description}"
    return text + _instead(detail) if kind.endswith("_type") else text


def _instead(detail: ErrorDetails) -> str:
    """What stands there instead, by kind and not by value."""
    found = detail["input"]
    if isinstance(found, bool):  # before int, which in Python it is too
        return ", not true or false (put it in quotes if it is a word)"
    if found is None:
        return ", and nothing stands there"
    kinds = {int: "a number", float: "a fraction", str: "text", list: "a list", dict: "a mapping"}
    hint = (
        " (put it in quotes)"
        if detail["type"] == "string_type" and isinstance(found, int | float)
        else ""
    )
    return f", not {kinds.get(type(found), 'this')}{hint}"


def _unknown_key(place: Place) -> str:
    word = str(place[-1])
    if _looks_secret(word):
        return (
            "unknown key; keys and passwords do not belong in this file: name the secret in"
            " aito.api_key_secret"
        )
    return f"unknown key {quote(word)}; {suggest(word, _model(place).model_fields)}"


def _looks_secret(word: str) -> bool:
    return any(
        part in word.lower() for part in ("api_key", "apikey", "api-key", "password", "token")
    )


def _meant(place: Place) -> str | None:
    """The known key that was probably meant. A key itself never becomes the name of its secret."""
    word = str(place[-1])
    return None if _looks_secret(word) else close(word, _model(place).model_fields)


def _model(place: Place) -> type[BaseModel]:
    """The model of the mapping that holds a place."""
    names = [part for part in place[:-1] if isinstance(part, str)]
    if names[-2:-1] == ["columns"]:
        return ColumnSettings
    return MODELS.get(names[-1], Settings) if names else Settings
