# Each optional part, switched on.

mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  project_id  = "example-project"
  alert_email = "data-team@example.com"
  config_file = "tests/configs/default.yaml"
}

run "continuation_by_topic" {
  command = plan
  variables {
    config_file = "tests/configs/topic.yaml"
  }

  assert {
    condition     = google_pubsub_topic_iam_member.runs_runtime[0].role == "roles/pubsub.publisher" && google_pubsub_topic_iam_member.runs_runtime[0].member == google_service_account.runtime.member
    error_message = "a function that is told the topic may publish to it"
  }
}

run "existing_secret" {
  command = plan
  variables {
    config_file = "tests/configs/existing_secret.yaml"
  }

  assert {
    condition     = length(google_secret_manager_secret.key) == 0
    error_message = "a secret named in full is not made"
  }
  assert {
    condition     = google_secret_manager_secret_iam_member.runtime.project == "vault-project" && google_secret_manager_secret_iam_member.runtime.secret_id == "aito-key"
    error_message = "it is only opened to the function"
  }
  assert {
    condition     = strcontains(output.add_key, "versions add aito-key --project=vault-project")
    error_message = "the line to paste names the existing secret"
  }
}

run "other_projects" {
  command = plan
  variables {
    config_file     = "tests/configs/other_projects.yaml"
    source_datasets = ["raw_events", "third-project.views"]
  }

  assert {
    condition     = toset(keys(google_bigquery_dataset_iam_member.read)) == toset(["warehouse-project.shop", "paying-project.web", "paying-project.raw_events", "third-project.views"])
    error_message = "a dataset without a project is the paying project's; source_datasets are added"
  }
  assert {
    condition     = google_project_iam_member.runtime_jobs.project == "paying-project"
    error_message = "jobs run where bigquery.project says"
  }
  assert {
    condition     = google_bigquery_dataset.ledger.project == "books-project" && google_bigquery_dataset.ledger.dataset_id == "sync_books" && google_bigquery_dataset.ledger.location == "EU"
    error_message = "the ledger may live in another project, in the location of the sources"
  }
}

run "private_network" {
  command = plan
  variables {
    private_network = { subnetwork = "projects/net-project/regions/europe-west1/subnetworks/egress", tags = ["aito"] }
  }

  assert {
    condition     = google_cloudfunctions2_function.sync.service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    error_message = "with a private network, calls come from inside"
  }
  assert {
    condition     = google_cloudfunctions2_function.sync.service_config[0].direct_vpc_egress == "VPC_EGRESS_ALL_TRAFFIC" && google_cloudfunctions2_function.sync.service_config[0].direct_vpc_network_interface[0].subnetwork == "projects/net-project/regions/europe-west1/subnetworks/egress"
    error_message = "with a private network, everything goes out through the subnetwork"
  }
}

run "callers" {
  command = plan
  variables {
    callers = ["user:ann@example.com", "group:data-team@example.com"]
  }

  assert {
    condition     = toset(keys(google_cloud_run_v2_service_iam_member.callers)) == toset(["user:ann@example.com", "group:data-team@example.com"]) && alltrue([for g in google_cloud_run_v2_service_iam_member.callers : g.role == "roles/run.invoker"])
    error_message = "named people may call, and only call"
  }
}

run "weekly" {
  command = plan
  variables {
    schedule          = "15 3 * * 1"
    stale_after_hours = 170
    time_zone         = "Europe/Helsinki"
  }

  assert {
    condition     = google_cloud_scheduler_job.sync.schedule == "15 3 * * 1" && google_cloud_scheduler_job.sync.time_zone == "Europe/Helsinki"
    error_message = "another schedule and time zone"
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.alarm["stale"].conditions[0].condition_matched_log[0].filter, "jsonPayload.age_seconds>612000")
    error_message = "the alarm follows stale_after_hours"
  }
}

run "often" {
  command = plan
  variables {
    schedule = "*/30 * * * *"
    memory   = "2Gi"
  }

  assert {
    condition     = google_cloudfunctions2_function.sync.service_config[0].available_memory == "2Gi"
    error_message = "more memory"
  }
}

run "half_hourly_by_list" {
  command = plan
  variables {
    schedule = "40,10 * * * *"
  }

  assert {
    condition     = google_cloud_scheduler_job.sync.schedule == "40,10 * * * *"
    error_message = "two minutes of the hour, half an hour apart, are allowed in any order"
  }
}

run "another_name" {
  command = plan
  variables {
    name   = "shop-to-aito"
    labels = { team = "data", cost_center = "4711" }
  }

  assert {
    condition     = google_cloudfunctions2_function.sync.name == "shop-to-aito" && google_service_account.runtime.account_id == "shop-to-aito-run" && google_pubsub_topic.runs.name == "shop-to-aito" && google_cloud_scheduler_job.sync.name == "shop-to-aito-sync"
    error_message = "every name begins with var.name"
  }
}

run "project_of_the_environment" {
  command = plan
  variables {
    project_id = null
  }

  assert {
    condition     = google_storage_bucket.source.name == "example-project-aito-sync-source" && google_project_iam_member.build_logs.project == "example-project"
    error_message = "without project_id everything is made in the provider's own project"
  }
}

run "never_reconciled" {
  command = plan
  variables {
    reconcile_schedule = null
  }

  assert {
    condition     = length(google_cloud_scheduler_job.reconcile) == 0
    error_message = "null switches the weekly comparison off"
  }
}

run "hourly_with_an_early_alarm" {
  command = plan
  variables {
    schedule          = "5 * * * *"
    stale_after_hours = 2
  }

  assert {
    condition     = strcontains(google_monitoring_alert_policy.alarm["stale"].conditions[0].condition_matched_log[0].filter, "jsonPayload.ok_age_seconds>7200")
    error_message = "who syncs hourly may hear after two hours"
  }
}

run "working_hours" {
  command = plan
  variables {
    schedule          = "0,30 8-18 * * *"
    stale_after_hours = 15
  }

  assert {
    condition     = google_cloud_scheduler_job.sync.schedule == "0,30 8-18 * * *"
    error_message = "the longest gap is the night's, 14 hours"
  }
}

run "location_beside_the_configuration" {
  command = plan
  variables {
    config_file     = "tests/configs/no_location.yaml"
    ledger_location = "europe-north1"
  }

  assert {
    condition     = google_bigquery_dataset.ledger.location == "europe-north1"
    error_message = "a configuration without bigquery.location gets the ledger's from ledger_location"
  }
}

run "paused" {
  command = plan
  variables {
    pause = true
  }

  assert {
    condition     = google_cloud_scheduler_job.sync.paused && google_cloud_scheduler_job.watch.paused && google_cloud_scheduler_job.reconcile[0].paused
    error_message = "pause stops all three jobs"
  }
  assert {
    condition     = length(google_pubsub_subscription.runs.push_config) == 0
    error_message = "a run that continues itself by message waits, too"
  }
  assert {
    condition     = toset([for key, p in google_monitoring_alert_policy.alarm : key if !p.enabled]) == toset(["never_ok", "silence", "stale"])
    error_message = "who paused the sync is not told that it is silent"
  }
  expect_failures = [check.nothing_is_paused]
}

run "other_channels" {
  command = plan
  variables {
    alert_email           = null
    notification_channels = ["projects/example-project/notificationChannels/17"]
    quiet_warnings        = ["rows_without_key"]
    runbook_url           = "https://wiki.example.com/aito/runbook.md"
  }

  assert {
    condition     = google_monitoring_alert_policy.alarm["failed"].notification_channels == tolist(["projects/example-project/notificationChannels/17"])
    error_message = "alarms go to the channels that are named, with or without a mail"
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.alarm["warning"].conditions[0].condition_matched_log[0].filter, "NOT jsonPayload.code=(\"evaluation\" OR \"rejects\" OR \"rows_without_key\")")
    error_message = "a warning is switched off by its code"
  }
  assert {
    condition     = contains([for link in google_monitoring_alert_policy.alarm["failed"].documentation[0].links : link.url], "https://wiki.example.com/aito/runbook.md#a-table-failed")
    error_message = "the runbook is linked, at the alarm's heading"
  }
}
