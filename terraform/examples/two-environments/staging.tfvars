# The second environment of one repository and one project: another name, another configuration, another state.
#   terraform init -reconfigure -backend-config=bucket=my-project-aito-sync-state -backend-config=prefix=aito-sync/staging
#   terraform apply -var-file=examples/two-environments/staging.tfvars
project_id        = "example-project"
name              = "aito-staging"
alert_email       = "data-team@example.com"
config_file       = "examples/two-environments/staging.yaml"
schedule          = "15 6 * * 1-5" # working days, for somebody to look at
stale_after_hours = 74
