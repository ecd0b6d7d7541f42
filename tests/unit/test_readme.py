"""README is compared with the code, so that it cannot drift away. See also test_docs.py."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from sync import config

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MOST_WORDS = 900  # before the links: what a person reads at the first look


def test_the_two_commands_stand_alone() -> None:
    """All set-up is done by two commands, each in a block of its own."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert [block.strip() for block in blocks[:2]] == ["make demo", "make test"]


def test_the_example_is_valid() -> None:
    """The README's configuration is read without a complaint."""
    example = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)[0]
    parsed = config.parse(yaml.safe_dump(yaml.safe_load(example)))
    assert parsed.tables[0].keep == 90 * 86_400


def test_it_is_short() -> None:
    """Reference is in docs/. The README is read in five minutes."""
    text = README.split("## Where to look")[0]
    assert len(text.split()) < MOST_WORDS


def test_every_page_is_linked() -> None:
    """README links to every page of docs/, to the contributor's guide and to the changelog."""
    pages = [f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")]
    expected = [*pages, "CONTRIBUTING.md", "CHANGELOG.md", "terraform/README.md"]
    assert [page for page in expected if f"]({page})" not in README] == []


def test_the_commands_exist() -> None:
    """Every command of the command line that README shows is in docs/commands.md."""
    reference = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\./aito-sync (\w+)", README))
    assert shown
    listed = set(re.findall(r"^\| `([a-z]+)", reference, re.MULTILINE))
    assert shown - listed == set()
