# Runs on demand (publish {"action": "sync"}) and the continuation of a run that is out of time (when the configuration
# names the topic). A push subscription to the same function rather than an event trigger: its acknowledgement deadline,
# back-off and dead letters are ours to set, and an HTTP function may take longer than an event function's 540 s.

locals {
  # The account with which Pub/Sub itself acts in this project: it moves dead letters and signs the push requests.
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic" "runs" {
  name = var.name

  depends_on = [google_project_service.this]
}

resource "google_pubsub_subscription" "runs" {
  name                       = var.name
  topic                      = google_pubsub_topic.runs.id
  ack_deadline_seconds       = local.ack_seconds
  message_retention_duration = "86400s" # an order for a run is stale after a day: the night has done it

  # Paused: messages wait, for as long as they are kept.
  dynamic "push_config" {
    for_each = var.pause ? [] : [1]
    content {
      push_endpoint = google_cloudfunctions2_function.sync.service_config[0].uri

      oidc_token {
        service_account_email = google_service_account.invoker.email
        audience              = google_cloudfunctions2_function.sync.service_config[0].uri
      }
    }
  }

  retry_policy {
    minimum_backoff = "${local.retry_minimum_seconds}s"
    maximum_backoff = "${local.retry_maximum_seconds}s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead.id
    max_delivery_attempts = local.delivery_attempts
  }

  expiration_policy {
    ttl = "" # never: a subscription that slept a month is still wanted
  }

  depends_on = [
    google_cloud_run_v2_service_iam_member.invoker,
    google_service_account_iam_member.invoker_pubsub,
  ]
}

resource "google_pubsub_topic" "dead" {
  name = "${var.name}-dead"

  depends_on = [google_project_service.this]
}

# Without a subscription a dead letter would be gone at once. This one keeps it for a week, to be looked at.
resource "google_pubsub_subscription" "dead" {
  name                       = "${var.name}-dead"
  topic                      = google_pubsub_topic.dead.id
  message_retention_duration = "604800s"

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_topic_iam_member" "dead_pubsub" {
  topic  = google_pubsub_topic.dead.id
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "runs_pubsub" {
  subscription = google_pubsub_subscription.runs.id
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

# Lets Pub/Sub sign push requests as the invoker, and nothing else in its name.
resource "google_service_account_iam_member" "invoker_pubsub" {
  service_account_id = google_service_account.invoker.name
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = local.pubsub_agent

  depends_on = [google_pubsub_topic.runs]
}

resource "google_pubsub_topic_iam_member" "runs_runtime" {
  count = local.topic_setting == null ? 0 : 1

  topic  = google_pubsub_topic.runs.id
  role   = "roles/pubsub.publisher"
  member = google_service_account.runtime.member
}
