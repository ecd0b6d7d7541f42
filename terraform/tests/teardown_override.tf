# `terraform test` removes what a mocked apply has made. The tests run in a copy of the deployment, with this file beside
# the others: there the ledger may be removed.

resource "google_bigquery_dataset" "ledger" {
  lifecycle {
    prevent_destroy = false
  }
}

resource "google_bigquery_table" "ledger" {
  lifecycle {
    prevent_destroy = false
  }
}
