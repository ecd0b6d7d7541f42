"""What must be true of every plan of this deployment.

Each rule's docstring says it; each fails with the offender.
"""

from __future__ import annotations

import ast
import base64
import functools
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from typing import Any, get_args

import yaml

from sync.base.events import Event
from sync.model.request import Action
from tests.terraform.tools import ROOT, Plan

Rule = Callable[[Plan], None]
RULES: list[Rule] = []

BASIC_ROLES = {"roles/owner", "roles/editor", "roles/viewer", "roles/browser"}

# Set by Terraform, read by the framework and not by us.
FRAMEWORK_VARIABLES = {
    "LOG_EXECUTION_ID": "functions-framework marks every line with the execution it belongs to"
}

# Read by us, and set by Cloud Run itself.
PLATFORM_VARIABLES = {"K_SERVICE": "the service's name: the page then links to its log"}

# Read by us or by Google's clients, and never set in the cloud.
LAPTOP_VARIABLES = {
    "AITO_API_KEY": "the key itself: in the cloud it comes from Secret Manager",
    "BIGQUERY_EMULATOR_HOST": "switches to an emulator with anonymous credentials",
    "PUBSUB_EMULATOR_HOST": "switches Google's Pub/Sub client to an emulator",
    "SECRET_MANAGER_EMULATOR_HOST": "switches to a stand-in with anonymous credentials",
}

# The roles a whole project has to be asked for, whom they go to, and why there is no smaller place.
PROJECT_ROLES = {
    ("roles/bigquery.jobUser", "run"): "jobs belong to a project; opens no data",
    ("roles/logging.logWriter", "build"): "logs belong to a project; writes only",
    (
        "roles/storage.objectViewer",
        "build",
    ): "narrowed by its condition to the bucket of function sources",
}


def rule(function: Rule) -> Rule:
    """Put a rule on the list."""
    RULES.append(function)
    return function


def members(plan: Plan) -> list[tuple[str, str, str]]:
    """Every grant: address, role, member ("" while unknown)."""
    return [
        (r.address, r.values["role"], str(r.values.get("member") or ""))
        for r in plan.resources
        if re.search(r"_iam_(member|binding|policy)$", r.type)
    ]


def service(plan: Plan) -> dict[str, Any]:
    """The function's service_config."""
    config: dict[str, Any] = plan.one("google_cloudfunctions2_function.sync")["service_config"][0]
    return config


def seconds(text: str) -> float:
    """A duration as Google writes it."""
    return float(text.removesuffix("s"))


@functools.cache
def variables_read() -> set[str]:
    """Every environment variable that main.py and sync/ read by name."""
    found: set[str] = set()
    for path in [ROOT / "main.py", *sorted((ROOT / "sync").rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text())):
            found |= _names_read(node)
    return found


def _names_read(node: ast.AST) -> set[str]:
    of_environment = re.compile(r"\b(os\.)?env(iron(ment)?)?\b", re.I)
    candidates: list[ast.expr] = []
    match node:
        case ast.Subscript(value=value, slice=index) if of_environment.search(ast.unparse(value)):
            candidates = [index]
        case ast.Call(func=ast.Attribute(value=value, attr="get" | "pop"), args=[first, *_]) if (
            of_environment.search(ast.unparse(value))
        ):
            candidates = [first]
        case ast.Call(func=function, args=[first, *_]) if ast.unparse(function).endswith("getenv"):
            candidates = [first]
        case ast.Compare(left=left, comparators=[right]) if of_environment.search(
            ast.unparse(right)
        ):
            candidates = [left]
    return {c.value for c in candidates if isinstance(c, ast.Constant) and isinstance(c.value, str)}


@rule
def nobody_public(plan: Plan) -> None:
    """allUsers, allAuthenticatedUsers and whole domains are granted nothing."""
    for address, role, member in members(plan):
        assert not re.match(r"all(Authenticated)?Users|domain:", member), (
            f"{address} gives {role} to {member}"
        )


@rule
def no_basic_roles(plan: Plan) -> None:
    """Owner, editor and viewer are never granted."""
    for address, role, _ in members(plan):
        assert role not in BASIC_ROLES, f"{address} grants {role}"


@rule
def project_wide_roles_are_listed(plan: Plan) -> None:
    """A role in a whole project is one of three, each with a reason; none of them opens data."""
    seen = set()
    for grant in plan.of("google_project_iam_member"):
        who = next(
            (w for w in ("run", "build", "call") if f"-{w}@" in (grant.values.get("member") or "")),
            None,
        )
        who = who or (
            "build"
            if grant.name.startswith("build")
            else "run"
            if grant.name.startswith("runtime")
            else "?"
        )
        pair = (grant.values["role"], who)
        assert pair in PROJECT_ROLES, f"{grant.address} grants {pair[0]} in the whole project"
        narrowed = bool(grant.values.get("condition"))
        assert narrowed or pair[0] != "roles/storage.objectViewer", (
            f"{grant.address} lost its condition"
        )
        seen.add(pair)
    assert seen == set(PROJECT_ROLES), f"missing: {set(PROJECT_ROLES) - seen}"
    assert not plan.of("google_project_iam_binding"), (
        "a binding would take the role from everybody else"
    )


@rule
def no_binding_takes_from_others(plan: Plan) -> None:
    """Grants add one member; bindings and policies, which remove what others granted, are not
    used.
    """
    for r in plan.resources:
        assert not re.search(r"_iam_(binding|policy)$", r.type), r.address


@rule
def instances_are_bounded(plan: Plan) -> None:
    """One instance, nothing kept warm, a few requests at a time on a whole vCPU, a time-out and
    memory written down.
    """
    config = service(plan)
    assert config["max_instance_count"] == 1, "max_instance_count"
    assert config["min_instance_count"] == 0, "min_instance_count"
    assert 2 <= (config["max_instance_request_concurrency"] or 0) <= 10, (
        "max_instance_request_concurrency"
    )
    assert float(config["available_cpu"] or 0) >= 1, "available_cpu"
    assert config["timeout_seconds"], "timeout_seconds"
    assert config["available_memory"], "available_memory"
    assert config["ingress_settings"] in ("ALLOW_ALL", "ALLOW_INTERNAL_ONLY"), "ingress_settings"


@rule
def accounts_are_our_own(plan: Plan) -> None:
    """Runtime, build and invoker are three accounts made here; nothing falls back to the default
    compute account.
    """
    accounts = {r.name for r in plan.of("google_service_account")}
    assert accounts == {"runtime", "build", "invoker"}, accounts
    used = _references(plan, "google_cloudfunctions2_function.sync")
    assert "google_service_account.runtime.email" in used, "the function's runtime account"
    assert "google_service_account.build.id" in used, "the function's build account"


@rule
def environment_is_what_the_code_reads(plan: Plan) -> None:
    """What is set is read by main.py, sync/ or the framework; what is read is set, or only for
    laptops.
    """
    given, read = set(service(plan)["environment_variables"] or {}), variables_read()
    assert not given & set(LAPTOP_VARIABLES), f"for laptops only: {given & set(LAPTOP_VARIABLES)}"
    unread = given - set(FRAMEWORK_VARIABLES) - read
    assert not unread, f"set and read by nobody: {unread}"
    unset = read - given - set(LAPTOP_VARIABLES) - set(PLATFORM_VARIABLES)
    assert not unset, f"read and not set: {unset}"


@rule
def no_key_anywhere(plan: Plan) -> None:
    """No secret version is made here, and the function's environment refers to no secret."""
    assert not plan.of("google_secret_manager_secret_version"), "a version holds the key"
    assert not service(plan).get("secret_environment_variables"), "a secret in the environment"
    assert not service(plan).get("secret_volumes"), "a secret as a file"
    for name, value in (service(plan)["environment_variables"] or {}).items():
        assert not re.search(r"KEY|TOKEN|PASSWORD|SECRET", name), (
            f"{name} looks like a secret: {value}"
        )


@rule
def one_reader_of_the_secret(plan: Plan) -> None:
    """Exactly one account may read the key, on the secret itself."""
    grants = [r for r in plan.resources if r.type.startswith("google_secret_manager_secret_iam")]
    roles = [(g.name, g.values["role"]) for g in grants]
    assert roles == [("runtime", "roles/secretmanager.secretAccessor")], f"granted: {roles}"
    used = _references(plan, "google_secret_manager_secret_iam_member.runtime")
    assert "google_service_account.runtime.member" in used, (
        "somebody else than the function reads the key"
    )


@rule
def callers_are_named(plan: Plan) -> None:
    """run.invoker goes to the invoker account and to var.callers, on the service, and again to a
    function made anew.
    """
    grants = plan.of("google_cloud_run_v2_service_iam_member")
    assert {g.name for g in grants} <= {"invoker", "callers"}
    assert "invoker" in {g.name for g in grants}, "nobody may call"
    assert {g.values["role"] for g in grants} == {"roles/run.invoker"}, (
        "a caller needs run.invoker, and only that"
    )
    used = _references(plan, "google_cloud_run_v2_service_iam_member.invoker")
    assert "google_service_account.invoker.member" in used, "the invoker is not the invoker account"
    assert "google_cloudfunctions2_function.sync.id" in used, (
        "a function made anew would be called by nobody"
    )


@rule
def jobs_call_with_a_token_and_try_again(plan: Plan) -> None:
    """Each action is POSTed as JSON with an OIDC token, inside Google's limits, and repeated when
    it fails.
    """
    jobs = {r.name: r.values for r in plan.of("google_cloud_scheduler_job")}
    assert {"sync", "watch"} <= set(jobs) <= set(get_args(Action))
    for name, job in jobs.items():
        target = job["http_target"][0]
        assert target["http_method"] == "POST", f"{name}: method"
        assert (target["headers"] or {}).get("Content-Type") == "application/json", (
            f"{name}: content type"
        )
        assert json.loads(base64.b64decode(target["body"])) == {"action": name}, f"{name}: body"
        assert target["oidc_token"], f"{name}: no token"
        used = _references(plan, f"google_cloud_scheduler_job.{name}")
        assert "google_service_account.invoker.email" in used, f"{name}: account of the token"
        assert (
            15 <= seconds(job["attempt_deadline"]) <= min(1800, service(plan)["timeout_seconds"])
        ), f"{name}: deadline"
        assert job["retry_config"], f"{name}: no retries"
        assert 1 <= job["retry_config"][0]["retry_count"] <= 5, f"{name}: retries"
        assert job["time_zone"], f"{name}: time zone"


@rule
def budget_fits_every_clock(plan: Plan) -> None:
    """The run's own budget ends before Scheduler hangs up, and before Pub/Sub delivers again when
    a topic is set.
    """
    config = configuration(plan)
    budget = config.get("time_budget_seconds", 1500)
    assert budget < seconds(plan.one("google_cloud_scheduler_job.sync")["attempt_deadline"])
    if config.get("topic"):
        assert budget < plan.one("google_pubsub_subscription.runs")["ack_deadline_seconds"]


@rule
def messages_are_pushed_and_never_lost(plan: Plan) -> None:
    """The subscription pushes with a token, backs off, and hands what cannot be delivered to a
    topic that keeps it.
    """
    runs = plan.one("google_pubsub_subscription.runs")
    assert 10 <= runs["ack_deadline_seconds"] <= 600, "ack deadline"
    assert runs["push_config"], "push"
    assert runs["push_config"][0]["oidc_token"], "no token"
    assert runs["retry_policy"], "no back-off"
    assert runs["dead_letter_policy"], "no dead letters"
    for name in ("runs", "dead"):
        assert plan.one(f"google_pubsub_subscription.{name}")["expiration_policy"] == [
            {"ttl": ""}
        ], f"{name} expires"
    forward = plan.one("google_pubsub_topic_iam_member.dead_pubsub")["role"]
    assert forward == "roles/pubsub.publisher", "Pub/Sub may not publish dead letters"
    release = plan.one("google_pubsub_subscription_iam_member.runs_pubsub")["role"]
    assert release == "roles/pubsub.subscriber", (
        "Pub/Sub may not take dead letters off the subscription"
    )
    signing = plan.one("google_service_account_iam_member.invoker_pubsub")["role"]
    assert signing == "roles/iam.serviceAccountOpenIdTokenCreator", signing
    used = _references(plan, "google_pubsub_subscription.runs")
    assert "google_pubsub_topic.dead.id" in used, "the dead-letter topic is named by its id"
    publishers = {r.name for r in plan.of("google_pubsub_topic_iam_member")}
    assert ("runs_runtime" in publishers) == bool(configuration(plan).get("topic")), (
        "the function publishes when told"
    )


@rule
def data_is_opened_set_by_set(plan: Plan) -> None:
    """dataViewer on the configured sources' datasets, dataEditor on the ledger, and no other
    BigQuery grant.
    """
    config = configuration(plan)
    jobs = plan.one("google_project_iam_member.runtime_jobs")["project"]
    default = (config.get("bigquery") or {}).get("project") or jobs
    sources = [t["source"].split(".") for t in config["tables"] if t.get("source")]
    wanted = {(s[0], s[1]) if len(s) == 3 else (default, s[0]) for s in sources}
    # Which are extra is only in the document of a plan, not in what `terraform test` tells of one.
    named = plan.document.get("variables", {}).get("source_datasets", {}).get("value") or []
    extra = {tuple(d.split(".")) if "." in d else (default, d) for d in named}
    grants = [r for r in plan.resources if r.type.startswith("google_bigquery_dataset_iam")]
    viewers = [g.values for g in grants if g.values["role"] == "roles/bigquery.dataViewer"]
    viewed = {(g["project"], g["dataset_id"]) for g in viewers}
    if "variables" not in plan.document:
        extra = viewed - wanted
    assert viewed == wanted | extra, f"readable: {viewed}; configured: {wanted | extra}"
    edited = {
        (g.name, g.values["dataset_id"])
        for g in grants
        if g.values["role"] != "roles/bigquery.dataViewer"
    }
    assert edited == {("ledger_runtime", config.get("ledger", "aito_sync").split(".")[-1])}, edited
    assert not plan.of("google_bigquery_table_iam_member"), "tables"


@rule
def ledger_is_the_columns_of_the_code(plan: Plan) -> None:
    """Each ledger table has the columns of its file, its partition column among them, an expiry
    (evaluations are kept for ever), and is protected. The ledger is where the sources are.
    """
    files = {p.stem: json.loads(p.read_text()) for p in (ROOT / "sync" / "ledger").glob("*.json")}
    tables = {r.values["table_id"]: r.values for r in plan.of("google_bigquery_table")}
    assert set(tables) == set(files)
    for name, table in tables.items():
        assert json.loads(table["schema"]) == files[name], name
        assert table["deletion_protection"], name
        partition = table["time_partitioning"]
        assert bool(partition) == (name not in ("checkpoints", "leases")), name
        if partition:
            assert partition[0]["field"] in {c["name"] for c in files[name]}, name
            kept_for_ever = partition[0].get("expiration_ms") is None
            assert kept_for_ever == (name == "evaluations"), name
    dataset = plan.one("google_bigquery_dataset.ledger")
    assert not dataset["delete_contents_on_destroy"]
    for address in ("google_bigquery_dataset.ledger", "google_bigquery_table.ledger"):
        assert re.search(r"prevent_destroy += true\n", _block(plan, address)), address
    asked = (configuration(plan).get("bigquery") or {}).get("location")
    assert dataset["location"] == asked, f"the ledger is in {dataset['location']}"


@rule
def the_zip_holds_what_runs(plan: Plan) -> None:
    """main.py, sync/, requirements.txt and the configuration are in the zip, and its hash is its
    name.
    """
    names = set(zipfile.ZipFile(io.BytesIO(plan.zip)).namelist())
    code = {n for n in names if n.startswith("sync/")}
    assert names - code == {"main.py", "requirements.txt", "sync.yaml"}, (
        f"in the zip: {sorted(names - code)[:8]}"
    )
    assert "sync/config/reader.py" in code, "sync/ is not in the zip"
    made = hashlib.sha256(plan.zip).hexdigest()
    assert plan.one("google_storage_bucket_object.source")["name"] == f"{made}.zip", (
        "the hash is not in the name"
    )


@rule
def buckets_are_private(plan: Plan) -> None:
    """The source bucket lets nobody public in, by one kind of permission, and is not deleted with
    content in it.
    """
    for bucket in plan.of("google_storage_bucket"):
        assert bucket.values["public_access_prevention"] == "enforced", bucket.address
        assert bucket.values["uniform_bucket_level_access"], bucket.address
        assert not bucket.values["force_destroy"], bucket.address


ALARMS = {
    *("crashed", "dead_letters", "evaluation", "failed", "gave_up", "never_ok"),
    *("not_run", "rejects", "silence", "stale", "warning"),
}
PARTS = ("**What it means.**", "**Type**", "**Do not**", "docs/runbook.md", "services proxy")


@rule
def alarms_reach_somebody_and_say_what_to_do(plan: Plan) -> None:
    """Each alarm goes to every channel, with a subject that names the deployment, a text that says
    what to type, and links.
    """
    alarms = {r.address: r for r in plan.of("google_monitoring_alert_policy")}
    names = {re.sub(r".*\[\"(.*)\"]", r"\1", a).split(".")[-1] for a in alarms}
    assert names == ALARMS, names ^ ALARMS
    name = plan.one("google_cloudfunctions2_function.sync")["name"]
    for address, alarm in alarms.items():
        block = _block(plan, address)
        assert re.search(r"notification_channels += local\.channels\n", block), (
            f"{address} tells nobody"
        )
        document = alarm.values["documentation"][0]
        assert document["subject"].startswith(f"{name}: "), address
        missing = [part for part in PARTS if part not in document["content"]]
        assert not missing, f"{address} does not say {missing}"
        assert len(document["links"]) >= 2, f"{address} has no links"


# Fields of a line that stay the same as long as the state does. `message`: of a run that
# could not begin.
STATE = {"code", "message", "name", "status", "summary", "table"}


@rule
def an_alarm_is_a_state(plan: Plan) -> None:
    """One mail for a state and day: no label differs from run to run, and the end is not mailed."""
    for alarm in plan.of("google_monitoring_alert_policy"):
        strategy = alarm.values["alert_strategy"][0]
        assert strategy["notification_prompts"] == ["OPENED"], alarm.address
        for line in alarm.values["conditions"][0]["condition_matched_log"]:
            labels = set(re.findall(r"jsonPayload\.(\w+)", json.dumps(line["label_extractors"])))
            assert labels <= STATE, f"{alarm.address}: {labels - STATE} may differ from run to run"
            limit = strategy["notification_rate_limit"]
            assert limit, f"{alarm.address} mails each line"
            assert seconds(limit[0]["period"]) >= 86400, f"{alarm.address} mails by the hour"
        for query in alarm.values["conditions"][0]["condition_prometheus_query_language"]:
            assert query["disable_metric_validation"], "refused on the first apply"


@rule
def what_waits_for_an_upstream_is_no_alarm_yet(plan: Plan) -> None:
    """A failed table that is `retryable` raises no alarm by itself, but when the retries are
    spent.
    """
    failed = plan.one('google_monitoring_alert_policy.alarm["failed"]')
    text = failed["conditions"][0]["condition_matched_log"][0]["filter"]
    assert "severity>=ERROR" in text
    assert "NOT jsonPayload.retryable=true" in text
    waiting = plan.one('google_logging_metric.count["waiting"]')["filter"]
    assert "jsonPayload.retryable=true" in waiting


@rule
def alarms_speak_the_logs_language(plan: Plan) -> None:
    """Every event and field in a filter, an extractor or a metric is one that the code writes."""
    text = plan.text.replace("\\", "")
    events = set(re.findall(r'jsonPayload\.event="(\w+)"', text))
    assert events, "no filter names an event"
    known = set(get_args(Event))
    assert events <= known, f"unknown events: {events - known}"
    fields = set(re.findall(r"jsonPayload\.(\w+)", text)) - {"event", "message"}
    unknown = {f for f in fields if f not in FIELDS}
    assert not unknown, f"unknown fields: {unknown}"
    for r in [*plan.of("google_logging_metric")]:
        assert 'resource.type="cloud_run_revision"' in r.values["filter"], (
            f"{r.address}: gen2 logs as Cloud Run"
        )


# The fields of the log lines that Terraform relies on (README, "Logs").
FIELDS = {
    "accuracy",
    "action",
    "age_seconds",
    "aito_calls",
    "bytes_processed",
    "code",
    "deleted",
    "empty_seconds",
    "error",
    "name",
    "ok_age_seconds",
    "open_rejects",
    "purged",
    "rejected",
    "retryable",
    "seconds",
    "status",
    "summary",
    "table",
    "uploaded",
}


@rule
def the_watch_is_not_counted_as_a_load(plan: Plan) -> None:
    """Numbers of `table_done` leave out the watch's lines, whose zeros would halve the
    night's mean.
    """
    for metric in plan.of("google_logging_metric"):
        text = metric.values["filter"]
        if 'event="table_done"' in text:
            assert 'jsonPayload.action="sync"' in text, metric.address
            assert "watch" not in text, metric.address


@rule
def the_dashboard_shows_what_is_measured(plan: Plan) -> None:
    """Every metric is on the dashboard or in an alarm."""
    board = json.loads(plan.one("google_monitoring_dashboard.sync")["dashboard_json"])
    assert board["mosaicLayout"]["tiles"]
    shown = json.dumps(board) + json.dumps(
        [r.values for r in plan.of("google_monitoring_alert_policy")]
    )
    for metric in plan.of("google_logging_metric"):
        name = str(metric.values["name"])
        assert f"user/{name}" in shown or f"user_{name.replace('-', '_')}" in shown, name


@rule
def everything_is_pinned_and_from_two_providers(plan: Plan) -> None:
    """google and archive in one version each, and nothing that makes up names."""
    pins = dict(re.findall(r'source\s+= "hashicorp/(\w+)"\s+version = "([^"]+)"', plan.source))
    assert set(pins) == {"archive", "google"}, pins
    assert len(re.findall(r'source\s+= "hashicorp/', plan.source)) == len(pins)
    loose = {name: pin for name, pin in pins.items() if not re.fullmatch(r"\d+\.\d+\.\d+", pin)}
    assert not loose, f"more than one version would do: {loose}"
    kinds = {r.type.split("_")[0] for r in plan.resources}
    assert kinds == {"google", "terraform"}, kinds


@rule
def pause_stops_every_job_and_nothing_else_is_paused(plan: Plan) -> None:
    """All jobs carry the one variable `pause`."""
    jobs = plan.of("google_cloud_scheduler_job")
    for job in jobs:
        assert re.search(r"paused += var\.pause\n", _block(plan, job.address)), job.address
    assert len({job.values["paused"] for job in jobs}) == 1


def configuration(plan: Plan) -> dict[str, Any]:
    """The configuration that is deployed: the one in the zip."""
    loaded: dict[str, Any] = yaml.safe_load(zipfile.ZipFile(io.BytesIO(plan.zip)).read("sync.yaml"))
    return loaded


def _block(plan: Plan, address: str) -> str:
    """The text of one resource's block."""
    kind, name = address.split("[")[0].split(".")
    block = re.search(rf'^resource "{kind}" "{name}" {{\n(.*?)^}}', plan.source, re.M | re.S)
    assert block, f"{address} is not in the files"
    return block[1]


def _references(plan: Plan, address: str) -> set[str]:
    """Every attribute of another resource that one resource's block names."""
    block = _block(plan, address).replace("[*]", "")
    return set(re.findall(r"\bgoogle_\w+\.\w+\.\w+", block))
