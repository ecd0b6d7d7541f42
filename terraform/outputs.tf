# Lines to paste. In the order in which a new installation needs them: `terraform output -raw add_key`, and so on.

output "add_key" {
  description = "Add the Aito key, now and at every rotation: asks for it, so that it is in no file and no shell history."
  value       = "bash -c 'read -rsp \"Aito read-write key: \" k && printf %s \"$k\" | gcloud secrets versions add ${local.secret_id} --project=${local.secret_project} --data-file=-'"
}

output "dashboard" {
  description = "Where the numbers are drawn."
  value       = local.dashboard_url
}

output "logs" {
  description = "What happened, newest first."
  value       = "gcloud logging read 'resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${var.name}\" jsonPayload.event:*' --project=${local.project_id} --freshness=2d --limit=50 --format='value(timestamp,severity,jsonPayload.event,jsonPayload.table,jsonPayload.message)'"
}

output "run_now" {
  description = "Start a sync now, as the nightly job does it."
  value       = "gcloud scheduler jobs run ${google_cloud_scheduler_job.sync.name} --location=${var.region} --project=${local.project_id}"
}

output "run_one_table" {
  description = "Start a run by message, with anything the contract allows in it."
  value       = "gcloud pubsub topics publish ${google_pubsub_topic.runs.name} --project=${local.project_id} --message='${jsonencode({ action = "sync", tables = [local.table_names[0]] })}'"
}

output "see_page" {
  description = "The status page at http://127.0.0.1:8080, through your own Google login. The login must be allowed to call (callers), or be an owner."
  value       = local.commands.page
}

output "topic" {
  description = "What to write under `topic` in the configuration, for runs that ask for their own continuation."
  value       = local.topic_name
}
