# The function, and who may call it: the invoker account (schedule.tf and topic.tf use it) and var.callers. Nobody else;
# a call without a token of one of them is answered 403 by Google before our code runs.

resource "google_service_account" "runtime" {
  account_id   = "${var.name}-run"
  display_name = "${var.name}: the function runs as this"

  depends_on = [google_project_service.this]
}

resource "google_service_account" "invoker" {
  account_id   = "${var.name}-call"
  display_name = "${var.name}: Scheduler and Pub/Sub call the function as this"

  depends_on = [google_project_service.this]
}

resource "google_cloudfunctions2_function" "sync" {
  name        = var.name
  location    = var.region
  description = "Keeps Aito fed from BigQuery"

  build_config {
    runtime           = "python313"
    entry_point       = "sync"
    docker_repository = google_artifact_registry_repository.images.id
    service_account   = google_service_account.build.id

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source.name
      }
    }
  }

  service_config {
    service_account_email = google_service_account.runtime.email
    timeout_seconds       = local.function_timeout_seconds
    available_memory      = var.memory
    available_cpu         = "1" # more than one request at a time needs a whole one

    # One process. That bounds the cost and the load on Aito; what keeps two runs apart is the lease, not this number.
    min_instance_count = 0
    max_instance_count = 1
    # A sync, the watch, somebody at the page, and one to spare.
    max_instance_request_concurrency = 4

    # Open to the internet means: IAM answers there. Scheduler and Pub/Sub of this project count as inside.
    ingress_settings = var.private_network == null ? "ALLOW_ALL" : "ALLOW_INTERNAL_ONLY"

    direct_vpc_egress = var.private_network == null ? null : "VPC_EGRESS_ALL_TRAFFIC"
    dynamic "direct_vpc_network_interface" {
      for_each = var.private_network[*]
      content {
        subnetwork = direct_vpc_network_interface.value.subnetwork
        tags       = direct_vpc_network_interface.value.tags
      }
    }

    # No secret here: the key is read from Secret Manager while running, so a new version needs no deployment.
    environment_variables = {
      GOOGLE_CLOUD_PROJECT = local.project_id
      LOG_EXECUTION_ID     = "true"
      SYNC_CONFIG          = "sync.yaml"
    }
  }

  # The first build and the first request need these.
  depends_on = [
    google_artifact_registry_repository_iam_member.images_build,
    google_project_iam_member.build_copied_source,
    google_project_iam_member.build_logs,
    google_storage_bucket_iam_member.source_build,
  ]
}

# A gen2 function is called through its Cloud Run service, so that is where the permission stands. A function that is
# made anew has a new service without it: hence the trigger.
resource "google_cloud_run_v2_service_iam_member" "invoker" {
  name     = google_cloudfunctions2_function.sync.name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.invoker.member

  lifecycle {
    replace_triggered_by = [google_cloudfunctions2_function.sync.id]
  }
}

resource "google_cloud_run_v2_service_iam_member" "callers" {
  for_each = var.callers

  name     = google_cloudfunctions2_function.sync.name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.value

  lifecycle {
    replace_triggered_by = [google_cloudfunctions2_function.sync.id]
  }
}
