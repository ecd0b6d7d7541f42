# The sync's configuration, read from the same file that goes into the function. Terraform takes from it which datasets to
# open, where the ledger is, which secret holds the key, and the clocks. A mistake fails the plan: nothing has been made
# by then. The file is checked against sync.schema.json, which the function's own settings write (`make schema`).

locals {
  config_path = coalesce(var.config_file, "${path.module}/../sync.yaml")
  config      = yamldecode(file(local.config_path))
  problems    = module.schema.problems

  tables       = try(tolist(local.config.tables), [for t in local.config.tables : t], [])
  table_names  = [for t in local.tables : try(t.name, "(a table without a name)")]
  jobs_project = try(coalesce(local.config.bigquery.project), local.project_id)

  # The shapes of sync/config/settings.py; an old project may be "example.com:name".
  dataset_shape = "^(?:(?P<project>(?:[A-Za-z0-9][A-Za-z0-9.-]*:)?[A-Za-z0-9][A-Za-z0-9-]*)\\.)?(?P<dataset>[A-Za-z0-9_]+)$"
  source_shape  = "^(?:(?P<project>(?:[A-Za-z0-9][A-Za-z0-9.-]*:)?[A-Za-z0-9][A-Za-z0-9-]*)\\.)?(?P<dataset>[A-Za-z0-9_]+)\\.[^.`]+$"

  sources = [for t in local.tables : { table = try(t.name, "?"), source = t.source } if try(t.source, null) != null]
  read_pairs = concat(
    [for s in local.sources : try(regex(local.source_shape, s.source), { project = "?", dataset = "?" })],
    [for d in var.source_datasets : regex(local.dataset_shape, d)],
  )
  # "project.dataset" -> its two halves; each once
  read_datasets = { for pair in distinct([for p in local.read_pairs : { project = coalesce(p.project, local.jobs_project), dataset = p.dataset }]) : "${pair.project}.${pair.dataset}" => pair }

  queries = [for t in local.tables : try(t.name, "?") if try(t.query, null) != null]

  # Rules that a schema cannot say, each with its place.
  contradictions = concat(
    [for i, t in local.tables : {
      at   = ["tables", tostring(i), "name"]
      text = "${t.name} is the name of another table too; each Aito table has one entry"
    } if try(index(local.table_names, t.name) != i, false)],
    [for i, t in local.tables : {
      at   = ["tables", tostring(i)]
      text = "${try(t.name, "?")} must have either `source` or `query`, and not both"
    } if(try(t.source, null) != null) == (try(t.query, null) != null)],
    flatten([for i, t in local.tables : try([for c, d in coalesce(t.columns) : {
      at   = ["tables", tostring(i), "columns", c, "link"]
      text = "${d.link} points to a table that is not configured; a link needs its target among the tables"
    } if try(d.link, null) != null && !contains(local.table_names, try(split(".", d.link)[0], ""))], [])]),
  )

  ledger         = try(coalesce(local.config.ledger), "(nothing)")
  ledger_pair    = try(regex(local.dataset_shape, local.ledger), { project = "?", dataset = "?" })
  ledger_project = coalesce(local.ledger_pair.project, local.jobs_project)
  ledger_dataset = local.ledger_pair.dataset
  # Where the sources are. BigQuery would put a dataset without a location into the US: that is never assumed.
  ledger_location = try(coalesce(local.config.bigquery.location), var.ledger_location)

  location_of = try(replace(sort(keys(local.read_datasets))[0], ".", ":"), "PROJECT:DATASET")

  # An id is a secret that Terraform makes. A full name is one that exists already: it is only opened to the function.
  secret_setting = try(coalesce(local.config.aito.api_key_secret), "")
  secret_name    = try(regex("^projects/(?P<project>[^/]+)/secrets/(?P<id>[^/]+)(?:/versions/[^/]+)?$", local.secret_setting), null)
  secret_is_ours = local.secret_name == null
  secret_project = local.secret_is_ours ? local.project_id : local.secret_name.project
  secret_id      = local.secret_is_ours ? local.secret_setting : local.secret_name.id

  topic_setting = try(coalesce(local.config.topic), null)
  topic_name    = "projects/${local.project_id}/topics/${var.name}"
}

module "schema" {
  source = "./modules/schema"

  config = jsonencode(local.config)
  schema = file("${local.root}/sync.schema.json")
  text   = file(local.config_path)
  more   = local.contradictions
}

resource "terraform_data" "configuration" {
  lifecycle {
    precondition {
      condition     = length(local.problems) == 0
      error_message = "${local.config_path}: ${length(local.problems)} to correct.\n${join("\n", local.problems)}\n"
    }
    precondition {
      condition     = length(local.queries) == 0 || length(var.source_datasets) > 0
      error_message = "${local.config_path}: ${join(", ", local.queries)} read by `query:`, and Terraform does not read SQL. Name the datasets that the queries read in source_datasets."
    }
    precondition {
      condition     = can(regex(local.dataset_shape, local.ledger))
      error_message = "${local.config_path}: ledger is \"${local.ledger}\"; it must be \"dataset\" or \"project.dataset\"."
    }
    precondition {
      condition     = local.ledger_location != null
      error_message = "${local.config_path}: bigquery.location is not set. The ledger must stand where the sources are, as it holds copies of rejected rows. Look: bq show --format=prettyjson ${local.location_of} | grep '\"location\"'. Then write it under bigquery.location, or set ledger_location."
    }
    precondition {
      condition     = !contains(keys(local.read_datasets), "${local.ledger_project}.${local.ledger_dataset}")
      error_message = "${local.config_path}: ${local.ledger_project}.${local.ledger_dataset} is both a source and the ledger. The function may write to the ledger and must never be able to write to a source: give the ledger a dataset of its own."
    }
    precondition {
      condition     = !local.secret_is_ours || can(regex("^[A-Za-z0-9_-]{1,255}$", local.secret_setting))
      error_message = "${local.config_path}: aito.api_key_secret must be a secret's id (letters, digits, _ and -), or projects/P/secrets/S. It is the name of the secret, never the key; the function has no other way to it."
    }
    precondition {
      condition     = local.topic_setting == null || local.topic_setting == local.topic_name
      error_message = "${local.config_path}: topic is \"${coalesce(local.topic_setting, "null")}\", but what is delivered to the function is ${local.topic_name}. Write that, or leave topic out."
    }
  }
}
