"""The configuration is the user's: no test reads it, and the plan takes it or names the line of a
mistake. Ten different ones are tried.
"""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from sync import config
from sync.base.errors import ConfigError
from tests.terraform.tools import (
    EXAMPLE,
    ROOT,
    another,
    need_offline,
    plan_script,
    terraform,
)
from tests.workbench import Workbench, table

FOLDER = ROOT / "terraform"
CONFIGS = FOLDER / "tests" / "configs"
README_EXAMPLE = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
RIGHT = {
    "README": README_EXAMPLE,
    "GA4": (CONFIGS / "ga4.yaml").read_text(),
    "many tables": (FOLDER / "examples" / "many-tables" / "sync.yaml").read_text(),
    "one table": (FOLDER / "examples" / "minimal" / "sync.yaml").read_text(),
    "staging": (FOLDER / "examples" / "two-environments" / "staging.yaml").read_text(),
}
BROKEN = {
    "misspelt": "line 11: tables[1].curser",
    "bad_duration": "line 12: tables[1].keep",
    "doubled_table": "line 6: tables[1].name",
    "no_name": "line 6: tables[1]",
    "broken_link": "line 6: tables[1].columns.user.link",
}
# What no configuration says: the datasets that a query reads.
MORE = '-var=source_datasets=["analytics_123456789"]'


def planned_with(text: str, sound: Path, folder: Path) -> tuple[int, str]:
    """Plan the deployment with this sync.yaml. -> exit status, and what terraform said."""
    copy = another(sound, folder)
    (copy.parent / "sync.yaml").write_text(text)
    topic = config_topic(text)
    name = f"-var=name={topic}" if topic else "-var=name=aito-sync"
    where = "-var=config_file=../sync.yaml"
    done = terraform(copy, plan_script(f"-var-file={EXAMPLE}", where, f"'{MORE}'", name))
    return done.returncode, " ".join((done.stdout + done.stderr).replace("│", " ").split())


def config_topic(text: str) -> str:
    """The last part of the topic that a configuration names; "" without one."""
    found = re.search(r"^topic: projects/[^/]+/topics/(\S+)", text, re.M)
    return found[1] if found else ""


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_configuration_is_read(name: str) -> None:
    """The function takes each of the five."""
    assert config.parse(RIGHT[name]).tables


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_configuration_is_refused_by_the_function(name: str) -> None:
    """The code names the table of the mistake, as the plan does."""
    with pytest.raises(ConfigError) as raised:
        config.load(CONFIGS / f"{name}.yaml")
    place = BROKEN[name].split(": ")[1].split(".")[0]
    assert place in str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
def test_the_plan_takes_a_right_configuration(name: str, sound: Path, tmp_path: Path) -> None:
    """Each of the five plans as it stands."""
    need_offline("with the registry's provider a plan looks the project up")
    status, said = planned_with(RIGHT[name], sound, tmp_path / "repository")
    assert status == 0, said


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_the_plan_names_the_line_of_a_mistake(name: str, sound: Path, tmp_path: Path) -> None:
    """Each of the five mistakes is refused, by its line."""
    need_offline("it reads what a plan says")
    text = (CONFIGS / f"{name}.yaml").read_text()
    status, said = planned_with(text, sound, tmp_path / "repository")
    assert status != 0
    assert BROKEN[name] in said


def test_no_test_reads_the_users_configuration() -> None:
    """Tests, Makefile and check.sh name configurations of their own."""
    read = re.compile(r'ROOT / "sync\.yaml"|\$root/sync\.yaml|load\(DEFAULT_CONFIG')
    files = [*(ROOT / "tests").rglob("*.py"), ROOT / "Makefile", FOLDER / "check.sh"]
    this = Path(__file__).resolve()
    assert [path for path in files if path != this and read.search(path.read_text())] == []


@pytest.mark.slow
def test_the_tests_pass_with_a_broken_configuration(tmp_path: Path) -> None:
    """With a sync.yaml that is no configuration, the tests of settings and documents pass."""
    left_out = shutil.ignore_patterns(".git", ".venv", "build", ".*_cache", ".terraform")
    copy = tmp_path / "repository"
    shutil.copytree(ROOT, copy, ignore=left_out)
    (copy / "sync.yaml").write_text("curser: [\n")
    unit = [f"tests/unit/test_{name}.py" for name in ("config", "readme", "docs")]
    tests = [*unit, "tests/terraform/test_text.py", "tests/terraform/test_configuration.py"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-x", "-m", "not slow"]
    done = subprocess.run([*command, *tests], cwd=copy, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


# -- validate.py --real


def validated(bench: Workbench, path: Path) -> subprocess.CompletedProcess[str]:
    """Run `validate.py FILE --real` against the local stack."""
    return subprocess.run(
        [sys.executable, FOLDER / "validate.py", path, "--real"],
        env={**bench.stack.environ(path)},
        text=True,
        capture_output=True,
        check=False,
    )


def validated_here(
    bench: Workbench, path: Path, capsys: pytest.CaptureFixture[str]
) -> subprocess.CompletedProcess[str]:
    """The same in this process, which is quicker."""
    main = runpy.run_path(str(FOLDER / "validate.py"))["main"]
    capsys.readouterr()
    with mock.patch.dict("os.environ", bench.stack.environ(path)):
        status = main([str(path), "--real"])
    printed = capsys.readouterr()
    return subprocess.CompletedProcess([], status, printed.out, printed.err)


def test_the_real_project_is_asked_before_apply(
    bench: Workbench, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table that can be loaded passes; nothing is written. One that would fail does not pass; a
    missing key is said to be not checked.
    """
    bench.load_source("pages", {"id": "STRING", "ts": "TIMESTAMP"}, [])
    good = table(bench.name, f"{bench.dataset}.pages")
    done = validated(bench, bench.configure(good))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{bench.name}: ok" in done.stdout
    assert bench.name not in bench.aito.schema()

    missing = table(bench.name, f"{bench.dataset}.pages", columns={"id": None, "nowhere": None})
    path = bench.configure(good, {**missing, "name": f"{bench.name}_2"})
    done = validated_here(bench, path, capsys)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "nowhere" in done.stdout

    path = bench.configure(good, aito={"api_key_secret": "no-such-secret"})
    done = validated_here(bench, path, capsys)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not checked in the project: " in done.stdout
