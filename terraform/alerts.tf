# Whom to tell, and of what. An alarm is a state, not a run: its labels name the table and the reason, never the run, so
# that six attempts of one night are one mail. clocks.tf tells what happens in a night that fails.
#
# Most conditions look at the log line itself and not at a metric made from it: the line carries the table, the reason and
# the error into the mail, and it needs no metric that Cloud Monitoring only knows ten minutes after it was made (an alert
# on a fresh log-based metric fails the first apply). "Each combination of extracted values is treated as a separate rule
# for the purposes of triggering notifications" (Cloud Monitoring API, LogMatch.labelExtractors).
#
# An error's numbers change from run to run ("81 of 101 rows are older than keep"), so the label is the line's `summary`:
# the error with # for each number. The line itself has them.
#
# What only waits for an upstream is a WARNING with `retryable`, and no alarm until the retries are spent. What each alarm
# means and what to do is in docs/runbook.md, under the alarm's title.

locals {
  channels = concat(google_monitoring_notification_channel.email[*].id, sort(var.notification_channels))

  stale_seconds = var.stale_after_hours * 3600
  runs_table    = "`${local.ledger_project}.${local.ledger_dataset}.runs`"

  # Warnings that have an alarm of their own: one state, one mail.
  own_alarms = ["evaluation", "rejects"]
  # Which alarms are off.
  quiet = concat(var.pause ? ["stale"] : [], contains(var.quiet_warnings, "rejects") ? ["rejects"] : [])

  # Log line -> alarm. `labels` become the mail's table, reason and error; a change of one is another state.
  line_alarms = {
    crashed = {
      title    = "the function did not start"
      subject  = "did not start"
      severity = "CRITICAL"
      filter   = "(${local.log_base} AND (severity>=ERROR OR textPayload:\"Traceback\") AND NOT jsonPayload.event:* AND NOT logName:\"run.googleapis.com%2Frequests\") OR (${local.job_base} AND jsonPayload.status=(\"PERMISSION_DENIED\" OR \"UNAUTHENTICATED\" OR \"NOT_FOUND\"))"
      labels   = { reason = "jsonPayload.status" }
      text     = <<-EOT
        **What it means.** A call reached no code of ours, or the code ended in an error nobody foresaw. Nothing was loaded; nothing is lost.
        **Where the error is.** In the log, as text: a missing module, the memory limit, a call that was refused (PERMISSION_DENIED).
        **Type** `${local.commands.crashes}`
        **Do not** delete the function: a roll back is `git revert` and `terraform apply`.
      EOT
    }
    evaluation = {
      title    = "accuracy finding"
      subject  = "$${log.extracted_label.table}: evaluation $${log.extracted_label.name}"
      severity = "WARNING"
      filter   = "${local.log_base} AND (jsonPayload.event=\"evaluation_finished\" OR jsonPayload.event=\"evaluation_failed\") AND severity>=ERROR"
      labels   = { table = "jsonPayload.table", name = "jsonPayload.name" }
      text     = <<-EOT
        **What it means.** Evaluation $${log.extracted_label.name} of table $${log.extracted_label.table} failed, or its accuracy is below `min_accuracy`, below the runs before, or no better than guessing. The load is not touched by it.
        **Where the error is.** Fields `finding` and `accuracy` of the line, and the ledger:
        **Type** `bq query --nouse_legacy_sql 'SELECT started_at, state, accuracy, base_accuracy, test_samples FROM ${local.ledger_project}.${local.ledger_dataset}.evaluations AS e WHERE e.table = "$${log.extracted_label.table}" AND e.name = "$${log.extracted_label.name}" ORDER BY started_at DESC LIMIT 20'`
        **Do not** lower `min_accuracy` before you know what changed in the source.
      EOT
    }
    failed = {
      title    = "a table failed"
      subject  = "$${log.extracted_label.table} failed: $${log.extracted_label.reason}"
      severity = "ERROR"
      filter   = "${local.log_base} AND jsonPayload.event=\"table_done\" AND jsonPayload.status=\"failed\" AND severity>=ERROR AND NOT jsonPayload.retryable=true"
      labels   = { table = "jsonPayload.table", reason = "jsonPayload.code", error = "jsonPayload.summary" }
      text     = <<-EOT
        **What it means.** Table $${log.extracted_label.table} needs a person: calling again changes nothing. What is in Aito stays as it was, and the other tables go on.
        **The error.** $${log.extracted_label.error}
        **Where it is.** With its numbers in field `error` of the line `table_done`, and in column `error` of ${local.runs_table}.
        **Type**, after the correction: `${local.commands.run_table}`
        **Do not** drop the Aito table: the error says what is wrong and what would be right.
      EOT
    }
    not_run = {
      title    = "a run could not begin"
      subject  = "no run: configuration, key or ledger"
      severity = "CRITICAL"
      filter   = "${local.log_base} AND jsonPayload.event=\"run_done\" AND jsonPayload.status=\"failed\" AND severity>=ERROR AND NOT jsonPayload.action:*"
      labels   = { error = "jsonPayload.message" }
      text     = <<-EOT
        **What it means.** The function was called and could not begin: the configuration is not understood, or a part of it is not there. No table was touched.
        **The error.** $${log.extracted_label.error}
        **Where it is.** Field `message` of the line `run_done`; a mistake in the file is named with its line.
        **Type** `python3 terraform/validate.py sync.yaml`, correct it, then `terraform apply`
        **Do not** edit the function in the console: the next apply takes it back.
      EOT
    }
    rejects = {
      title    = "rejects open"
      subject  = "$${log.extracted_label.table} has open rejects"
      severity = "WARNING"
      filter   = "${local.log_base} AND jsonPayload.event=\"freshness\" AND jsonPayload.open_rejects>0"
      labels   = { table = "jsonPayload.table" }
      text     = <<-EOT
        **What it means.** Aito would not take some rows of table $${log.extracted_label.table}, or they do not fit its columns, and nothing has settled them since. All other rows are in Aito.
        **Where the error is.** In the ledger's table `rejects`: each row's key and reason.
        **Type** `${local.commands.rejects}`
        **Do not** insert the rows by hand: docs/runbook.md, "Replay rejects", says how they come in.
      EOT
    }
    stale = {
      title    = "stale data"
      subject  = "$${log.extracted_label.table} is stale"
      severity = "ERROR"
      filter   = "${local.log_base} AND jsonPayload.event=\"freshness\" AND (jsonPayload.age_seconds>${local.stale_seconds} OR jsonPayload.ok_age_seconds>${local.stale_seconds})"
      labels   = { table = "jsonPayload.table" }
      text     = <<-EOT
        **What it means.** Table $${log.extracted_label.table} has had no good run, or no newer row in Aito, for ${var.stale_after_hours} hours.
        **Where the error is.** Line `freshness`: `ok_age_seconds` is the age of the last good run, `age_seconds` that of the newest row in Aito. If only `age_seconds` is over, the runs are fine and the source has nothing new: look at what fills BigQuery.
        **Type** `${local.commands.runs}`
        **Do not** raise `stale_after_hours` before you know which of the two it is.
      EOT
    }
    warning = {
      title    = "a warning"
      subject  = "$${log.extracted_label.table}: $${log.extracted_label.reason}"
      severity = "WARNING"
      filter   = "${local.log_base} AND jsonPayload.event=\"table_warning\" AND severity>=WARNING AND NOT jsonPayload.code=(${join(" OR ", [for code in sort(setunion(var.quiet_warnings, local.own_alarms)) : "\"${code}\""])})"
      labels   = { table = "jsonPayload.table", reason = "jsonPayload.code", warning = "jsonPayload.summary" }
      text     = <<-EOT
        **What it means.** Table $${log.extracted_label.table} ended `ok` with the warning `$${log.extracted_label.reason}`: the data may not be what you expect.
        **The warning.** $${log.extracted_label.warning}
        **Where it is.** With its numbers in field `message` of the line `table_warning`.
        **Type** `${local.commands.warnings}`
        **Do not** ignore it by habit: what you know and accept goes into `quiet_warnings`, by its code.
      EOT
    }
  }

  job_base = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=(\"${var.name}-sync\" OR \"${var.name}-reconcile\" OR \"${var.name}-watch\")"

  commands = {
    crashes   = "gcloud logging read 'resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${var.name}\" severity>=ERROR -jsonPayload.event:*' --project=${local.project_id} --freshness=1d --limit=20"
    page      = "gcloud run services proxy ${var.name} --region=${var.region} --project=${local.project_id} --port=8080"
    rejects   = "bq query --nouse_legacy_sql 'SELECT rejected_at, key, reason FROM ${local.ledger_project}.${local.ledger_dataset}.rejects AS r WHERE r.table = \"$${log.extracted_label.table}\" ORDER BY rejected_at DESC LIMIT 20'"
    run_table = "gcloud pubsub topics publish ${var.name} --project=${local.project_id} --message='{\"action\":\"sync\",\"tables\":[\"$${log.extracted_label.table}\"]}'"
    runs      = "bq query --nouse_legacy_sql 'SELECT started_at, action, status, uploaded, error FROM ${local.ledger_project}.${local.ledger_dataset}.runs ORDER BY started_at DESC LIMIT 20'"
    warnings  = "gcloud logging read 'resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${var.name}\" jsonPayload.event=\"table_warning\"' --project=${local.project_id} --freshness=2d --limit=20 --format='value(timestamp,jsonPayload.table,jsonPayload.code,jsonPayload.message)'"
  }

  dashboard_url = "https://console.cloud.google.com/monitoring/dashboards/builder/${reverse(split("/", google_monitoring_dashboard.sync.id))[0]}?project=${local.project_id}"
  log_url       = "https://console.cloud.google.com/logs/query;query=${urlencode("resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${var.name}\" severity>=WARNING")};duration=P1D?project=${local.project_id}"

  # The end of every text, and the links of every mail.
  closing = "\n**Look further.** docs/runbook.md says what to do under this alarm's title. Page: `${local.commands.page}`, then http://127.0.0.1:8080. Stop everything: `terraform apply -var pause=true`."
  links = concat(
    [{ name = "Log of the last day", url = local.log_url }, { name = "Dashboard", url = local.dashboard_url }],
    [for url in var.runbook_url[*] : { name = "Runbook", url = url }],
  )
}

# A warning, not a refusal: a first look at the deployment needs no address. It is repeated by every plan and apply.
check "somebody_is_told" {
  assert {
    condition     = var.alert_email != null || length(var.notification_channels) > 0
    error_message = "alert_email is not set, nor notification_channels: when a night fails nobody is told, and the alarms stand in the console alone. Set one in terraform.tfvars."
  }
}

check "nothing_is_paused" {
  assert {
    condition     = !var.pause
    error_message = "pause is set: no job runs, and the alarms for stale and missing data are off. Aito is not fed until it is taken out."
  }
}

resource "google_monitoring_notification_channel" "email" {
  count = var.alert_email == null ? 0 : 1

  display_name = "${var.name}: ${var.alert_email}"
  type         = "email"
  labels       = { email_address = var.alert_email }

  depends_on = [google_project_service.this]
}

resource "google_monitoring_alert_policy" "line" {
  for_each = local.line_alarms

  display_name          = "${var.name}: ${each.value.title}"
  severity              = each.value.severity
  combiner              = "OR"
  notification_channels = local.channels
  enabled               = !contains(local.quiet, each.key)

  conditions {
    display_name = each.value.title
    condition_matched_log {
      filter           = each.value.filter
      label_extractors = { for label, field in each.value.labels : label => "EXTRACT(${field})" }
    }
  }

  # One mail for a state and day, and no mail that says that it is over.
  alert_strategy {
    auto_close           = "604800s"
    notification_prompts = ["OPENED"]
    notification_rate_limit {
      period = "86400s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "${var.name}: ${each.value.subject}"
    content   = "${each.value.text}${local.closing}"

    dynamic "links" {
      for_each = local.links
      content {
        display_name = links.value.name
        url          = links.value.url
      }
    }
  }
}

# States that no single line shows: counted over time. Written in PromQL, which does not ask whether the metric exists
# yet, and for which "never seen" counts too (a plain absence condition only fires after a first value).
locals {
  # log-based metric -> its name in PromQL
  series = { for key, metric in google_logging_metric.count : key => "logging_googleapis_com:user_${replace(metric.name, "-", "_")}" }

  state_alarms = {
    gave_up = {
      title    = "kept failing"
      subject  = "$${metric_or_resource.label.table} kept failing"
      severity = "ERROR"
      duration = "0s"
      # The first call and each retry failed, and none has ended well since.
      query = "sum by (table) (increase(${local.series["waiting"]}{monitored_resource=\"cloud_run_revision\"}[${local.gave_up_seconds}s])) > ${local.scheduler_retries - 0.5} unless on (table) sum by (table) (increase(${local.series["tables_done"]}{monitored_resource=\"cloud_run_revision\",status=\"ok\"}[1800s])) > 0"
      text  = <<-EOT
        **What it means.** Aito or BigQuery was away for longer than ${local.scheduler_retries} retries last. Nothing is wrong but that: the next run goes on where the last good one ended.
        **Where the error is.** Field `error` of the lines `table_done` with `retryable`, and column `error` of ${local.runs_table}.
        **Type**, when the upstream is back: `gcloud scheduler jobs run ${google_cloud_scheduler_job.sync.name} --location=${var.region} --project=${local.project_id}`
        **Do not** start runs by the minute: each asks the upstream again.
      EOT
    }
    never_ok = {
      title    = "never ran well"
      subject  = "$${metric_or_resource.label.table} has never had a good run"
      severity = "ERROR"
      duration = "84600s"
      query    = "sum by (table) (increase(${local.series["never_ok"]}{monitored_resource=\"cloud_run_revision\"}[3600s])) > 0"
      text     = <<-EOT
        **What it means.** The watch runs, and the ledger knows no good sync of the table for nearly a day.
        **Where the error is.** In the log of its first run, if there was one.
        **Type** `${local.commands.runs}`, then `gcloud scheduler jobs run ${google_cloud_scheduler_job.sync.name} --location=${var.region} --project=${local.project_id}`
        **Do not** wait for the night: a first load says at once what is missing.
      EOT
    }
    silence = {
      title    = "nothing logged"
      subject  = "silent for ${local.silence_seconds / 60} minutes"
      severity = "CRITICAL"
      duration = "3600s" # a new installation has an hour to speak first
      query    = "(sum(increase(${local.series["watches"]}{monitored_resource=\"cloud_run_revision\"}[${local.silence_seconds}s])) or vector(0)) < 1"
      text     = <<-EOT
        **What it means.** The watch has not reported. Either its job does not run, or the function does not start, or the key is missing.
        **Where the error is.** Not in our lines. Look at the job, then at the function's start.
        **Type** `gcloud scheduler jobs describe ${google_cloud_scheduler_job.watch.name} --location=${var.region} --project=${local.project_id}`, `${local.commands.crashes}`, and without a key `terraform output -raw add_key`
        **Do not** take it for a failed night: the sync may have run.
      EOT
    }
  }
}

resource "google_monitoring_alert_policy" "state" {
  for_each = local.state_alarms

  display_name          = "${var.name}: ${each.value.title}"
  severity              = each.value.severity
  combiner              = "OR"
  notification_channels = local.channels
  enabled               = !var.pause

  conditions {
    display_name = each.value.title
    condition_prometheus_query_language {
      query                     = each.value.query
      duration                  = each.value.duration
      evaluation_interval       = "300s"
      disable_metric_validation = true
    }
  }

  alert_strategy {
    auto_close           = "86400s"
    notification_prompts = ["OPENED"]
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "${var.name}: ${each.value.subject}"
    content   = "${each.value.text}${local.closing}"

    dynamic "links" {
      for_each = local.links
      content {
        display_name = links.value.name
        url          = links.value.url
      }
    }
  }
}

resource "google_monitoring_alert_policy" "dead_letters" {
  display_name          = "${var.name}: dead letters"
  severity              = "WARNING"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "a message was given up"
    condition_threshold {
      filter          = "metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.dead.name}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  alert_strategy {
    auto_close           = "86400s"
    notification_prompts = ["OPENED"]
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "${var.name}: a requested run was given up"
    content   = <<-EOT
      **What it means.** A run that was asked for by message was refused ${local.delivery_attempts} times. The nightly run does its work.
      **Where the error is.** The message itself, and the log of that time.
      **Type** `gcloud pubsub subscriptions pull ${google_pubsub_subscription.dead.name} --project=${local.project_id}` (`--auto-ack` takes it out)
      **Do not** publish it again before you know why it was refused.
      ${local.closing}
    EOT

    dynamic "links" {
      for_each = local.links
      content {
        display_name = links.value.name
        url          = links.value.url
      }
    }
  }
}
