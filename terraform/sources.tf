# What the function may read: the datasets that the configuration names and var.source_datasets, each by itself.

resource "google_bigquery_dataset_iam_member" "read" {
  for_each = local.read_datasets

  project    = each.value.project
  dataset_id = each.value.dataset
  role       = "roles/bigquery.dataViewer"
  member     = google_service_account.runtime.member
}

# Running a query is a permission of the project that pays, and opens no data.
resource "google_project_iam_member" "runtime_jobs" {
  project = local.jobs_project
  role    = "roles/bigquery.jobUser"
  member  = google_service_account.runtime.member
}
