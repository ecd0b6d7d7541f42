# What runs, as a zip: main.py, sync/, requirements.txt and the configuration. Its hash is in the object's name, so that
# a changed line deploys, and a changed README or test does not.

locals {
  root = "${path.module}/.."
  code = toset([
    for f in fileset(local.root, "sync/**") : f
    if can(regex("\\.(py|json|html|css|js|svg|sql)$", f)) && !strcontains(f, "__pycache__")
  ])
  zip = merge(
    { for f in local.code : f => file("${local.root}/${f}") },
    { for f in ["main.py", "requirements.txt"] : f => file("${local.root}/${f}") },
    { "sync.yaml" = file(local.config_path) },
  )
}

data "archive_file" "source" {
  type        = "zip"
  output_path = "${path.root}/.terraform/source.zip"

  dynamic "source" {
    for_each = local.zip
    content {
      filename = source.key
      content  = source.value
    }
  }
}

resource "google_storage_bucket" "source" {
  name                        = "${local.project_id}-${var.name}-source"
  location                    = var.region
  public_access_prevention    = "enforced"
  uniform_bucket_level_access = true
  force_destroy               = false

  depends_on = [google_project_service.this]
}

resource "google_storage_bucket_object" "source" {
  bucket = google_storage_bucket.source.name
  name   = "${data.archive_file.source.output_sha256}.zip"
  source = data.archive_file.source.output_path
}

resource "google_storage_bucket_iam_member" "source_build" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.build.member
}
