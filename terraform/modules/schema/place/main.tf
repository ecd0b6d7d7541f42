# One step towards the line of a place: from a line, to the line of the next part, a key or the number of a list's item.

variable "text" {
  description = "The text of the file."
  type        = string
}

variable "places" {
  description = "For each problem: the line reached so far (from 0), and the parts that are left."
  type        = list(object({ line = number, rest = list(string) }))
}

output "places" {
  description = "The same, one part further; a part that is not found (it is missing) leaves the line where it is."
  value = [for i, place in var.places : {
    line = length(place.rest) == 0 ? place.line : try(local.hits[i][0], place.line)
    rest = slice(place.rest, min(1, length(place.rest)), length(place.rest))
  }]
}

locals {
  # Without comments, which may hold anything.
  lines = [for line in split("\n", var.text) : replace(line, "/(^|\\s)#.*$/", "")]

  # The first line of a list's items tells their indentation.
  dashes  = [for place in var.places : [for i, line in local.lines : i if i >= place.line && can(regex("^\\s*- ", line))]]
  indents = [for found in local.dashes : try(regex("^\\s*", local.lines[found[0]]), "")]

  hits = [for p, place in var.places : length(place.rest) == 0 ? [] : (
    can(tonumber(place.rest[0]))
    ? try([[for i in local.dashes[p] : i if startswith(local.lines[i], "${local.indents[p]}- ")][tonumber(place.rest[0])]], [])
    : [for i, line in local.lines : i if i >= place.line && can(regex(
      "(^|[\\s{,-])[\"']?${replace(place.rest[0], "/([^A-Za-z0-9_])/", "\\$1")}[\"']?\\s*:", line
    ))]
  )]
}
