# What an installation gets that says nothing but project and e-mail.

mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  project_id  = "example-project"
  alert_email = "data-team@example.com"
  config_file = "tests/configs/default.yaml"
}

run "function" {
  command = plan

  assert {
    condition     = google_cloudfunctions2_function.sync.service_config[0].max_instance_count == 1
    error_message = "one instance bounds the cost and the load on Aito"
  }
  assert {
    condition     = google_cloudfunctions2_function.sync.service_config[0].available_cpu == "1" && google_cloudfunctions2_function.sync.service_config[0].max_instance_request_concurrency > 1
    error_message = "the page and the watch must answer while a sync runs; that takes a whole vCPU"
  }
  assert {
    condition     = google_cloudfunctions2_function.sync.service_config[0].timeout_seconds == 2100
    error_message = "the function's time-out is set, to what the longest caller waits and one slow query"
  }
  assert {
    condition     = google_cloudfunctions2_function.sync.service_config[0].service_account_email == google_service_account.runtime.email && google_cloudfunctions2_function.sync.build_config[0].service_account == google_service_account.build.id
    error_message = "the function and its build have accounts of their own"
  }
  assert {
    condition     = google_cloudfunctions2_function.sync.build_config[0].entry_point == "sync"
    error_message = "main.py's entry point is sync"
  }
  assert {
    condition     = length(google_cloudfunctions2_function.sync.service_config[0].secret_environment_variables) == 0 && length(google_cloudfunctions2_function.sync.service_config[0].secret_volumes) == 0
    error_message = "no secret in the environment: a function that refers to a secret cannot be made before the secret has a version"
  }
  assert {
    condition     = google_cloudfunctions2_function.sync.service_config[0].environment_variables["LOG_EXECUTION_ID"] == "true"
    error_message = "lines of one execution can be told from another's"
  }
}

run "source" {
  command = plan

  assert {
    condition     = google_storage_bucket_object.source.name == "${data.archive_file.source.output_sha256}.zip"
    error_message = "the hash is in the object's name, or changed code deploys nothing"
  }
  assert {
    condition     = google_storage_bucket.source.public_access_prevention == "enforced" && google_storage_bucket.source.uniform_bucket_level_access && !google_storage_bucket.source.force_destroy
    error_message = "the source bucket is private"
  }
}

run "schedule" {
  command = plan

  assert {
    condition     = google_cloud_scheduler_job.sync.schedule == "15 3 * * *" && google_cloud_scheduler_job.watch.schedule == "*/10 * * * *"
    error_message = "a nightly sync, and a watch every ten minutes: Aito keeps an evaluation's result about fifteen"
  }
  assert {
    condition     = google_cloud_scheduler_job.reconcile[0].schedule == "15 9 * * 0" && jsondecode(base64decode(google_cloud_scheduler_job.reconcile[0].http_target[0].body)).action == "reconcile"
    error_message = "a weekly look for what came late"
  }
  assert {
    condition     = jsondecode(base64decode(google_cloud_scheduler_job.sync.http_target[0].body)).action == "sync" && jsondecode(base64decode(google_cloud_scheduler_job.watch.http_target[0].body)).action == "watch"
    error_message = "each job asks for its own action"
  }
  assert {
    condition     = alltrue([for j in [google_cloud_scheduler_job.sync, google_cloud_scheduler_job.watch] : j.http_target[0].http_method == "POST" && j.http_target[0].headers["Content-Type"] == "application/json"])
    error_message = "a POST without the JSON content type arrives as a form"
  }
  assert {
    condition     = alltrue([for j in [google_cloud_scheduler_job.sync, google_cloud_scheduler_job.watch] : j.http_target[0].oidc_token[0].service_account_email == google_service_account.invoker.email && j.http_target[0].oidc_token[0].audience == "https://aito-sync-abc-ew.a.run.app"])
    error_message = "calls carry a token of the invoker for exactly this service"
  }
  assert {
    condition     = alltrue([for j in [google_cloud_scheduler_job.sync, google_cloud_scheduler_job.watch] : j.retry_config[0].retry_count > 0])
    error_message = "Scheduler's own retry count is zero"
  }
  assert {
    condition     = google_cloud_scheduler_job.sync.attempt_deadline == "1800s"
    error_message = "Scheduler's own deadline is three minutes"
  }
}

run "topic" {
  command = plan

  assert {
    condition     = google_pubsub_subscription.runs.ack_deadline_seconds == 600 && google_pubsub_subscription.runs.push_config[0].push_endpoint == "https://aito-sync-abc-ew.a.run.app"
    error_message = "messages are pushed to the same function, with the longest acknowledgement deadline"
  }
  assert {
    condition     = google_pubsub_subscription.runs.push_config[0].oidc_token[0].service_account_email == google_service_account.invoker.email && google_pubsub_subscription.runs.push_config[0].oidc_token[0].audience == "https://aito-sync-abc-ew.a.run.app"
    error_message = "a push carries a token of the invoker for exactly this service"
  }
  assert {
    condition     = google_pubsub_subscription.runs.retry_policy[0].minimum_backoff == "60s" && google_pubsub_subscription.runs.retry_policy[0].maximum_backoff == "600s"
    error_message = "without a retry policy Pub/Sub tries again at once"
  }
  assert {
    condition     = google_pubsub_subscription.runs.dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.dead.id && google_pubsub_subscription.dead.topic == google_pubsub_topic.dead.id
    error_message = "dead letters go to a topic that keeps them"
  }
  assert {
    condition     = google_pubsub_subscription.runs.expiration_policy[0].ttl == "" && google_pubsub_subscription.dead.expiration_policy[0].ttl == ""
    error_message = "subscriptions do not expire after a quiet month"
  }
}

run "ledger" {
  command = plan

  assert {
    condition     = google_bigquery_dataset.ledger.dataset_id == "aito_sync" && google_bigquery_dataset.ledger.location == "EU"
    error_message = "the ledger is where the configuration says"
  }
  assert {
    condition     = toset(keys(google_bigquery_table.ledger)) == toset(["checkpoints", "evaluations", "leases", "rejects", "runs"])
    error_message = "one table for each file of sync/ledger"
  }
  assert {
    condition     = google_bigquery_table.ledger["runs"].time_partitioning[0].field == "started_at" && google_bigquery_table.ledger["evaluations"].time_partitioning[0].field == "started_at" && google_bigquery_table.ledger["rejects"].time_partitioning[0].field == "rejected_at"
    error_message = "ledger tables are partitioned by when it happened"
  }
  assert {
    condition     = alltrue([for n in ["runs", "rejects"] : google_bigquery_table.ledger[n].time_partitioning[0].expiration_ms > 0])
    error_message = "runs and rejects expire"
  }
  assert {
    condition     = alltrue([for n in ["checkpoints", "leases"] : length(google_bigquery_table.ledger[n].time_partitioning) == 0])
    error_message = "checkpoints and leases are a row a table, kept as long as the table"
  }
  assert {
    condition     = alltrue([for t in google_bigquery_table.ledger : t.deletion_protection])
    error_message = "books are not removed by accident"
  }
}

run "alarms" {
  command = plan

  assert {
    condition     = toset(keys(google_monitoring_alert_policy.alarm)) == toset(["crashed", "dead_letters", "evaluation", "failed", "gave_up", "never_ok", "not_run", "rejects", "silence", "stale", "warning"])
    error_message = "an alarm each for: no start, dead letters, accuracy, failed table, retries spent, never a good run, no run, open rejects, silence, stale data, warning"
  }
  assert {
    condition     = google_logging_metric.count["runs"].filter == "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"aito-sync\" AND jsonPayload.event=\"run_done\"" && strcontains(google_monitoring_alert_policy.alarm["silence"].conditions[0].condition_prometheus_query_language[0].query, "user_aito_sync_runs{")
    error_message = "silence is that no call ends, good or bad: an outage of BigQuery and a table that is not enabled are not"
  }
  assert {
    condition     = alltrue(flatten([for p in google_monitoring_alert_policy.alarm : [for l in p.conditions[0].condition_matched_log : !contains(keys(l.label_extractors), "run_id")]]))
    error_message = "an alarm is a state: with run_id among its labels each retry would be a mail"
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.alarm["stale"].conditions[0].condition_matched_log[0].filter, "jsonPayload.ok_age_seconds>93600")
    error_message = "stale is older than stale_after_hours"
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.alarm["gave_up"].conditions[0].condition_prometheus_query_language[0].query, "> 4.5 ")
    error_message = "retries are spent when the first call and every retry have failed"
  }
  assert {
    condition     = google_monitoring_notification_channel.email[0].labels["email_address"] == "data-team@example.com"
    error_message = "the mail goes to alert_email"
  }
  assert {
    condition     = alltrue([for p in google_monitoring_alert_policy.alarm : p.enabled])
    error_message = "every alarm is on"
  }
  assert {
    condition     = alltrue([for m in google_logging_metric.measure : strcontains(m.filter, "jsonPayload.action=\"sync\"") if strcontains(m.filter, "table_done")])
    error_message = "the watch's zeros are not rows of the night"
  }
}
