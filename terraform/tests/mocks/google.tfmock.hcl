# What Google would answer, as far as the tests look at it.

override_data {
  target = data.google_project.this
  values = { number = "123456789012", id = "projects/example-project" }
}

override_resource {
  target = google_service_account.runtime
  values = {
    email  = "runtime@example-project.iam.gserviceaccount.com"
    id     = "projects/example-project/serviceAccounts/runtime@example-project.iam.gserviceaccount.com"
    member = "serviceAccount:runtime@example-project.iam.gserviceaccount.com"
    name   = "projects/example-project/serviceAccounts/runtime@example-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.invoker
  values = {
    email  = "invoker@example-project.iam.gserviceaccount.com"
    id     = "projects/example-project/serviceAccounts/invoker@example-project.iam.gserviceaccount.com"
    member = "serviceAccount:invoker@example-project.iam.gserviceaccount.com"
    name   = "projects/example-project/serviceAccounts/invoker@example-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.build
  values = {
    email  = "build@example-project.iam.gserviceaccount.com"
    id     = "projects/example-project/serviceAccounts/build@example-project.iam.gserviceaccount.com"
    member = "serviceAccount:build@example-project.iam.gserviceaccount.com"
    name   = "projects/example-project/serviceAccounts/build@example-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_cloudfunctions2_function.sync
  values = {
    id             = "projects/example-project/locations/europe-west1/functions/aito-sync"
    service_config = { uri = "https://aito-sync-abc-ew.a.run.app" }
  }
}

override_resource {
  target = google_pubsub_topic.runs
  values = { id = "projects/example-project/topics/aito-sync" }
}

override_resource {
  target = google_pubsub_topic.dead
  values = { id = "projects/example-project/topics/aito-sync-dead" }
}
