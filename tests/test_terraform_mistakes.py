"""Deliberate mistakes, one by one, each in a copy: every one is caught, and the list says by what.

`caught` is where it is caught first, on the way from cheap to dear:
fmt, validate, plan (the provider, a limit, a check of ours), a rule of terraform_rules.py, a run of `terraform test`.
Run with -s to see the list with what each catcher said.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from terraform_rules import RULES
from terraform_tools import copy_to, give_up, offline, plan_script, read_plan, ready, terraform

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Mistake:
    """What somebody might write, and what stops it."""

    what: str
    file: str
    old: str
    new: str
    caught: str


MISTAKES = [
    Mistake("badly formatted", "schedule.tf", "  region           =", " region =", "fmt"),
    Mistake("an argument that does not exist", "function.tf", "timeout_seconds ", "timeout_secs ", "validate"),
    Mistake("a resource that does not exist", "secret.tf", "google_service_account.runtime.member", "google_service_account.run.member", "validate"),
    Mistake("a computed value set by hand", "function.tf", 'description = "Keeps', 'url = "x"\n  description = "Keeps', "validate"),
    Mistake("deadline over Scheduler's limit", "clocks.tf", "scheduler_deadline       = 1800", "scheduler_deadline       = 3000", "validate"),
    Mistake("time-out over the function's limit", "clocks.tf", "function_timeout_seconds = 1800", "function_timeout_seconds = 7200", "validate"),
    Mistake("time-out below the caller's deadline", "clocks.tf", "function_timeout_seconds = 1800", "function_timeout_seconds = 540", "plan"),
    Mistake("acknowledgement over Pub/Sub's limit", "clocks.tf", "ack_seconds              = 600", "ack_seconds              = 1200", "validate"),
    Mistake("dead letter while a run still holds the lease", "clocks.tf", "delivery_attempts        = 20", "delivery_attempts        = 5", "plan"),
    Mistake("silence looked for over more than 23.5 hours", "clocks.tf", "silence_seconds          = 10800", "silence_seconds          = 86400", "plan"),
    Mistake("retries over Scheduler's limit", "clocks.tf", "scheduler_retries        = 3", "scheduler_retries        = 9", "validate"),
    Mistake("retries forgotten", "clocks.tf", "scheduler_retries        = 3", "scheduler_retries        = 0", "rule jobs_call_with_a_token_and_try_again"),
    Mistake("a public function", "function.tf", "member   = google_service_account.invoker.member", 'member   = "allUsers"', "rule nobody_public"),
    Mistake("callers may be anybody", "variables.tf", "(user|group|serviceAccount):[^@[:space:]]+@[^@[:space:]]+$", ".*", "test refusals/callers_are_everybody"),
    Mistake("editor for the function", "sources.tf", '"roles/bigquery.jobUser"', '"roles/editor"', "rule no_basic_roles"),
    Mistake("data of the whole project", "sources.tf", '"roles/bigquery.jobUser"', '"roles/bigquery.dataViewer"', "rule project_wide_roles_are_listed"),
    Mistake("sources writable", "sources.tf", '"roles/bigquery.dataViewer"', '"roles/bigquery.dataEditor"', "rule data_is_opened_set_by_set"),
    Mistake("ledger not writable", "ledger.tf", '"roles/bigquery.dataEditor"', '"roles/bigquery.dataViewer"', "rule data_is_opened_set_by_set"),
    Mistake("secret readable by the caller too", "secret.tf", "member    = google_service_account.runtime.member", "member    = google_service_account.invoker.member", "rule one_reader_of_the_secret"),
    Mistake("secret administered by the function", "secret.tf", '"roles/secretmanager.secretAccessor"', '"roles/secretmanager.admin"', "rule one_reader_of_the_secret"),
    Mistake("a member without its kind", "secret.tf", "member    = google_service_account.runtime.member", "member    = google_service_account.runtime.email", "plan"),
    Mistake("the invoker may not call", "function.tf", '"roles/run.invoker"\n  member   = google_service_account.invoker', '"roles/run.viewer"\n  member   = google_service_account.invoker', "rule callers_are_named"),
    Mistake("default account for the function", "function.tf", "    service_account_email = google_service_account.runtime.email\n", "", "rule accounts_are_our_own"),
    Mistake("default account for the build", "function.tf", "    service_account   = google_service_account.build.id\n", "", "rule accounts_are_our_own"),
    Mistake("build reads every bucket", "build.tf", "  condition {\n    title       = \"function-sources-only\"\n    description = \"Only the bucket where Cloud Functions keeps the source it builds\"\n    expression  = \"resource.name.startsWith(\\\"projects/_/buckets/gcf-v2-sources-${data.google_project.this.number}-${var.region}/\\\")\"\n  }\n", "", "rule project_wide_roles_are_listed"),
    Mistake("unbounded instances", "function.tf", "max_instance_count = 1", "max_instance_count = 100", "rule instances_are_bounded"),
    Mistake("several requests on a fraction of a CPU", "function.tf", 'available_cpu         = "1"', 'available_cpu         = "0.5"', "validate"),
    Mistake("one request at a time", "function.tf", "max_instance_request_concurrency = 4", "max_instance_request_concurrency = 1", "rule instances_are_bounded"),
    Mistake("key in the environment", "function.tf", 'SYNC_CONFIG          = "sync.yaml"', 'SYNC_CONFIG          = "sync.yaml"\n      AITO_API_KEY         = "k"', "rule environment_is_what_the_code_reads"),
    Mistake("secret in the state", "secret.tf", "# A secret that somebody else made", 'resource "google_secret_manager_secret_version" "key" {\n  secret      = google_secret_manager_secret.key[0].id\n  secret_data = "k"\n}\n\n# A secret that somebody else made', "rule no_key_anywhere"),
    Mistake("environment variable misspelt", "function.tf", "SYNC_CONFIG         ", "SYNC_CONFIG_FILE    ", "rule environment_is_what_the_code_reads"),
    Mistake("object name without the hash", "source.tf", '"${data.archive_file.source.output_sha256}.zip"', '"source.zip"', "rule the_zip_holds_what_runs"),
    Mistake("tests and notes in the zip", "source.tf", 'fileset(local.root, "sync/**")', 'fileset(local.root, "**")', "rule the_zip_holds_what_runs"),
    Mistake("public bucket", "source.tf", '"enforced"', '"inherited"', "rule buckets_are_private"),
    Mistake("bucket deleted with its content", "source.tf", "force_destroy               = false", "force_destroy               = true", "rule buckets_are_private"),
    Mistake("job without a token", "schedule.tf", '    body        = base64encode(jsonencode({ action = "sync" }))\n\n    oidc_token {\n      service_account_email = google_service_account.invoker.email\n      audience              = google_cloudfunctions2_function.sync.service_config[0].uri\n    }\n', '    body        = base64encode(jsonencode({ action = "sync" }))\n', "rule jobs_call_with_a_token_and_try_again"),
    Mistake("token for another audience", "schedule.tf", "      audience              = google_cloudfunctions2_function.sync.service_config[0].uri", '      audience              = "https://example.com"', "test defaults/schedule"),
    Mistake("body not in base64", "schedule.tf", 'base64encode(jsonencode({ action = "sync" }))', 'jsonencode({ action = "sync" })', "validate"),
    Mistake("body without JSON content type", "schedule.tf", '"application/json"', '"application/octet-stream"', "rule jobs_call_with_a_token_and_try_again"),
    Mistake("watch that syncs", "schedule.tf", '{ action = "watch" }', '{ action = "sync" }', "rule jobs_call_with_a_token_and_try_again"),
    Mistake("topic's name for its id", "topic.tf", "dead_letter_topic     = google_pubsub_topic.dead.id", "dead_letter_topic     = google_pubsub_topic.dead.name", "rule messages_are_pushed_and_never_lost"),
    Mistake("dead letters that nobody keeps", "topic.tf", "topic                      = google_pubsub_topic.dead.id", "topic                      = google_pubsub_topic.runs.id", "test defaults/topic"),
    Mistake("Pub/Sub may not forward dead letters", "topic.tf", '"roles/pubsub.subscriber"', '"roles/pubsub.viewer"', "rule messages_are_pushed_and_never_lost"),
    Mistake("no back-off between deliveries", "topic.tf", '  retry_policy {\n    minimum_backoff = "${local.retry_minimum_seconds}s"\n    maximum_backoff = "${local.retry_maximum_seconds}s"\n  }\n\n', "", "rule messages_are_pushed_and_never_lost"),
    Mistake("push without a token", "topic.tf", "\n    oidc_token {\n      service_account_email = google_service_account.invoker.email\n      audience              = google_cloudfunctions2_function.sync.service_config[0].uri\n    }\n", "", "rule messages_are_pushed_and_never_lost"),
    Mistake("subscription that expires", "topic.tf", 'ttl = "" # never: a subscription that slept a month is still wanted', 'ttl = "2678400s"', "rule messages_are_pushed_and_never_lost"),
    Mistake("partition by a column that is not there", "ledger.tf", 'rejects     = { partition = "rejected_at"', 'rejects     = { partition = "created_at"', "rule ledger_is_the_columns_of_the_code"),
    Mistake("ledger table without a file", "ledger.tf", 'runs        = { partition = "started_at", days = 400 }', 'runs        = { partition = "started_at", days = 400 }\n    errors      = { partition = null, days = null }', "plan"),
    Mistake("ledger unprotected", "ledger.tf", "deletion_protection = true", "deletion_protection = false", "rule ledger_is_the_columns_of_the_code"),
    Mistake("an event that nobody logs", "alerts.tf", 'event=\\"purge_refused\\"', 'event=\\"purge_denied\\"', "rule alarms_speak_the_logs_language"),
    Mistake("a field that nobody logs", "metrics.tf", 'field = "ok_age_seconds"', 'field = "ok_age"', "rule alarms_speak_the_logs_language"),
    Mistake("first-generation log filter", "metrics.tf", 'resource.type=\\"cloud_run_revision\\" AND resource.labels.service_name', 'resource.type=\\"cloud_function\\" AND resource.labels.function_name', "rule alarms_speak_the_logs_language"),
    Mistake("alarm to nobody", "alerts.tf", 'display_name          = "${var.name}: nothing logged"\n  severity              = "CRITICAL"\n  combiner              = "OR"\n  notification_channels = [google_monitoring_notification_channel.email.id]\n', 'display_name = "${var.name}: nothing logged"\n  severity     = "CRITICAL"\n  combiner     = "OR"\n', "rule alarms_reach_somebody_and_say_what_to_do"),
    Mistake("alarm refused on the first apply", "alerts.tf", "disable_metric_validation = true", "disable_metric_validation = false", "rule alarms_reach_somebody_and_say_what_to_do"),
    Mistake("dashboard that is no dashboard", "dashboard.tf", "mosaicLayout = {", "mosaic = {", "plan"),
    Mistake("a random suffix", "providers.tf", "    google = {", '    random = {\n      source  = "hashicorp/random"\n      version = "~> 3.0"\n    }\n    google = {', "init"),
    Mistake("a grant that takes the role from others", "sources.tf", 'resource "google_project_iam_member" "runtime_jobs" {\n  project = local.jobs_project\n  role    = "roles/bigquery.jobUser"\n  member  = google_service_account.runtime.member', 'resource "google_project_iam_binding" "runtime_jobs" {\n  project = local.jobs_project\n  role    = "roles/bigquery.jobUser"\n  members = [google_service_account.runtime.member]', "rule project_wide_roles_are_listed"),
]  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository without a mistake, ready to plan."""
    folder = copy_to(tmp_path_factory.mktemp("sound"))
    ready(folder)
    if not offline():
        give_up("the mistakes are judged by plans and API limits, which need the offline check")
    return folder


def catcher(folder: Path, tests: tuple[str, ...] = ()) -> tuple[str, str]:
    """Who catches what is wrong in a folder, and what they say; ("nobody", "") for a sound one."""
    script = (
        "terraform fmt -check -recursive >/dev/null || { echo CAUGHT fmt; exit 1; }\n"
        f"{INIT_AGAIN} || {{ echo CAUGHT init; cat said.txt; exit 1; }}\n"
        f"({plan_script()}) >said.txt 2>&1 && exit 0\n"
        "terraform validate -no-color >valid.txt 2>&1 && echo CAUGHT plan || echo CAUGHT validate; cat said.txt; exit 1\n"
    )
    done = terraform(folder, script)
    if done.returncode:
        found = re.search(r"CAUGHT (\w+)(.*)", done.stdout, re.S)
        assert found, done.stdout + done.stderr
        return found[1], first_error(found[2])
    plan = read_plan(folder)
    for rule in RULES:
        try:
            rule(plan)
        except AssertionError as error:
            return f"rule {rule.__name__}", str(error).split("\n")[0]
    for name in tests:
        done = terraform(folder, f"terraform test -no-color -filter=tests/{name}.tftest.hcl")
        failed = re.search(r'run "(\w+)"\.\.\. fail', done.stdout)
        if failed:
            return f"test {name}/{failed[1]}", first_error(done.stdout + done.stderr)
    return "nobody", ""


INIT_AGAIN = "terraform init -input=false -no-color >said.txt 2>&1"


def first_error(text: str) -> str:
    """The first error of terraform's, in one line."""
    found = re.search(r"Error: (.*)", text, re.S)
    return " ".join((found[1] if found else text).split())[:160]


def test_a_sound_deployment_is_caught_by_nobody(sound: Path) -> None:
    """Without a mistake nothing cries, so a cry means something."""
    assert catcher(sound) == ("nobody", "")


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.what)
def test_every_mistake_is_caught(mistake: Mistake, sound: Path, tmp_path: Path) -> None:
    """Each mistake is stopped by what the list says."""
    shutil.copytree(sound.parent, tmp_path / "repository")
    folder = tmp_path / "repository" / "terraform"
    text = (folder / mistake.file).read_text()
    assert mistake.old in text, f"{mistake.file} no longer holds {mistake.old!r}"
    (folder / mistake.file).write_text(text.replace(mistake.old, mistake.new, 1))
    if mistake.caught != "fmt":
        terraform(folder, "terraform fmt -recursive >/dev/null")
    # A file of terraform tests takes seconds: only the one that is expected to catch it is run.
    tests = (mistake.caught.removeprefix("test ").split("/")[0],) if mistake.caught.startswith("test ") else ()
    who, said = catcher(folder, tests)
    print(f"\n{mistake.what}: {who}: {said}")
    assert who == mistake.caught
