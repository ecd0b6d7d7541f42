"""Other Google services: Secret Manager, Pub/Sub."""
