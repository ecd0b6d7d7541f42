# The smallest set of values that plans: what the checks use.
project_id  = "example-project"
alert_email = "data-team@example.com"
config_file = "tests/configs/default.yaml"
