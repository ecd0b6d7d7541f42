# The sync's own tables: runs, rejects, evaluations, leases, checkpoints. The columns are those the code reads, from the
# same files. They are kept when everything else is removed (README, "Remove"): deletion protection is left on.

locals {
  ledger_files = "${path.module}/../sync/ledger"

  # What is partitioned by what, and for how many days it is kept; null: for ever. Rejects hold rows of the source, so
  # they are kept no longer than it takes to look at them. Evaluations are few and are compared over years.
  ledger_tables = {
    checkpoints = { partition = null, days = null }
    evaluations = { partition = "started_at", days = null }
    leases      = { partition = null, days = null }
    rejects     = { partition = "rejected_at", days = 90 }
    runs        = { partition = "started_at", days = 400 }
  }
}

# Whose state this is. Other values on it would replace the ledger, and so the whole plan is refused.
resource "terraform_data" "environment" {
  input = "${local.project_id}/${var.name}"
}

resource "google_bigquery_dataset" "ledger" {
  project                    = local.ledger_project
  dataset_id                 = local.ledger_dataset
  location                   = local.ledger_location
  description                = "What ${var.name} did: runs, rejects, evaluations, leases, checkpoints"
  delete_contents_on_destroy = false

  # A plan that would remove or replace the ledger is refused: `terraform destroy`, another location, and the values of
  # one environment on the state of another.
  lifecycle {
    prevent_destroy      = true
    replace_triggered_by = [terraform_data.environment]
  }

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
      expiration_ms = each.value.days == null ? null : each.value.days * 24 * 60 * 60 * 1000
    }
  }

  lifecycle {
    prevent_destroy = true

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
