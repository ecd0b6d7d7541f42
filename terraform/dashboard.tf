# One page: is it fresh, how much came, how long did it take, what did it read, how good is it, what went wrong.

locals {
  charts = [
    { title = "Age of the newest row in Aito", metric = "data_age_seconds", by = ["table"], label = "seconds" },
    { title = "Age of the last good run", metric = "run_age_seconds", by = ["table"], label = "seconds" },
    { title = "Rows new in Aito, per run", metric = "uploaded", by = ["table"], label = "rows" },
    { title = "Rows purged, per run", metric = "purged", by = ["table"], label = "rows" },
    { title = "Rows deleted because the source no longer has them, per run", metric = "deleted", by = ["table"], label = "rows" },
    { title = "Rows Aito would not take, per run", metric = "rejected", by = ["table"], label = "rows" },
    { title = "Seconds a table took, per run", metric = "seconds", by = ["table"], label = "seconds" },
    { title = "Bytes BigQuery read, per run", metric = "bytes_processed", by = ["table"], label = "bytes" },
    { title = "Calls to Aito, per run", metric = "aito_calls", by = ["table"], label = "calls" },
    { title = "Open rejects", metric = "open_rejects", by = ["table"], label = "rows" },
    { title = "Accuracy of the evaluations", metric = "accuracy", by = ["table", "name"], label = "share" },
  ]

  count_charts = [
    { title = "Calls that ended, by action and status", metric = "runs", by = ["action", "status"], label = "calls" },
    { title = "Tables done, by status", metric = "tables_done", by = ["status"], label = "tables" },
    { title = "Runs that wait for an upstream, by table", metric = "waiting", by = ["table"], label = "tables" },
    { title = "Warnings, by code", metric = "warnings", by = ["table", "code"], label = "lines" },
    { title = "Evaluations, by state and table", metric = "evaluations", by = ["table", "event"], label = "lines" },
    { title = "Errors, by event", metric = "errors", by = ["event"], label = "lines" },
  ]

  all_charts = concat(
    [for c in local.charts : merge(c, { type = google_logging_metric.measure[c.metric].name, reducer = "REDUCE_MEAN", plot = "LINE" })],
    [for c in local.count_charts : merge(c, { type = google_logging_metric.count[c.metric].name, reducer = "REDUCE_SUM", plot = "STACKED_BAR" })],
  )

  tiles = [for i, c in local.all_charts : {
    xPos   = (i % 2) * 24
    yPos   = floor(i / 2) * 14
    width  = 24
    height = 14
    widget = {
      title = c.title
      xyChart = {
        dataSets = [{
          plotType       = c.plot
          targetAxis     = "Y1"
          legendTemplate = join(" ", [for label in c.by : "$${metric.labels.${label}}"])
          timeSeriesQuery = {
            timeSeriesFilter = {
              filter = "metric.type=\"logging.googleapis.com/user/${c.type}\" AND resource.type=\"cloud_run_revision\""
              aggregation = {
                alignmentPeriod    = "3600s"
                perSeriesAligner   = "ALIGN_DELTA"
                crossSeriesReducer = c.reducer
                groupByFields      = [for label in c.by : "metric.label.${label}"]
              }
            }
          }
        }]
        yAxis = { label = c.label, scale = "LINEAR" }
      }
    }
  }]

  log_tile = {
    xPos   = 0
    yPos   = ceil(length(local.all_charts) / 2) * 14
    width  = 48
    height = 16
    widget = {
      title = "Warnings and errors"
      logsPanel = {
        filter        = "${local.log_base} AND severity>=WARNING"
        resourceNames = ["projects/${local.project_id}"]
      }
    }
  }
}

resource "google_monitoring_dashboard" "sync" {
  dashboard_json = jsonencode({
    displayName  = "${var.name}: BigQuery to Aito"
    mosaicLayout = { columns = 48, tiles = concat(local.tiles, [local.log_tile]) }
  })
}
