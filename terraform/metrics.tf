# Numbers out of the log lines, for the dashboard and the alarm on silence. Every line is one JSON object with an `event`
# and its fields; gen2 functions log as their Cloud Run service.

locals {
  log_base = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.name}\""

  # The watch ends with a `table_done` for each table as well, all zeros: counted along, it would halve the rows of the
  # night.
  loads = "(jsonPayload.action=\"sync\" OR jsonPayload.action=\"reconcile\")"

  # field of an event -> a distribution; its mean over an hour is the number itself, as each table writes one line a run
  measures = {
    aito_calls       = { event = "table_done", field = "aito_calls", unit = "1", labels = ["table"] }
    accuracy         = { event = "evaluation_finished", field = "accuracy", unit = "1", labels = ["table", "name"] }
    bytes_processed  = { event = "table_done", field = "bytes_processed", unit = "By", labels = ["table"] }
    data_age_seconds = { event = "freshness", field = "age_seconds", unit = "s", labels = ["table"] }
    deleted          = { event = "table_done", field = "deleted", unit = "1", labels = ["table"] }
    open_rejects     = { event = "freshness", field = "open_rejects", unit = "1", labels = ["table"] }
    purged           = { event = "table_done", field = "purged", unit = "1", labels = ["table"] }
    rejected         = { event = "table_done", field = "rejected", unit = "1", labels = ["table"] }
    run_age_seconds  = { event = "freshness", field = "ok_age_seconds", unit = "s", labels = ["table"] }
    seconds          = { event = "table_done", field = "seconds", unit = "s", labels = ["table"] }
    uploaded         = { event = "table_done", field = "uploaded", unit = "1", labels = ["table"] }
  }

  # lines -> a count
  counts = {
    crashes     = { filter = local.not_started, labels = {} }
    errors      = { filter = "severity>=ERROR", labels = { event = "event" } }
    evaluations = { filter = "(jsonPayload.event=\"evaluation_started\" OR jsonPayload.event=\"evaluation_skipped\" OR jsonPayload.event=\"evaluation_finished\" OR jsonPayload.event=\"evaluation_failed\")", labels = { table = "table", event = "event" } }
    never_ok    = { filter = "jsonPayload.event=\"freshness\" AND jsonPayload.ok_age_seconds=NULL_VALUE", labels = { table = "table" } }
    runs        = { filter = "jsonPayload.event=\"run_done\"", labels = { action = "action", status = "status" } }
    tables_done = { filter = "jsonPayload.event=\"table_done\" AND ${local.loads}", labels = { table = "table", status = "status" } }
    waiting     = { filter = "jsonPayload.event=\"table_done\" AND ${local.loads} AND jsonPayload.status=\"failed\" AND jsonPayload.retryable=true", labels = { table = "table" } }
    warnings    = { filter = "jsonPayload.event=\"table_warning\"", labels = { table = "table", code = "code" } }
  }
}

resource "google_logging_metric" "measure" {
  for_each = local.measures

  name            = "${var.name}-${each.key}"
  description     = "${each.value.field} of ${each.value.event}"
  filter          = "${local.log_base} AND jsonPayload.event=\"${each.value.event}\" AND ${each.value.event == "table_done" ? "${local.loads} AND " : ""}jsonPayload.${each.value.field}>=0"
  value_extractor = "EXTRACT(jsonPayload.${each.value.field})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = each.value.unit

    dynamic "labels" {
      for_each = each.value.labels
      content {
        key        = labels.value
        value_type = "STRING"
      }
    }
  }

  label_extractors = { for label in each.value.labels : label => "EXTRACT(jsonPayload.${label})" }

  depends_on = [google_project_service.this]
}

resource "google_logging_metric" "count" {
  for_each = local.counts

  name        = "${var.name}-${each.key}"
  description = "Lines where ${each.value.filter}"
  filter      = each.key == "crashes" ? each.value.filter : "${local.log_base} AND ${each.value.filter}"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    dynamic "labels" {
      for_each = each.value.labels
      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }

  label_extractors = { for label, field in each.value.labels : label => "EXTRACT(jsonPayload.${field})" }

  depends_on = [google_project_service.this]
}
