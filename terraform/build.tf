# Who turns the zip into a container image, and where the image is kept. Without an account of its own the build would
# run as the default compute account, which may do nearly everything.

locals {
  # The bucket that Cloud Functions makes for itself: the name is Google's.
  copied_sources = "projects/_/buckets/gcf-v2-sources-${data.google_project.this.number}-${var.region}"
}

resource "google_service_account" "build" {
  account_id   = "${var.name}-build"
  display_name = "${var.name}: builds the function"

  depends_on = [google_project_service.this]
}

resource "google_artifact_registry_repository" "images" {
  repository_id = var.name
  location      = var.region
  format        = "DOCKER"
  description   = "Images of ${var.name}"

  # The newest five are kept to roll back to, the rest goes after a month.
  cleanup_policies {
    id     = "keep-newest"
    action = "KEEP"
    most_recent_versions {
      keep_count = 5
    }
  }
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "2592000s"
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_artifact_registry_repository_iam_member" "images_build" {
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}

# Logs have no smaller place than the project to be written to.
resource "google_project_iam_member" "build_logs" {
  project = local.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.build.member
}

# Cloud Functions copies the zip to a bucket of its own, and builds from there. That bucket is made with the first
# function of a region, so it cannot be granted before: the condition narrows the grant to it.
resource "google_project_iam_member" "build_copied_source" {
  project = local.project_id
  role    = "roles/storage.objectViewer"
  member  = google_service_account.build.member

  condition {
    title       = "function-sources-only"
    description = "Only the bucket where Cloud Functions keeps the source it builds"
    expression  = "resource.name == \"${local.copied_sources}\" || resource.name.startsWith(\"${local.copied_sources}/\")"
  }
}
