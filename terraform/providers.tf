terraform {
  required_version = ">= 1.11"

  # Exact versions: an upgrade is a commit of yours, planned before it is applied. `terraform providers lock` adds the
  # checksums (README, "Providers").
  required_providers {
    archive = {
      source  = "hashicorp/archive"
      version = "2.8.1"
    }
    google = {
      source  = "hashicorp/google"
      version = "7.46.1"
    }
  }
}

provider "google" {
  project        = var.project_id # null: the project of the environment
  region         = var.region
  default_labels = var.labels
}

# Looked up while planning, so that a project that is not there, or not yours to see, is refused before anything is made,
# and that no later plan has to guess its number. Hence the API that the README turns on by hand.
data "google_project" "this" {
  project_id = var.project_id
}

locals {
  project_id = coalesce(var.project_id, trimprefix(data.google_project.this.id, "projects/"))
}
