"""Documentation that is compared with the code, so that it cannot drift away."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

from sync import config
from sync.bigquery.types import DEFAULTS
from sync.entry.request import ACTIONS, FIELDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_commands_are_targets() -> None:
    """Every `make` target the README names exists, and `make` lists it."""
    listed = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    targets = {line.split()[0] for line in listed.splitlines() if line}
    assert set(re.findall(r"make ([a-z]+)", README)) <= targets


def test_the_two_commands_stand_alone() -> None:
    """All set-up is done by two commands, each in a block of its own."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert [block.strip() for block in blocks[:2]] == ["make demo", "make test"]


def test_settings_are_named() -> None:
    """Every setting of the configuration file is in the README's table."""
    models = (
        config.Settings,
        config.AitoSettings,
        config.BigQuerySettings,
        config.BatchSettings,
        config.TableSettings,
    )
    names = {name for model in models for name in model.model_fields} - {
        "tables",
        "bigquery",
        "aito",
        "name",
    }
    told = set(re.findall(r"`[^`]*`", README))
    assert not [name for name in names if not any(re.search(rf"\b{name}\b", text) for text in told)]


def test_the_example_is_valid() -> None:
    """The README's configuration, and the example file, are read without a complaint."""
    example = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)[0]
    parsed = config.parse(yaml.safe_dump(yaml.safe_load(example)))
    assert parsed.tables[0].keep == 90 * 86_400
    assert config.load(ROOT / "sync.yaml").tables


def test_actions_and_types_are_named() -> None:
    """Every action, field and BigQuery type is in the README."""
    for word in (*ACTIONS, *FIELDS):
        assert word in README
    modern = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
    for name in DEFAULTS:
        assert re.search(rf"\b{modern.get(name, name)}\b", README), name


def test_links_lead_somewhere() -> None:
    """Every file that the README links to exists."""
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target
