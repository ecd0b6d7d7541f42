# The Aito key, and who may read it: the function's own account, and this secret alone. Terraform never sees the key;
# you add it as a version (`terraform output -raw add_key`), so that it is in no state, plan or log.

resource "google_secret_manager_secret" "key" {
  count = local.secret_is_ours ? 1 : 0

  secret_id = local.secret_id

  replication {
    auto {}
  }

  depends_on = [google_project_service.this]
}

# A secret that somebody else made is looked up, so that a wrong name fails the plan, and is otherwise left alone.
data "google_secret_manager_secret" "key" {
  count = local.secret_is_ours ? 0 : 1

  project   = local.secret_project
  secret_id = local.secret_id
}

resource "google_secret_manager_secret_iam_member" "runtime" {
  project   = local.secret_project
  secret_id = one(concat(google_secret_manager_secret.key[*].secret_id, data.google_secret_manager_secret.key[*].secret_id))
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.runtime.member
}
