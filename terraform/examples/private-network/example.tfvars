# Outgoing traffic leaves through a subnetwork, so that Aito can be told one address (Cloud NAT on the subnetwork's
# network), and calls come from inside only. The subnetwork, its NAT and Private Google Access are yours; a shared VPC
# needs roles/compute.networkUser on the subnetwork for this project's Cloud Run service agent.
# With this the page is seen from inside the network: `gcloud run services proxy` from a laptop is answered 404.
project_id  = "example-project"
alert_email = "data-team@example.com"
config_file = "examples/private-network/sync.yaml"

private_network = {
  subnetwork = "projects/net-project/regions/europe-west1/subnetworks/aito-egress"
  tags       = ["aito-sync"]
}
