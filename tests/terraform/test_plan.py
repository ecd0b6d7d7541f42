"""The plan as JSON:
what a `terraform apply` would make, held against the rules, for each example.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.terraform.rules import RULES, Rule
from tests.terraform.tools import (
    EXAMPLE,
    OFFLINE,
    OFFLINE_VENV,
    ROOT,
    Plan,
    another,
    need_offline,
    plan_script,
    read_plan,
    terraform,
)

EXAMPLES = sorted(p.parent.name for p in (ROOT / "terraform" / "examples").glob("*/example.tfvars"))
FILES = {
    "default": EXAMPLE,
    "tfvars": "terraform.tfvars.example",
    **{name: f"examples/{name}/example.tfvars" for name in EXAMPLES},
    "staging": "examples/two-environments/staging.tfvars",
}

# What the plan says of each configuration: the line of the mistake, and what would be right.
REFUSALS = {
    "no_ledger": "line 1: the file has no `ledger`, and needs one",
    "no_secret": "aito.api_key_secret must be a secret's id",
    "no_tables": "line 4: tables must not be empty",
    "no_name": "line 6: tables[1] has no `name`, and needs one",
    "no_location": "bq show --format=prettyjson example-project:shop",
    "misspelt": "line 11: tables[1].curser is not a setting; did you mean cursor?",
    "bad_duration": "line 12: tables[1].keep must be a duration such as 90d, 12h, 30m or 45s",
    "doubled_table": "line 6: tables[1].name users is the name of another table too",
    "source_and_query": "line 6: tables[1] orders must have either `source` or `query`",
    "no_source": "line 6: tables[1] orders must have either `source` or `query`",
    "bad_source": 'line 6: tables[1].source must be "dataset.table"',
    "broken_link": "line 6: tables[1].columns.user.link user.id points to a table",
    "query": "orders read by `query:`",
    "bad_ledger": 'line 3: ledger must be "dataset" or "project.dataset"',
    "ledger_is_source": "example-project.shop is both a source and the ledger",
    "key_instead_of_secret": "it is the name of the secret, never the key",
    "foreign_topic": (
        "what is delivered to the function is projects/example-project/topics/aito-sync"
    ),
    "budget_over_deadline": "Set time_budget_seconds to at most 1680",
    "budget_over_ack": "Set time_budget_seconds to at most 480",
}


class Plans(dict[str, Plan]):
    """The plan of the default and of each example. Each is made when it is first asked for: of
    two processes that share the tests, each makes those that it needs.
    """

    def __init__(self, default: Plan, folder: Path) -> None:
        super().__init__(default=default)
        self._folder = folder

    def __missing__(self, name: str) -> Plan:
        done = terraform(self._folder, plan_script(f"-var-file={FILES[name]}"))
        assert done.returncode == 0, done.stdout + done.stderr
        self[name] = read_plan(self._folder)
        return self[name]


@pytest.fixture(scope="module")
def plans(sound: Path, planned: Plan, tmp_path_factory: pytest.TempPathFactory) -> Plans:
    """The plan of the default and of each example, made once."""
    return Plans(planned, another(sound, tmp_path_factory.mktemp("plan")))


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.__name__)
@pytest.mark.parametrize("example", list(FILES))
def test_every_plan_keeps_every_rule(plans: Plans, example: str, rule: Rule) -> None:
    """The default and each example keep each rule of rules.py."""
    rule(plans[example])


def test_the_dashboard_is_one_that_google_takes(planned: Plan, tmp_path: Path) -> None:
    """Every field of the dashboard is one of the API's messages."""
    need_offline("it reads the dashboard with the API's own messages")
    (tmp_path / "plan.json").write_text(planned.text)
    command = [str(OFFLINE_VENV / "bin/python"), str(OFFLINE / "check_dashboards.py"), "plan.json"]
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_existing_secret_is_not_made(plans: Plans) -> None:
    """A secret that is named in full is only opened to the function."""
    assert not plans["existing-secret"].of("google_secret_manager_secret")
    assert plans["default"].of("google_secret_manager_secret")


def test_the_private_network_closes_the_door(plans: Plans) -> None:
    """With a private network the function takes calls from inside only, and sends everything
    through the subnetwork.
    """
    config = plans["private-network"].one("google_cloudfunctions2_function.sync")["service_config"][
        0
    ]
    assert config["ingress_settings"] == "ALLOW_INTERNAL_ONLY"
    assert config["direct_vpc_egress"] == "VPC_EGRESS_ALL_TRAFFIC"
    assert config["direct_vpc_network_interface"][0]["subnetwork"].endswith("/aito-egress")


def test_two_environments_share_nothing(plans: Plans) -> None:
    """Two sets of values of one repository make two sets of names: neither touches the other's."""
    named = ("name", "account_id", "secret_id", "repository_id", "display_name")
    shared = []
    for made in plans["two-environments"].resources:
        other = [r for r in plans["staging"].resources if r.address == made.address]
        for key in named:
            mine, theirs = made.values.get(key), other[0].values.get(key) if other else None
            if mine and mine == theirs:
                shared.append(f"{made.address}.{key} = {mine}")
    assert not shared
    ledgers = [
        plans[name].one("google_bigquery_dataset.ledger")["dataset_id"]
        for name in ("two-environments", "staging")
    ]
    assert len(set(ledgers)) == 2


TWO_STATES = """mock_provider "google" {
  source = "./tests/mocks"
}
variables {
  project_id  = "example-project"
  alert_email = "data-team@example.com"
}
run "production" {
  command = apply
  variables {
    config_file = "examples/two-environments/sync.yaml"
  }
}
run "staging" {
  command = plan
  variables {
    config_file = "examples/two-environments/staging.yaml"
    name        = "aito-staging"
  }
}
"""


@pytest.mark.slow  # a mocked apply of the whole deployment
def test_one_environment_is_not_planned_on_the_state_of_another(
    sound: Path, tmp_path: Path
) -> None:
    """Staging's values on production's state: the plan is refused, before anything is replaced."""
    folder = another(sound, tmp_path / "repository")
    (folder / "teardown_override.tf").unlink()
    (folder / "tests" / "two_states.tftest.hcl").write_text(TWO_STATES)
    done = terraform(folder, "terraform test -no-color -filter=tests/two_states.tftest.hcl")
    assert 'run "production"... pass' in done.stdout, done.stdout + done.stderr
    assert 'run "staging"... fail' in done.stdout
    assert "Instance cannot be destroyed" in done.stderr
    assert "Resource google_bigquery_dataset.ledger has lifecycle.prevent_destroy" in done.stderr


def test_each_state_has_its_prefix() -> None:
    """The first lines of each environment's values say how its state is reached: by a prefix."""
    folder = ROOT / "terraform" / "examples" / "two-environments"
    prefixes = [
        re.findall(r"-backend-config=prefix=(\S+)", path.read_text())
        for path in sorted(folder.glob("*.tfvars"))
    ]
    assert prefixes == [["aito-sync/production"], ["aito-sync/staging"]]


@pytest.mark.parametrize(("listed", "disabled"), [("3\n2\n1\n", ["2", "1"]), ("1\n", [])])
def test_old_keys_are_disabled_and_the_newest_is_not(
    planned: Plan, tmp_path: Path, listed: str, disabled: list[str]
) -> None:
    """The line to paste disables every version of the key but the first of the list."""
    program = f'#!/bin/sh\n[ "$3" = list ] && printf "{listed}" || echo "$@" >>said\n'
    (tmp_path / "gcloud").write_text(program)
    (tmp_path / "gcloud").chmod(0o755)
    (tmp_path / "said").touch()
    line = planned.document["output_changes"]["disable_old_keys"]["after"]
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", line], cwd=tmp_path, env=path, check=True)
    said = (tmp_path / "said").read_text().splitlines()
    where = "--secret=aito-api-key --project=example-project --quiet"
    assert said == [f"secrets versions disable {version} {where}" for version in disabled]


def test_the_key_is_added_without_showing_it(plans: Plans, tmp_path: Path) -> None:
    """The line to paste asks for the key and hands it to gcloud by its input: it is in no argument
    and no output.
    """
    (tmp_path / "gcloud").write_text('#!/bin/sh\necho "$@" >arguments; cat >input\n')
    (tmp_path / "gcloud").chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", plans["existing-secret"].document["output_changes"]["add_key"]["after"]],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        input="the key\n",
        text=True,
        capture_output=True,
    )
    assert (tmp_path / "input").read_text() == "the key", done.stderr
    arguments = "secrets versions add aito-key --project=vault-project --data-file=-\n"
    assert (tmp_path / "arguments").read_text() == arguments
    assert "the key" not in done.stdout + done.stderr


def test_without_any_value_it_plans_and_warns(sound: Path, tmp_path: Path) -> None:
    """The project is then the environment's; that nobody hears of a bad night is said in every
    plan.
    """
    need_offline("with the registry's provider a plan looks the project up")
    folder = another(sound, tmp_path)
    done = terraform(folder, plan_script("-var=region=europe-west1"))
    assert done.returncode == 0, done.stdout + done.stderr
    for rule in RULES:
        rule(read_plan(folder))
    assert "alert_email is not set" in " ".join(
        (folder / "plan.txt").read_text().replace("│", " ").split()
    )
    assert not read_plan(folder).of("google_monitoring_notification_channel")


@pytest.mark.slow
def test_each_refusal_says_its_own_reason(sound: Path, tmp_path: Path) -> None:
    """Every configuration that cannot work is refused in the plan, for its own reason and with
    what would be right.
    """
    need_offline("it reads what a plan says; that each is refused, terraform test shows too")
    folder = another(sound, tmp_path)
    wrong = []
    for name, reason in REFUSALS.items():
        done = terraform(
            folder,
            plan_script(f"-var-file={EXAMPLE}", f"-var=config_file=tests/configs/{name}.yaml"),
        )
        said = " ".join((done.stdout + done.stderr).replace("│", " ").split())
        if done.returncode == 0 or reason not in said:
            wrong.append(f"{name}: {said[-400:]}")
    assert not wrong, "\n".join(wrong)
