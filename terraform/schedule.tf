# When the function is called: every night to sync, every week to compare, every ten minutes to look. The numbers are in
# clocks.tf, who may call in function.tf. Success is 2xx; anything else is tried again. `pause` stops all of them.

resource "google_cloud_scheduler_job" "sync" {
  name             = "${var.name}-sync"
  description      = "Load, purge, start evaluations"
  region           = var.region
  schedule         = var.schedule
  time_zone        = var.time_zone
  paused           = var.pause
  attempt_deadline = "${local.scheduler_deadline}s"

  retry_config {
    retry_count          = local.scheduler_retries
    min_backoff_duration = "60s"
    max_backoff_duration = "600s"
    max_doublings        = 3
  }

  http_target {
    http_method = "POST"
    uri         = google_cloudfunctions2_function.sync.service_config[0].uri
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode(jsonencode({ action = "sync" }))

    oidc_token {
      service_account_email = google_service_account.invoker.email
      audience              = google_cloudfunctions2_function.sync.service_config[0].uri
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}

# Over everything that is kept, and not just the last day: what came later than `lookback`, or was deleted in the source.
# It meets the night's run now and then and is answered 409 while that is at work, hence the long waits.
resource "google_cloud_scheduler_job" "reconcile" {
  count = var.reconcile_schedule == null ? 0 : 1

  name             = "${var.name}-reconcile"
  description      = "Compare both ends, repair"
  region           = var.region
  schedule         = var.reconcile_schedule
  time_zone        = var.time_zone
  paused           = var.pause
  attempt_deadline = "${local.scheduler_deadline}s"

  retry_config {
    retry_count          = local.scheduler_retries
    min_backoff_duration = "600s"
    max_backoff_duration = "3600s"
    max_doublings        = 3
  }

  http_target {
    http_method = "POST"
    uri         = google_cloudfunctions2_function.sync.service_config[0].uri
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode(jsonencode({ action = "reconcile" }))

    oidc_token {
      service_account_email = google_service_account.invoker.email
      audience              = google_cloudfunctions2_function.sync.service_config[0].uri
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}

# The gauge behind the alarms for stale data and for silence. Aito keeps the result of an evaluation about 15 minutes:
# whoever looks every ten finds it. It calls Aito only while an evaluation is open.
resource "google_cloud_scheduler_job" "watch" {
  name             = "${var.name}-watch"
  description      = "Collect finished evaluations, report freshness"
  region           = var.region
  schedule         = "*/${local.watch_minutes} * * * *"
  time_zone        = "Etc/UTC"
  paused           = var.pause
  attempt_deadline = "${local.watch_deadline}s"

  retry_config {
    retry_count          = 1 # the next watch comes anyway
    min_backoff_duration = "60s"
    max_backoff_duration = "60s"
    max_doublings        = 1
  }

  http_target {
    http_method = "POST"
    uri         = google_cloudfunctions2_function.sync.service_config[0].uri
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode(jsonencode({ action = "watch" }))

    oidc_token {
      service_account_email = google_service_account.invoker.email
      audience              = google_cloudfunctions2_function.sync.service_config[0].uri
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}
