"""The pages of docs/, CONTRIBUTING.md and CHANGELOG.md are compared with the code."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import get_args

import click
import pytest
import yaml

from docs import generate
from sync import __version__, config
from sync.base.errors import BadRequest
from sync.base.events import Event
from sync.entry.commands import cli
from sync.entry.request import ACTIONS, FIELDS, request
from sync.ledger.definitions import columns
from sync.model.records import RunRecord

ROOT = Path(__file__).parents[2]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
HTTP = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
SOURCES = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
STEP = re.compile(r"^\d+\. `([^`]+)` `(\w+)`:", re.MULTILINE)
LONGEST_WALK = {"row": 9, "request": 4, "setting": 4, "error": 4}  # files


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_named_files_exist(path: Path) -> None:
    """Every file or folder of the code that a page names is there."""
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:sync|tests|local|docs)/[\w/.-]*|main\.py)`", text))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    """Every file that a page links to is there."""
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_named_make_targets_exist(path: Path) -> None:
    """Every `make` target that a page names has its line in the Makefile's list."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*  ## ", makefile, re.MULTILINE))
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE))
    assert named - targets == set()


# -- sources.md


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", SOURCES, re.DOTALL))
def test_an_example_of_a_source_is_valid(text: str) -> None:
    """Each is an entry of `tables` that is read without a complaint."""
    table = yaml.safe_load(text)
    aito = {"url": "https://my-db.aito.app", "api_key_secret": "aito-api-key"}
    whole = {"aito": aito, "ledger": "aito_sync", "tables": [table]}
    assert config.parse(json.dumps(whole)).tables[0].name == table["name"]


# -- architecture.md


def test_the_picture_shows_every_folder() -> None:
    """The picture of the house and sync/ have the same folders."""
    picture = ARCHITECTURE.split("```")[1]
    drawn = set(re.findall(r"sync/(\w+)/", picture))
    folders = {path.parent.name for path in (ROOT / "sync").glob("*/__init__.py")}
    assert drawn == folders, "draw it in docs/architecture.md, The house"


@pytest.mark.parametrize("subject", LONGEST_WALK)
def test_a_walk_is_short_and_true(subject: str) -> None:
    """A walk has at most so many files, each of which defines what its step names."""
    section = ARCHITECTURE.split(f"### The way of a{'n' * (subject == 'error')} {subject}")[1]
    steps = STEP.findall(section.split("\n#")[0])
    assert 0 < len({path for path, _ in steps}) <= LONGEST_WALK[subject]
    for path, name in steps:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^\s*(?:def|class) {name}\b", text, re.MULTILINE), (path, name)


# -- generated pages


@pytest.mark.parametrize("name", generate.PAGES)
def test_generated_pages_are_current(name: str) -> None:
    """A page that is made from the code is what the code says. `make docs` writes it."""
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == generate.PAGES[name](), "run `make docs`"


@pytest.mark.parametrize("action", sorted({*ACTIONS} - {"retention"}))
@pytest.mark.parametrize(
    ("name", "value"),
    [("deep", True), ("full_refresh", True), ("allow", ["purge"]), ("since", "2026-01-01")],
)
def test_help_shows_the_options_that_a_command_takes(action: str, name: str, value: object) -> None:
    """A command's help, and so commands.md, shows no option that the command refuses."""
    assert action in cli.commands, "add its command in sync/entry/commands.py"
    options = {option.name: option for option in cli.commands[action].params}
    option = options[name]
    assert isinstance(option, click.Option)
    try:
        request({"action": action, name: value})
    except BadRequest:
        assert option.hidden
    else:
        assert not option.hidden


def test_environment_variables_are_named() -> None:
    """Every variable that the code reads is in configuration.md."""
    page = generate.configuration()
    read: set[str] = set()
    for path in (ROOT / "sync").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        read |= set(re.findall(r'environ(?:\.get\(|\[)"(\w+)"', text))
    assert read
    assert [name for name in sorted(read) if f"`{name}`" not in page] == []


# -- http.md


def test_requests_answers_and_events_are_named() -> None:
    """Every action, field, event, and warning that a step emits is in http.md."""
    steps = [path.read_text(encoding="utf-8") for path in (ROOT / "sync/pipeline").glob("*.py")]
    warnings = re.findall(r"\.warn\(\s*\"(\w+)\"", "".join(steps))
    assert warnings
    words = [*ACTIONS, *FIELDS, *get_args(Event), *warnings]
    missing = [word for word in words if f"`{word}`" not in HTTP]
    assert missing == [], "describe it in docs/http.md"


# -- CONTRIBUTING.md, CHANGELOG.md


def test_a_ledger_row_has_the_columns_of_its_definition() -> None:
    """A column of runs.json is a field of RunRecord. A forgotten one would stay empty for ever."""
    defined = {column["name"] for column in columns("runs")}
    fields = {field.name for field in dataclasses.fields(RunRecord)}
    assert fields == defined, "compare sync/model/records.py with sync/ledger/runs.json"


def test_the_changelog_has_this_version() -> None:
    """The changelog begins with the version that the program reports."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(\d[^]]*)\]", text, re.MULTILINE)
    assert versions[0] == __version__
