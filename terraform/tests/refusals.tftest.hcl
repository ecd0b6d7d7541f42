# Each refusal: what cannot work is refused in the plan, by the variable or the check that knows why. Where it can be,
# only a part that needs it is planned: the zip's text costs a whole plan five seconds.

mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  project_id  = "example-project"
  alert_email = "data-team@example.com"
  config_file = "tests/configs/default.yaml"
}

run "project_id_is_a_number" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    project_id = "123456789"
  }
  expect_failures = [var.project_id]
}

run "alert_email_is_a_name" {
  command = plan
  plan_options {
    target = [google_monitoring_notification_channel.email]
  }
  variables {
    alert_email = "data-team"
  }
  expect_failures = [var.alert_email]
}

run "callers_are_everybody" {
  command = plan
  variables {
    callers = ["allUsers"]
  }
  expect_failures = [var.callers]
}

run "callers_are_every_google_account" {
  command = plan
  variables {
    callers = ["allAuthenticatedUsers"]
  }
  expect_failures = [var.callers]
}

run "callers_are_a_domain" {
  command = plan
  variables {
    callers = ["domain:example.com"]
  }
  expect_failures = [var.callers]
}

run "caller_without_kind" {
  command = plan
  variables {
    callers = ["ann@example.com"]
  }
  expect_failures = [var.callers]
}

run "config_file_is_missing" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/nowhere.yaml"
  }
  expect_failures = [var.config_file]
}

run "config_file_is_no_yaml" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/not_yaml.txt"
  }
  expect_failures = [var.config_file]
}

run "label_with_capitals" {
  command = plan
  variables {
    labels = { Team = "data" }
  }
  expect_failures = [var.labels]
}

run "memory_without_unit" {
  command = plan
  variables {
    memory = "1024"
  }
  expect_failures = [var.memory]
}

run "name_too_long" {
  command = plan
  plan_options {
    target = [google_service_account.runtime]
  }
  variables {
    name = "a-name-of-more-than-22-characters"
  }
  expect_failures = [var.name]
}

run "subnetwork_without_path" {
  command = plan
  variables {
    private_network = { subnetwork = "egress" }
  }
  expect_failures = [var.private_network]
}

run "subnetwork_of_another_region" {
  command = plan
  variables {
    private_network = { subnetwork = "projects/p/regions/us-east1/subnetworks/egress" }
  }
  expect_failures = [var.private_network]
}

run "region_is_a_zone" {
  command = plan
  plan_options {
    target = [google_artifact_registry_repository.images]
  }
  variables {
    region = "europe-west1-b"
  }
  expect_failures = [var.region]
}

run "region_is_a_multi_region" {
  command = plan
  plan_options {
    target = [google_artifact_registry_repository.images]
  }
  variables {
    region = "EU"
  }
  expect_failures = [var.region]
}

run "schedule_of_six_fields" {
  command = plan
  plan_options {
    target = [terraform_data.clocks]
  }
  variables {
    schedule = "0 15 3 * * *"
  }
  expect_failures = [var.schedule]
}

run "source_dataset_with_table" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    source_datasets = ["p-project.d.t"]
  }
  expect_failures = [var.source_datasets]
}

run "stale_after_half_an_hour" {
  command = plan
  plan_options {
    target = [terraform_data.clocks]
  }
  variables {
    stale_after_hours = 0.5
  }
  expect_failures = [var.stale_after_hours]
}

run "time_zone_is_an_abbreviation" {
  command = plan
  variables {
    time_zone = "CET"
  }
  expect_failures = [var.time_zone]
}

run "schedule_faster_than_a_run" {
  command = plan
  plan_options {
    target = [terraform_data.clocks]
  }
  variables {
    schedule = "*/10 * * * *"
  }
  expect_failures = [terraform_data.clocks]
}

run "schedule_every_minute" {
  command = plan
  plan_options {
    target = [terraform_data.clocks]
  }
  variables {
    schedule = "* * * * *"
  }
  expect_failures = [terraform_data.clocks]
}

run "schedule_minutes_too_close" {
  command = plan
  plan_options {
    target = [terraform_data.clocks]
  }
  variables {
    schedule = "0,10 * * * *"
  }
  expect_failures = [terraform_data.clocks]
}

run "schedule_weekly_with_daily_alarm" {
  command = plan
  plan_options {
    target = [terraform_data.clocks]
  }
  variables {
    schedule = "15 3 * * 1"
  }
  expect_failures = [terraform_data.clocks]
}

run "schedule_weekdays_with_daily_alarm" {
  command = plan
  plan_options {
    target = [terraform_data.clocks]
  }
  variables {
    schedule = "15 3 * * 1-5"
  }
  expect_failures = [terraform_data.clocks]
}

run "schedule_monthly_with_daily_alarm" {
  command = plan
  plan_options {
    target = [terraform_data.clocks]
  }
  variables {
    schedule = "15 3 1 * *"
  }
  expect_failures = [terraform_data.clocks]
}

run "budget_over_the_deadline" {
  command = plan
  plan_options {
    target = [terraform_data.clocks]
  }
  variables {
    config_file = "tests/configs/budget_over_deadline.yaml"
  }
  expect_failures = [terraform_data.clocks]
}

run "budget_over_the_acknowledgement" {
  command = plan
  plan_options {
    target = [terraform_data.clocks]
  }
  variables {
    config_file = "tests/configs/budget_over_ack.yaml"
  }
  expect_failures = [terraform_data.clocks]
}

run "no_ledger" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/no_ledger.yaml"
  }
  expect_failures = [terraform_data.configuration]
}

run "no_secret" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/no_secret.yaml"
  }
  expect_failures = [terraform_data.configuration]
}

run "no_tables" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/no_tables.yaml"
  }
  expect_failures = [terraform_data.configuration]
}

run "no_name" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/no_name.yaml"
  }
  expect_failures = [terraform_data.configuration]
}

run "doubled_table" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/doubled_table.yaml"
  }
  expect_failures = [terraform_data.configuration]
}

run "source_and_query" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/source_and_query.yaml"
  }
  expect_failures = [terraform_data.configuration]
}

run "no_source" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/no_source.yaml"
  }
  expect_failures = [terraform_data.configuration]
}

run "bad_source" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/bad_source.yaml"
  }
  expect_failures = [terraform_data.configuration]
}

run "broken_link" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/broken_link.yaml"
  }
  expect_failures = [terraform_data.configuration]
}

run "query" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/query.yaml"
  }
  expect_failures = [terraform_data.configuration]
}

run "bad_ledger" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/bad_ledger.yaml"
  }
  expect_failures = [terraform_data.configuration]
}

run "ledger_is_source" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/ledger_is_source.yaml"
  }
  expect_failures = [terraform_data.configuration]
}

run "key_instead_of_secret" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/key_instead_of_secret.yaml"
  }
  expect_failures = [terraform_data.configuration]
}

run "foreign_topic" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/foreign_topic.yaml"
  }
  expect_failures = [terraform_data.configuration]
}

run "nobody_is_told" {
  command = plan
  variables {
    alert_email = null
  }
  expect_failures = [check.somebody_is_told]
}

run "alert_email_is_empty" {
  command = plan
  plan_options {
    target = [google_monitoring_notification_channel.email]
  }
  variables {
    alert_email = ""
  }
  expect_failures = [var.alert_email]
}

run "reconcile_by_the_minute" {
  command = plan
  variables {
    reconcile_schedule = "*/15 * * * *"
  }
  expect_failures = [var.reconcile_schedule]
}

run "schedule_with_a_short_last_step" {
  command = plan
  plan_options {
    target = [terraform_data.clocks]
  }
  variables {
    schedule = "*/45 * * * *"
  }
  expect_failures = [terraform_data.clocks]
}

run "working_hours_with_an_alarm_at_night" {
  command = plan
  plan_options {
    target = [terraform_data.clocks]
  }
  variables {
    schedule          = "0 8-18 * * *"
    stale_after_hours = 14
  }
  expect_failures = [terraform_data.clocks]
}

run "no_location" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/no_location.yaml"
  }
  expect_failures = [terraform_data.configuration]
}

run "misspelt" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/misspelt.yaml"
  }
  expect_failures = [terraform_data.configuration]
}

run "bad_duration" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    config_file = "tests/configs/bad_duration.yaml"
  }
  expect_failures = [terraform_data.configuration]
}

run "ledger_in_a_zone" {
  command = plan
  plan_options {
    target = [terraform_data.configuration]
  }
  variables {
    ledger_location = "europe-west1-b"
  }
  expect_failures = [var.ledger_location]
}

run "channel_by_its_name" {
  command = plan
  plan_options {
    target = [google_monitoring_alert_policy.alarm]
  }
  variables {
    notification_channels = ["#data-team"]
  }
  expect_failures = [var.notification_channels]
}

run "warning_by_its_text" {
  command = plan
  plan_options {
    target = [google_monitoring_alert_policy.alarm]
  }
  variables {
    quiet_warnings = ["rows without key"]
  }
  expect_failures = [var.quiet_warnings]
}

run "runbook_with_a_fragment" {
  command = plan
  plan_options {
    target = [google_monitoring_alert_policy.alarm]
  }
  variables {
    runbook_url = "https://wiki.example.com/runbook#top"
  }
  expect_failures = [var.runbook_url]
}
