# Whom to wake, and for what. clocks.tf tells the whole story of a night that fails; here are its alarms.
#
# Most conditions look at the log line itself and not at a metric made from it: the line carries the table and the run into
# the mail, compares the exact number, and needs no metric that Cloud Monitoring only knows ten minutes after it was made
# (an alert on a fresh log-based metric fails the first apply).

locals {
  # Log line -> alarm. `labels` are the fields that the mail shows.
  line_alarms = {
    evaluation = {
      title    = "accuracy finding"
      severity = "WARNING"
      filter   = "(jsonPayload.event=\"evaluation_finished\" OR jsonPayload.event=\"evaluation_failed\") AND severity>=ERROR"
      labels   = ["table", "name"]
      every    = "21600s"
      text     = "An evaluation failed, or its accuracy is below the `min_accuracy` of the configuration. Compare with the runs before: `SELECT * FROM ${local.ledger_dataset}.evaluations ORDER BY started_at DESC`."
    }
    failed = {
      title    = "a table failed"
      severity = "ERROR"
      filter   = "jsonPayload.event=\"table_done\" AND jsonPayload.status=\"failed\""
      labels   = ["table", "action", "run_id"]
      every    = "3600s"
      text     = "What is in Aito stays as it was, and the next run takes up where the last good one ended. The reason is in the line's `error` and in `${local.ledger_dataset}.runs`. With action `watch` it was only the hourly look that failed, and nothing is written of it."
    }
    purge = {
      title    = "a purge was refused"
      severity = "WARNING"
      filter   = "jsonPayload.event=\"purge_refused\""
      labels   = ["table", "run_id"]
      every    = "21600s"
      text     = "More rows than `purge.max_share` allows were about to be deleted. Nothing was. If that is right (a shorter `keep`, say), raise `purge.max_share` of the table for one run."
    }
    stale = {
      title    = "stale data"
      severity = "ERROR"
      filter   = "jsonPayload.event=\"freshness\" AND (jsonPayload.age_seconds>${var.stale_after_hours * 3600} OR jsonPayload.ok_age_seconds>${var.stale_after_hours * 3600})"
      labels   = ["table"]
      every    = "21600s"
      text     = "`ok_age_seconds` is the age of the table's last good run, `age_seconds` that of its newest row in Aito: both may be ${var.stale_after_hours} hours. If only `age_seconds` is over, the runs are fine and the source has nothing new: look at what fills BigQuery."
    }
  }

  look = "\n\nLog: `gcloud logging read 'resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${var.name}\" severity>=WARNING' --project=${local.project_id} --freshness=2d`"
}

# A warning, not a refusal: a first look at the deployment needs no address. It is repeated by every plan and apply.
check "somebody_is_told" {
  assert {
    condition     = var.alert_email != null
    error_message = "alert_email is not set: when a night fails nobody is told, and the alarms stand in the console alone. Set it in terraform.tfvars."
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
  notification_channels = google_monitoring_notification_channel.email[*].id

  conditions {
    display_name = each.value.title
    condition_matched_log {
      filter           = "${local.log_base} AND ${each.value.filter}"
      label_extractors = { for label in each.value.labels : label => "EXTRACT(jsonPayload.${label})" }
    }
  }

  alert_strategy {
    auto_close = "86400s"
    notification_rate_limit {
      period = each.value.every
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "${each.value.text}${local.look}"
  }
}

resource "google_monitoring_alert_policy" "dead_letters" {
  display_name          = "${var.name}: dead letters"
  severity              = "WARNING"
  combiner              = "OR"
  notification_channels = google_monitoring_notification_channel.email[*].id

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
    auto_close = "86400s"
  }

  documentation {
    mime_type = "text/markdown"
    content   = "A run that was asked for by message was refused ${local.delivery_attempts} times. The nightly run does its work; look why: `gcloud pubsub subscriptions pull ${google_pubsub_subscription.dead.name} --project=${local.project_id}` (add `--auto-ack` to clear it).${local.look}"
  }
}

# No line from the watch. Written so that "never seen" counts as silence too (a plain absence condition only fires after
# a first value), and without asking whether the metric exists yet.
resource "google_monitoring_alert_policy" "silence" {
  display_name          = "${var.name}: nothing logged"
  severity              = "CRITICAL"
  combiner              = "OR"
  notification_channels = google_monitoring_notification_channel.email[*].id

  conditions {
    display_name = "no freshness for ${local.silence_seconds / 3600} hours"
    condition_prometheus_query_language {
      query                     = "(sum(increase(logging_googleapis_com:user_${replace(google_logging_metric.count["watches"].name, "-", "_")}{monitored_resource=\"cloud_run_revision\"}[${local.silence_seconds}s])) or vector(0)) < 1"
      duration                  = "3600s" # a new installation has an hour to speak first
      evaluation_interval       = "300s"
      disable_metric_validation = true
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  documentation {
    mime_type = "text/markdown"
    content   = "The hourly watch has not reported. Is there a key (`terraform output -raw add_key`)? Does the job run (`gcloud scheduler jobs describe ${google_cloud_scheduler_job.watch.name} --location=${var.region} --project=${local.project_id}`)? Does the function start?${local.look}"
  }
}
