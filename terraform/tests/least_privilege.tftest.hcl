# Who may do what, and nobody more.

mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  project_id  = "example-project"
  alert_email = "data-team@example.com"
  config_file = "tests/configs/default.yaml"
}

run "who_may_call" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service_iam_member.invoker.member == google_service_account.invoker.member && google_cloud_run_v2_service_iam_member.invoker.role == "roles/run.invoker"
    error_message = "the invoker account may call"
  }
  assert {
    condition     = length(google_cloud_run_v2_service_iam_member.callers) == 0
    error_message = "nobody else, unless callers says so"
  }
}

run "who_may_read_the_secret" {
  command = plan

  assert {
    condition     = google_secret_manager_secret_iam_member.runtime.member == google_service_account.runtime.member && google_secret_manager_secret_iam_member.runtime.role == "roles/secretmanager.secretAccessor" && google_secret_manager_secret_iam_member.runtime.secret_id == "aito-api-key"
    error_message = "the function reads this one secret"
  }
}

run "what_the_function_may_read_and_write" {
  command = plan

  assert {
    condition     = toset(keys(google_bigquery_dataset_iam_member.read)) == toset(["example-project.aito_ai_website"]) && alltrue([for g in google_bigquery_dataset_iam_member.read : g.role == "roles/bigquery.dataViewer"])
    error_message = "the function reads the datasets that the configuration names, and no other"
  }
  assert {
    condition     = google_bigquery_dataset_iam_member.ledger_runtime.role == "roles/bigquery.dataEditor" && google_bigquery_dataset_iam_member.ledger_runtime.dataset_id == "aito_sync"
    error_message = "the function writes its ledger, and nothing else"
  }
  assert {
    condition     = google_project_iam_member.runtime_jobs.role == "roles/bigquery.jobUser"
    error_message = "running a query is the one permission the function has in the whole project"
  }
  assert {
    condition     = length(google_pubsub_topic_iam_member.runs_runtime) == 0
    error_message = "a function that is not told a topic may not publish"
  }
}
