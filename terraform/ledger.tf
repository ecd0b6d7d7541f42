# The sync's own books: runs, rejects, evaluations, leases. The columns are those the code reads, from the same files.
# The books are kept when everything else is removed (README, "Remove"): deletion protection is left on.

locals {
  ledger_files = "${path.module}/../sync/ledger"

  # What is partitioned by what, and for how many days it is kept. Rejects hold rows of the source, so they are kept no
  # longer than it takes to look at them; a year and a bit of the rest allows to compare with last year.
  ledger_tables = {
    evaluations = { partition = "started_at", days = 400 }
    leases      = { partition = null, days = null }
    rejects     = { partition = "rejected_at", days = 90 }
    runs        = { partition = "started_at", days = 400 }
  }
}

resource "google_bigquery_dataset" "ledger" {
  project                    = local.ledger_project
  dataset_id                 = local.ledger_dataset
  location                   = try(coalesce(local.config.bigquery.location), "US") # BigQuery's own default
  description                = "What ${var.name} did: runs, rejects, evaluations, leases"
  delete_contents_on_destroy = false

  depends_on = [google_project_service.this]
}

resource "google_bigquery_table" "ledger" {
  for_each = local.ledger_tables

  project             = google_bigquery_dataset.ledger.project
  dataset_id          = google_bigquery_dataset.ledger.dataset_id
  table_id            = each.key
  schema              = file("${local.ledger_files}/${each.key}.json")
  deletion_protection = true

  dynamic "time_partitioning" {
    for_each = each.value.partition[*]
    content {
      type          = "DAY"
      field         = time_partitioning.value
      expiration_ms = each.value.days * 24 * 60 * 60 * 1000
    }
  }

  lifecycle {
    precondition {
      condition     = toset(keys(local.ledger_tables)) == toset([for f in fileset(local.ledger_files, "*.json") : trimsuffix(f, ".json")])
      error_message = "The ledger tables here (${join(", ", keys(local.ledger_tables))}) and the files of ${local.ledger_files} differ."
    }
  }
}

resource "google_bigquery_dataset_iam_member" "ledger_runtime" {
  project    = google_bigquery_dataset.ledger.project
  dataset_id = google_bigquery_dataset.ledger.dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = google_service_account.runtime.member
}
