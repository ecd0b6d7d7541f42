# Whom to tell, and how: one policy for each alarm of alarms.tf.

locals {
  channels = concat(google_monitoring_notification_channel.email[*].id, sort(var.notification_channels))

  dashboard_url = "https://console.cloud.google.com/monitoring/dashboards/builder/${reverse(split("/", google_monitoring_dashboard.sync.id))[0]}?project=${local.project_id}"
  log_url       = "https://console.cloud.google.com/logs/query;query=${urlencode("resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${var.name}\" severity>=WARNING")};duration=P1D?project=${local.project_id}"

  # The text of each mail.
  texts = { for key, alarm in local.alarms : key => join("\n", concat(
    ["**What it means.** ${alarm.means}"],
    [for head, text in try(alarm.says, {}) : "**${head}.** ${text}"],
    [
      "**Where the error is.** ${alarm.where}",
      "**Type** ${alarm.type}",
      "**Do not** ${alarm.never}",
      "",
      "**Look further.** docs/runbook.md says what to do under this alarm's title. Page: `${local.commands.page}`, then http://127.0.0.1:8080. Stop everything: `terraform apply -var pause=true`.",
    ],
  )) }

  links = { for key, alarm in local.alarms : key => concat(
    [{ name = "Log of the last day", url = local.log_url }, { name = "Dashboard", url = local.dashboard_url }],
    [for url in var.runbook_url[*] : { name = "Runbook", url = "${url}#${replace(alarm.title, " ", "-")}" }],
  ) }
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
    error_message = "pause is set: no job runs, messages wait, and the alarms for stale and missing data are off. Aito is not fed until it is taken out."
  }
}

resource "google_monitoring_notification_channel" "email" {
  count = var.alert_email == null ? 0 : 1

  display_name = "${var.name}: ${var.alert_email}"
  type         = "email"
  labels       = { email_address = var.alert_email }

  depends_on = [google_project_service.this]
}

resource "google_monitoring_alert_policy" "alarm" {
  for_each = local.alarms

  display_name          = "${var.name}: ${each.value.title}"
  severity              = each.value.severity
  combiner              = "OR"
  notification_channels = local.channels
  enabled               = !contains(local.quiet, each.key)

  conditions {
    display_name = each.value.title

    dynamic "condition_matched_log" {
      for_each = try(each.value.line, null)[*]
      content {
        filter           = condition_matched_log.value.filter
        label_extractors = { for label, field in condition_matched_log.value.labels : label => "EXTRACT(${field})" }
      }
    }

    dynamic "condition_prometheus_query_language" {
      for_each = try(each.value.query, null)[*]
      content {
        query                     = condition_prometheus_query_language.value.promql
        duration                  = "${condition_prometheus_query_language.value.seconds}s"
        evaluation_interval       = "300s"
        disable_metric_validation = true
      }
    }
  }

  # One mail for a state and day, and no mail that says that it is over. Only an alarm of lines takes a rate limit.
  alert_strategy {
    auto_close           = "604800s"
    notification_prompts = ["OPENED"]

    dynamic "notification_rate_limit" {
      for_each = try(each.value.line, null)[*]
      content {
        period = "86400s"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "${var.name}: ${each.value.subject}"
    content   = local.texts[each.key]

    dynamic "links" {
      for_each = local.links[each.key]
      content {
        display_name = links.value.name
        url          = links.value.url
      }
    }
  }
}
