# Lines to paste. In the order in which a new installation needs them: `terraform output -raw add_key`, and so on.

output "add_key" {
  description = "Add the Aito key, now and at every rotation: asks for it, so that it is in no file and no shell history."
  value       = "bash -c 'read -rsp \"Aito read-write key: \" k && printf %s \"$k\" | gcloud secrets versions add ${local.secret_id} --project=${local.secret_project} --data-file=-'"
}

output "dashboard" {
  description = "Where the numbers are drawn."
  value       = local.dashboard_url
}

output "disable_old_keys" {
  description = "Disable every version of the Aito key but the newest, when the new key works."
  value       = "gcloud secrets versions list ${local.secret_id} --project=${local.secret_project} --filter=state=ENABLED --sort-by=~createTime --format='value(name.basename())' | tail -n +2 | while read -r v; do gcloud secrets versions disable \"$v\" --secret=${local.secret_id} --project=${local.secret_project} --quiet; done"
}

output "logs" {
  description = "What happened, newest first."
  value       = "gcloud logging read 'resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${var.name}\" jsonPayload.event:*' --project=${local.project_id} --freshness=2d --limit=50 --format='value(timestamp,severity,jsonPayload.event,jsonPayload.table,jsonPayload.message)'"
}

output "reconcile_now" {
  description = "Compare both ends over everything that is kept, and repair, also where reconcile_schedule is null."
  value       = "gcloud pubsub topics publish ${google_pubsub_topic.runs.name} --project=${local.project_id} --message='${jsonencode({ action = "reconcile" })}'"
}

output "run_now" {
  description = "Start a sync now, as the nightly job does it."
  value       = local.commands.run_now
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
