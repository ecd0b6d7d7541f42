# What is an alarm, and what its mail says. How it is sent is in alerts.tf. An alarm is a state, not a run: its labels name
# the table and the reason, never the run, so that six attempts of one night are one mail. clocks.tf tells what happens in
# a night that fails.
#
# `line`: a filter over the log. The line itself carries the table, the reason and the error into the mail, and needs no
# metric that Cloud Monitoring only knows ten minutes after it was made (an alert on a fresh log-based metric fails the
# first apply). "Each combination of extracted values is treated as a separate rule for the purposes of triggering
# notifications" (Cloud Monitoring API, LogMatch.labelExtractors).
# `query`: a state that no single line shows, in PromQL. It does not ask whether the metric exists yet, and "never seen"
# counts too (a plain absence condition only fires after a first value).
#
# An error's numbers change from run to run ("81 of 101 rows are older than keep"), so the label is the line's `summary`:
# the error with # for each number. The line itself has them.
#
# What only waits for an upstream is a WARNING with `retryable`, and no alarm until the retries are spent. What each alarm
# means and what to do is in docs/runbook.md, under the alarm's title.

locals {
  stale_seconds = var.stale_after_hours * 3600
  runs_table    = "`${local.ledger_project}.${local.ledger_dataset}.runs`"

  # Warnings that have an alarm of their own: one state, one mail.
  own_alarms = ["evaluation", "rejects"]
  # Which alarms are off.
  quiet = concat(var.pause ? ["never_ok", "silence", "stale"] : [], contains(var.quiet_warnings, "rejects") ? ["rejects"] : [])

  # Each: title (a heading of the runbook), subject, severity, and the sentences of its text. `says`: what the line says.
  alarms = {
    crashed = {
      title    = "the function did not start"
      subject  = "did not start"
      severity = "CRITICAL"
      line = {
        filter = local.not_started
        labels = { reason = "jsonPayload.status" }
      }
      means = "The call was rejected before the function's code ran, or the code did not start, or it ended in an unexpected error. Nothing was loaded; nothing is lost."
      where = "In the log, as text: a missing module, the memory limit. Or in Cloud Scheduler's line: a call that was refused (PERMISSION_DENIED)."
      type  = "`${local.commands.crashes}`"
      never = "delete the function: a roll back is `git revert` and `terraform apply`."
    }
    dead_letters = {
      title    = "dead letters"
      subject  = "a requested run was given up"
      severity = "WARNING"
      query    = { promql = "max(pubsub_googleapis_com:subscription_num_undelivered_messages{subscription_id=\"${google_pubsub_subscription.dead.name}\"}) > 0", seconds = 0 }
      means    = "A Pub/Sub message was refused ${local.delivery_attempts} times. If it asked for a plain sync, the nightly sync does the same work."
      where    = "The message itself, and the log of that time."
      type     = "`gcloud pubsub subscriptions pull ${google_pubsub_subscription.dead.name} --project=${local.project_id}` (`--auto-ack` takes it out)"
      never    = "publish it again before you know why it was refused."
    }
    evaluation = {
      title    = "accuracy finding"
      subject  = "$${log.extracted_label.table}: evaluation $${log.extracted_label.name}"
      severity = "WARNING"
      line = {
        filter = "${local.log_base} AND ((jsonPayload.event=\"evaluation_finished\" AND severity>=WARNING) OR (jsonPayload.event=\"evaluation_failed\" AND severity>=ERROR))"
        labels = { table = "jsonPayload.table", name = "jsonPayload.name" }
      }
      means = "Evaluation $${log.extracted_label.name} of table $${log.extracted_label.table} failed, found no row to test on, or its accuracy is below `min_accuracy`, below the runs before, or no better than guessing. The load is not touched by it."
      where = "Fields `finding` and `accuracy` of the line, and the ledger:"
      type  = "`bq query --nouse_legacy_sql 'SELECT started_at, state, accuracy, base_accuracy, test_samples FROM ${local.ledger_project}.${local.ledger_dataset}.evaluations AS e WHERE e.table = \"$${log.extracted_label.table}\" AND e.name = \"$${log.extracted_label.name}\" ORDER BY started_at DESC LIMIT 20'`"
      never = "lower `min_accuracy` before you know what changed in the source."
    }
    failed = {
      title    = "a table failed"
      subject  = "$${log.extracted_label.table} failed: $${log.extracted_label.reason}"
      severity = "ERROR"
      line = {
        filter = "${local.log_base} AND jsonPayload.event=\"table_done\" AND jsonPayload.status=\"failed\" AND severity>=ERROR AND NOT jsonPayload.retryable=true"
        labels = { table = "jsonPayload.table", reason = "jsonPayload.code", error = "jsonPayload.summary" }
      }
      means = "Table $${log.extracted_label.table} needs a person: calling again changes nothing. What is in Aito stays as it was, and the other tables go on."
      says  = { "The error" = "$${log.extracted_label.error}" }
      where = "With its numbers in field `error` of the line `table_done`, and in column `error` of ${local.runs_table}."
      type  = "after the correction: `${local.commands.run_table}`"
      never = "drop the Aito table: the error says what is wrong and what would be right."
    }
    gave_up = {
      title    = "kept failing"
      subject  = "$${metric_or_resource.label.table} kept failing"
      severity = "ERROR"
      # The first call and each retry failed, and none ended well in that time. A shorter look for a good end would mail
      # again when the good end is out of sight and the failures are not.
      query = { promql = "sum by (table) (increase(${local.series["waiting"]}{monitored_resource=\"cloud_run_revision\"}[${local.gave_up_seconds}s])) > ${local.scheduler_retries - 0.5} unless on (table) sum by (table) (increase(${local.series["tables_done"]}{monitored_resource=\"cloud_run_revision\",status=\"ok\"}[${local.gave_up_seconds}s])) > 0", seconds = 0 }
      means = "Aito or BigQuery was away for longer than ${local.scheduler_retries} retries last. Nothing is wrong but that: the next run goes on where the last good one ended."
      where = "Field `error` of the lines `table_done` with `retryable`, and column `error` of ${local.runs_table}."
      type  = "when the upstream is back: `${local.commands.run_now}`"
      never = "start runs by the minute: each asks the upstream again."
    }
    never_ok = {
      title    = "never ran well"
      subject  = "$${metric_or_resource.label.table} has never had a good run"
      severity = "ERROR"
      query    = { promql = "sum by (table) (increase(${local.series["never_ok"]}{monitored_resource=\"cloud_run_revision\"}[3600s])) > 0", seconds = 84600 }
      means    = "The watch runs, and the ledger knows no good sync of the table for nearly a day."
      where    = "In the log of its first run, if there was one."
      type     = "`${local.commands.runs}`, then `${local.commands.run_now}`"
      never    = "wait for the night: a first load says at once what is missing."
    }
    not_run = {
      title    = "a run could not begin"
      subject  = "no run: configuration, key or ledger"
      severity = "CRITICAL"
      line = {
        filter = "${local.log_base} AND jsonPayload.event=\"run_done\" AND jsonPayload.status=\"failed\" AND severity>=ERROR AND NOT jsonPayload.action:*"
        labels = { error = "jsonPayload.message" }
      }
      means = "The function was called and could not begin: the configuration is not understood, or a part of it is not there. No table was touched."
      says  = { "The error" = "$${log.extracted_label.error}" }
      where = "Field `message` of the line `run_done`; a mistake in the file is named with its line."
      type  = "`python3 terraform/validate.py sync.yaml`, correct it, then `terraform apply`"
      never = "edit the function in the console: the next apply takes it back."
    }
    rejects = {
      title    = "rejects open"
      subject  = "$${log.extracted_label.table} has open rejects"
      severity = "WARNING"
      line = {
        filter = "${local.log_base} AND jsonPayload.event=\"freshness\" AND jsonPayload.open_rejects>0"
        labels = { table = "jsonPayload.table" }
      }
      means = "Aito would not take some rows of table $${log.extracted_label.table}, or they do not fit its columns, and nothing has settled them since. All other rows are in Aito."
      where = "In the ledger's table `rejects`: each row's key and reason."
      type  = "`${local.commands.rejects}`"
      never = "insert the rows by hand: docs/runbook.md, \"Replay rejects\", says how they come in."
    }
    silence = {
      title    = "nothing logged"
      subject  = "silent for ${local.silence_seconds / 60} minutes"
      severity = "CRITICAL"
      # Half of the time is looked back, and half of it that must last: a new installation has it to speak first. A function
      # that does not start has its alarm: no second one for the same.
      query = { promql = "(sum(increase(${local.series["runs"]}{monitored_resource=\"cloud_run_revision\"}[${local.silence_seconds / 2}s])) or vector(0)) < 1 unless (sum(increase(${local.series["crashes"]}{monitored_resource=\"cloud_run_revision\"}[${local.silence_seconds}s])) or sum(increase(${local.series["crashes"]}{monitored_resource=\"cloud_scheduler_job\"}[${local.silence_seconds}s]))) > 0", seconds = local.silence_seconds / 2 }
      means = "No call has ended, good or bad, and none was refused: the job of the watch does not run."
      where = "Not in our lines. Look at the job (`state`, `status.code`), then at the function's start."
      type  = "`gcloud scheduler jobs describe ${google_cloud_scheduler_job.watch.name} --location=${var.region} --project=${local.project_id}`, then `${local.commands.crashes}`"
      never = "take it for a failed night: the sync may have run."
    }
    stale = {
      title    = "stale data"
      subject  = "$${log.extracted_label.table} is stale"
      severity = "ERROR"
      line = {
        filter = "${local.log_base} AND jsonPayload.event=\"freshness\" AND (jsonPayload.age_seconds>${local.stale_seconds} OR jsonPayload.ok_age_seconds>${local.stale_seconds} OR jsonPayload.empty_seconds>${local.stale_seconds})"
        labels = { table = "jsonPayload.table" }
      }
      means = "Table $${log.extracted_label.table} has had no good run, or no newer row in Aito (or never one), for ${var.stale_after_hours} hours."
      where = "Line `freshness`: `ok_age_seconds` is the age of the last good run, `age_seconds` that of the newest row in Aito, and `empty_seconds` says for how long nothing was ever loaded. If only `age_seconds` is over, the runs are fine and the source has nothing new: look at what fills BigQuery."
      type  = "`${local.commands.runs}`"
      never = "raise `stale_after_hours` before you know which of the two it is."
    }
    warning = {
      title    = "a warning"
      subject  = "$${log.extracted_label.table}: $${log.extracted_label.reason}"
      severity = "WARNING"
      line = {
        filter = "${local.log_base} AND jsonPayload.event=\"table_warning\" AND severity>=WARNING AND NOT jsonPayload.code=(${join(" OR ", [for code in sort(setunion(var.quiet_warnings, local.own_alarms)) : "\"${code}\""])})"
        labels = { table = "jsonPayload.table", reason = "jsonPayload.code", warning = "jsonPayload.summary" }
      }
      means = "Table $${log.extracted_label.table} ended `ok` with the warning `$${log.extracted_label.reason}`: the data may not be what you expect."
      says  = { "The warning" = "$${log.extracted_label.warning}" }
      where = "With its numbers in field `message` of the line `table_warning`."
      type  = "`${local.commands.warnings}`"
      never = "ignore it by habit: what you know and accept goes into `quiet_warnings`, by its code."
    }
  }

  # A call that reached no code of ours: Python's or Cloud Run's own words, and calls that Cloud Scheduler was refused.
  not_started = "(${local.log_base} AND (severity>=ERROR OR textPayload:\"Traceback\") AND NOT jsonPayload.event:* AND NOT logName:\"run.googleapis.com%2Frequests\") OR (${local.job_base} AND jsonPayload.status=(\"PERMISSION_DENIED\" OR \"UNAUTHENTICATED\" OR \"NOT_FOUND\"))"

  job_base = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=(\"${var.name}-sync\" OR \"${var.name}-reconcile\" OR \"${var.name}-watch\")"

  # log-based metric -> its name in PromQL
  series = { for key, metric in google_logging_metric.count : key => "logging_googleapis_com:user_${replace(metric.name, "-", "_")}" }

  commands = {
    crashes   = "gcloud logging read '(resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${var.name}\" (severity>=ERROR OR textPayload:*) -jsonPayload.event:*) OR (${local.job_base} severity>=ERROR)' --project=${local.project_id} --freshness=1d --limit=20"
    page      = "gcloud run services proxy ${var.name} --region=${var.region} --project=${local.project_id} --port=8080"
    rejects   = "bq query --nouse_legacy_sql 'SELECT rejected_at, key, reason FROM ${local.ledger_project}.${local.ledger_dataset}.rejects AS r WHERE r.table = \"$${log.extracted_label.table}\" ORDER BY rejected_at DESC LIMIT 20'"
    run_now   = "gcloud scheduler jobs run ${google_cloud_scheduler_job.sync.name} --location=${var.region} --project=${local.project_id}"
    run_table = "gcloud pubsub topics publish ${var.name} --project=${local.project_id} --message='{\"action\":\"sync\",\"tables\":[\"$${log.extracted_label.table}\"]}'"
    runs      = "bq query --nouse_legacy_sql 'SELECT started_at, action, status, uploaded, error FROM ${local.ledger_project}.${local.ledger_dataset}.runs ORDER BY started_at DESC LIMIT 20'"
    warnings  = "gcloud logging read 'resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${var.name}\" jsonPayload.event=\"table_warning\"' --project=${local.project_id} --freshness=2d --limit=20 --format='value(timestamp,jsonPayload.table,jsonPayload.code,jsonPayload.message)'"
  }
}
