# Checks the values of one level, and answers the values one level down. Values and schemas travel as JSON text: a list
# in Terraform holds one type, and a configuration has many.

variable "defs" {
  description = "The schema's $defs, as JSON."
  type        = string
}

variable "nodes" {
  description = "Values of this level, each with its place and the schemas of which one must fit."
  type        = list(object({ at = list(string), value = string, options = list(string) }))
}

output "problems" {
  description = "What is wrong on this level."
  value       = concat(local.wrong_kind, local.wrong_value, local.missing, local.unknown)
}

output "children" {
  description = "The values one level down."
  value       = local.children
}

locals {
  # Each schema is decoded once, however many values are held against it.
  catalog = { for s in toset(flatten([for node in var.nodes : node.options])) : s => jsondecode(s) }

  # JSON text tells its kind by how it begins.
  read = [for node in var.nodes : merge(node, {
    found = jsondecode(node.value)
    kind = (
      node.value == "null" ? "null" :
      contains(["true", "false"], node.value) ? "boolean" :
      startswith(node.value, "\"") ? "string" :
      startswith(node.value, "[") ? "array" :
      startswith(node.value, "{") ? "object" :
      can(regex("^-?[0-9]+$", node.value)) ? "integer" : "number"
    )
  })]
  accepted = { for s, schema in local.catalog : s => (
    !can(schema.type) ? keys(local.names) : schema.type == "number" ? ["number", "integer"] : [schema.type]
  ) }
  typed = [for node in local.read : merge(node, {
    fits = [for s in node.options : s if contains(local.accepted[s], node.kind)]
  })]

  names = {
    array   = "a list"
    boolean = "true or false"
    integer = "a whole number"
    null    = "nothing"
    number  = "a number"
    object  = "a mapping of keys and values"
    string  = "text"
  }

  wrong_kind = [for node in local.typed : {
    at   = node.at
    text = "must be ${join(" or ", distinct([for s in node.options : local.names[local.catalog[s].type] if local.catalog[s].type != "null"]))}, and is ${local.names[node.kind]}"
  } if length(node.fits) == 0]

  # What each fitting schema has against the value. A value is wrong when every one of them has something. No value is
  # quoted: a key may stand there by mistake.
  complaints = [for node in local.typed : {
    at = node.at
    said = [for s in node.fits : (
      node.kind == "string" ? [for text in local.texts[s] : lookup(local.forms, try(node.at[length(node.at) - 2], "") == "cursor" ? "" : try(node.at[length(node.at) - 1], ""), text.wrong) if !(length(regexall(text.pattern, node.found)) > 0)] :
      contains(["integer", "number"], node.kind) ? compact([
        try(node.found >= local.catalog[s].minimum, true) ? "" : "must be at least ${local.catalog[s].minimum}",
        try(node.found <= local.catalog[s].maximum, true) ? "" : "must be at most ${local.catalog[s].maximum}",
        try(node.found > local.catalog[s].exclusiveMinimum, true) ? "" : "must be greater than ${local.catalog[s].exclusiveMinimum}",
        try(node.found < local.catalog[s].exclusiveMaximum, true) ? "" : "must be less than ${local.catalog[s].exclusiveMaximum}",
      ]) :
      length(node.found) >= try(local.catalog[s].minItems, local.catalog[s].minProperties, 0) ? [] : ["must not be empty"]
    )]
  } if length(node.fits) > 0 && !contains(["boolean", "null"], node.kind)]

  wrong_value = [for node in local.complaints : { at = node.at, text = node.said[0][0] } if alltrue([for said in node.said : length(said) > 0])]

  # What text must match. A pattern that Terraform's regular expressions cannot read is left to the function itself;
  # \w means letters of every language, as it does in Python.
  texts = { for s, schema in local.catalog : s => concat(
    [for words in try([schema.enum], []) : {
      pattern = "^(${join("|", [for word in words : replace(word, "/([^A-Za-z0-9_])/", "\\$1")])})$"
      wrong   = "must be one of ${join(", ", words)}"
    }],
    [for pattern in try([replace(schema.pattern, "\\w", "\\pL\\pN_")], []) : {
      pattern = pattern
      wrong   = "has a form that is not allowed; it must match ${schema.pattern}"
    } if can(regexall(pattern, ""))],
  ) }

  # Forms in words, by setting.
  forms = {
    api_key_secret = "must be the secret's id, or projects/P/secrets/S, or that with /versions/V; it is the name of the secret, never the key"
    keep           = "must be a duration such as 90d, 12h, 30m or 45s"
    ledger         = "must be \"dataset\" or \"project.dataset\""
    link           = "must be \"table.column\""
    lookback       = "must be a duration such as 90d, 12h, 30m or 45s"
    source         = "must be \"dataset.table\" or \"project.dataset.table\""
    url            = "must be an address such as https://my-db.aito.app, without ?, # and @"
  }

  objects = [for node in local.typed : node if node.kind == "object" && length(node.fits) > 0]

  missing = flatten([for node in local.objects : [
    for key in try(local.catalog[node.fits[0]].required, []) : {
      at   = node.at
      text = "has no `${key}`, and needs one"
    } if !can(node.found[key])
  ] if length(node.fits) == 1])

  # Settings, settings by pattern, and all others: name -> schema, as JSON text.
  fields   = { for s, schema in local.catalog : s => { for name, rule in try(schema.properties, {}) : name => jsonencode(rule) } }
  patterns = { for s, schema in local.catalog : s => [for pattern, rule in try(schema.patternProperties, {}) : { pattern = pattern, rule = jsonencode(rule) }] }
  others   = { for s, schema in local.catalog : s => can(keys(schema.additionalProperties)) ? jsonencode(schema.additionalProperties) : "" }
  closed   = { for s, schema in local.catalog : s => try(schema.additionalProperties == false, false) }

  unknown = flatten([for node in local.objects : [
    for key, value in node.found : {
      at = concat(node.at, [key])
      text = join("", ["is not a setting", (
        length([for name in keys(local.fields[node.fits[0]]) : name if substr(name, 0, 3) == substr(key, 0, 3)]) > 0
        ? "; did you mean ${join(" or ", [for name in keys(local.fields[node.fits[0]]) : name if substr(name, 0, 3) == substr(key, 0, 3)])}?"
        : "; known here: ${join(", ", keys(local.fields[node.fits[0]]))}"
      )])
    } if alltrue([for s in node.fits : local.closed[s] && !can(local.fields[s][key]) && !anytrue([for p in local.patterns[s] : can(regex(p.pattern, key))])])
  ]])

  # The values one level down, each with the schemas that its place gives it.
  below = concat(
    flatten([for node in local.objects : [for key, value in node.found : {
      at    = concat(node.at, [key])
      value = jsonencode(value)
      schemas = compact([for s in node.fits : try(
        local.fields[s][key],
        [for p in local.patterns[s] : p.rule if can(regex(p.pattern, key))][0],
        local.others[s],
      )])
    }]]),
    flatten([for node in local.typed : [for i, value in node.found : {
      at      = concat(node.at, [tostring(i)])
      value   = jsonencode(value)
      schemas = compact([for s in node.fits : try(jsonencode(local.catalog[s].items), "")])
    }] if node.kind == "array" && length(node.fits) > 0]),
  )

  # A schema -> what it stands for: references and alternatives are taken out, twice, which is what pydantic writes.
  defs    = jsondecode(var.defs)
  schemas = toset(flatten([for node in local.below : node.schemas]))
  once = { for s in local.schemas : s => [
    for option in try([for o in jsondecode(s).anyOf : jsonencode(o)], [for o in jsondecode(s).oneOf : jsonencode(o)], [s]) :
    try(jsonencode(local.defs[trimprefix(jsondecode(option)["$ref"], "#/$defs/")]), option)
  ] }
  leaves = { for s, options in local.once : s => flatten([for option in options : [
    for o in try([for o in jsondecode(option).anyOf : jsonencode(o)], [for o in jsondecode(option).oneOf : jsonencode(o)], [option]) :
    try(jsonencode(local.defs[trimprefix(jsondecode(o)["$ref"], "#/$defs/")]), o)
  ]]) }

  children = [for node in local.below : {
    at      = node.at
    value   = node.value
    options = flatten([for s in node.schemas : local.leaves[s]])
  } if length(node.schemas) > 0]
}
