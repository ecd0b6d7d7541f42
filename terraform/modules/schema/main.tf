# Validates sync.yaml by its own JSON schema, within the plan: no program is run, so it works on every machine that has
# terraform. Each problem names its place and the line of the file.
#
# What JSON Schema can say is checked here: keys, types, patterns, ranges. Rules between settings are in ../../config.tf;
# ../../validate.py says everything, with the code that the function itself reads the file with.

variable "config" {
  description = "The configuration, as JSON."
  type        = string
}

variable "schema" {
  description = "The JSON schema, as JSON."
  type        = string
}

variable "text" {
  description = "The text of the file, to find lines in."
  type        = string
}

variable "more" {
  description = "Problems that were found otherwise, to be placed along."
  type        = list(object({ at = list(string), text = string }))
  default     = []
}

output "problems" {
  description = "One sentence a problem: line, place, what is wrong, what would be right."
  value       = local.sentences
}

locals {
  root = [{ at = [], value = var.config, options = [var.schema] }]
  defs = jsonencode(try(jsondecode(var.schema)["$defs"], {}))

  found = concat(
    module.level_0.problems, module.level_1.problems, module.level_2.problems, module.level_3.problems,
    module.level_4.problems, module.level_5.problems, module.level_6.problems, var.more,
  )
  start = [for problem in local.found : { line = 0, rest = problem.at }]

  sentences = [for i, problem in local.found : join("", [
    "line ${module.place_6.places[i].line + 1}: ",
    length(problem.at) == 0 ? "the file" : replace(join(".", problem.at), "/\\.([0-9]+)/", "[$1]"),
    " ${problem.text}",
  ])]
}

# Terraform has no recursion: one block a level of the file.
module "level_0" {
  source = "./level"
  defs   = local.defs
  nodes  = local.root
}

module "level_1" {
  source = "./level"
  defs   = local.defs
  nodes  = module.level_0.children
}

module "level_2" {
  source = "./level"
  defs   = local.defs
  nodes  = module.level_1.children
}

module "level_3" {
  source = "./level"
  defs   = local.defs
  nodes  = module.level_2.children
}

module "level_4" {
  source = "./level"
  defs   = local.defs
  nodes  = module.level_3.children
}

module "level_5" {
  source = "./level"
  defs   = local.defs
  nodes  = module.level_4.children
}

module "level_6" {
  source = "./level"
  defs   = local.defs
  nodes  = module.level_5.children
}

# From the first line of the file, one step for each part of the place.
module "place_1" {
  source = "./place"
  text   = var.text
  places = local.start
}

module "place_2" {
  source = "./place"
  text   = var.text
  places = module.place_1.places
}

module "place_3" {
  source = "./place"
  text   = var.text
  places = module.place_2.places
}

module "place_4" {
  source = "./place"
  text   = var.text
  places = module.place_3.places
}

module "place_5" {
  source = "./place"
  text   = var.text
  places = module.place_4.places
}

module "place_6" {
  source = "./place"
  text   = var.text
  places = module.place_5.places
}
