# Five tables from three datasets, one of them by a query; half-hourly, each run short and continued by message.
project_id      = "example-project"
alert_email     = "data-team@example.com"
config_file     = "examples/many-tables/sync.yaml"
schedule        = "*/30 * * * *"
time_zone       = "Europe/Helsinki"
memory          = "2Gi"
source_datasets = ["shop", "warehouse-project.raw_events"] # what the query and the views read
callers         = ["group:data-team@example.com"]
