# What stands on the project's number, looked at after a (mocked) apply: so one apply goes through, too.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id  = "example-project"
  alert_email = "data-team@example.com"
  config_file = "tests/configs/default.yaml"
}

run "what_the_build_may" {
  command = apply

  assert {
    condition     = google_project_iam_member.build_logs.role == "roles/logging.logWriter" && google_artifact_registry_repository_iam_member.images_build.role == "roles/artifactregistry.writer" && google_storage_bucket_iam_member.source_build.role == "roles/storage.objectViewer"
    error_message = "the build reads the source, writes the image and its log"
  }
  assert {
    condition     = strcontains(google_project_iam_member.build_copied_source.condition[0].expression, "projects/_/buckets/gcf-v2-sources-123456789012-europe-west1/")
    error_message = "the build's project-wide look at objects is narrowed to the bucket of function sources"
  }
}

run "what_pubsub_may" {
  command = apply

  assert {
    condition = alltrue([
      google_pubsub_topic_iam_member.dead_pubsub.role == "roles/pubsub.publisher",
      google_pubsub_subscription_iam_member.runs_pubsub.role == "roles/pubsub.subscriber",
      google_service_account_iam_member.invoker_pubsub.role == "roles/iam.serviceAccountOpenIdTokenCreator",
      google_pubsub_topic_iam_member.dead_pubsub.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com",
      google_pubsub_subscription_iam_member.runs_pubsub.member == google_pubsub_topic_iam_member.dead_pubsub.member,
      google_service_account_iam_member.invoker_pubsub.member == google_pubsub_topic_iam_member.dead_pubsub.member,
    ])
    error_message = "Pub/Sub's own account moves dead letters (both grants) and signs pushes as the invoker"
  }
}
