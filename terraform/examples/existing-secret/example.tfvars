# The key is in a secret that somebody else keeps, in another project: it is looked up and opened to the function.
# Who applies this needs secretmanager.secrets.get and setIamPolicy on that secret (roles/secretmanager.admin on it).
project_id  = "example-project"
alert_email = "data-team@example.com"
config_file = "examples/existing-secret/sync.yaml"
