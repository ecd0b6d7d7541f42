# One table, a key that you add, every default.
project_id  = "example-project"
alert_email = "data-team@example.com"
config_file = "examples/minimal/sync.yaml"
