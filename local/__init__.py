"""The local stack: real servers on free loopback ports that stand in for the cloud.

BigQuery is the `bqemulator` package; Aito, Secret Manager and Pub/Sub are small servers of our own.
Tests, the demo and `make serve` use them. Nothing in here imports the product (`sync`): the
stand-ins know only the protocols.
"""
