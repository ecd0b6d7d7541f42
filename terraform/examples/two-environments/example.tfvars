# The first environment of two: see staging.tfvars for the other.
#   terraform init -reconfigure -backend-config=bucket=my-project-aito-sync-state -backend-config=prefix=aito-sync/production
#   terraform apply -var-file=examples/two-environments/example.tfvars
project_id  = "example-project"
alert_email = "data-team@example.com"
config_file = "examples/two-environments/sync.yaml"
