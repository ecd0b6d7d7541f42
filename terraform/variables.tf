variable "alert_email" {
  description = "The address that alarms are mailed to. Left out, and without notification_channels: nobody, and every plan warns of it."
  type        = string
  default     = null

  validation {
    condition     = var.alert_email == null ? true : can(regex("^[^@[:space:]]+@[^@[:space:]]+\\.[^@[:space:]]+$", var.alert_email))
    error_message = "alert_email is \"${coalesce(var.alert_email, "null")}\"; it must be one address, such as data-team@example.com."
  }
}

variable "callers" {
  description = "Who else may call the function and see its page, as IAM members (user:, group: or serviceAccount:). Never the public."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for m in var.callers : can(regex("^(user|group|serviceAccount):[^@[:space:]]+@[^@[:space:]]+$", m))])
    error_message = "callers holds ${join(", ", [for m in var.callers : m if !can(regex("^(user|group|serviceAccount):[^@[:space:]]+@[^@[:space:]]+$", m))])}; each must be user:, group: or serviceAccount: and an address. allUsers, allAuthenticatedUsers and whole domains are refused: the page names tables and the endpoint starts runs."
  }
}

variable "config_file" {
  description = "The sync's configuration, as a path from where terraform runs. Left out: sync.yaml of this repository."
  type        = string
  default     = null

  validation {
    condition     = var.config_file == null ? true : fileexists(var.config_file)
    error_message = "config_file is \"${coalesce(var.config_file, "null")}\", and there is no such file; the path starts where terraform runs."
  }

  validation {
    condition     = var.config_file == null ? true : can(yamldecode(file(var.config_file)).tables)
    error_message = "config_file \"${coalesce(var.config_file, "null")}\" is not YAML with a list under `tables`."
  }
}

variable "labels" {
  description = "Labels for everything that takes them, for instance to find the cost in the bill."
  type        = map(string)
  default     = { app = "bigquery-to-aito" }

  validation {
    condition     = alltrue([for k, v in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", k)) && can(regex("^[a-z0-9_-]{0,63}$", v))])
    error_message = "labels holds ${join(", ", [for k, v in var.labels : "${k} = ${v}" if !(can(regex("^[a-z][a-z0-9_-]{0,62}$", k)) && can(regex("^[a-z0-9_-]{0,63}$", v)))])}; a key is a letter and up to 62 of a-z 0-9 _ -, a value up to 63 of them, all lower case."
  }
}

variable "ledger_location" {
  description = "Where the ledger is made when the configuration has no bigquery.location: the location of the sources, such as EU. Never assumed."
  type        = string
  default     = null

  validation {
    condition     = var.ledger_location == null ? true : can(regex("^([A-Z]{2,}|[a-z]+-[a-z]+[0-9]+)$", var.ledger_location))
    error_message = "ledger_location is \"${coalesce(var.ledger_location, "null")}\"; it must be a location of BigQuery, such as EU, US or europe-west1."
  }
}

variable "memory" {
  description = "Memory of the function. Raise it for very wide rows, or when the log says that the limit was exceeded."
  type        = string
  default     = "1Gi"

  validation {
    condition     = contains(["512Mi", "1Gi", "2Gi", "4Gi"], var.memory)
    error_message = "memory is \"${var.memory}\"; one vCPU goes with 512Mi, 1Gi, 2Gi or 4Gi."
  }
}

variable "name" {
  description = "Name of the function, and the beginning of every other name. Two installations in one project need two names, two ledgers and two secrets."
  type        = string
  default     = "aito-sync"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}[a-z0-9]$", var.name))
    error_message = "name is \"${var.name}\"; it must be 3 to 22 of a-z 0-9 -, beginning with a letter and not ending in a dash (service account names of 30 are made from it)."
  }
}

variable "notification_channels" {
  description = "Other channels that alarms go to (chat, pager, webhook), made by you: projects/P/notificationChannels/N."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for c in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[^/]+$", c))])
    error_message = "notification_channels holds ${join(", ", [for c in var.notification_channels : c if !can(regex("^projects/[^/]+/notificationChannels/[^/]+$", c))])}; each must be projects/P/notificationChannels/N. List yours: gcloud beta monitoring channels list."
  }
}

variable "pause" {
  description = "Stop all three jobs and the delivery of messages, which wait for a day, and the alarms that would only say so. A call by hand still runs."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = contains([true, false], var.pause)
    error_message = "pause is true or false."
  }
}

variable "private_network" {
  description = "Send all outgoing traffic through this subnetwork (for a fixed address behind Cloud NAT) and take calls from inside only. Left out: the internet both ways, with IAM in front."
  type = object({
    subnetwork = string
    tags       = optional(list(string), [])
  })
  default = null

  validation {
    condition     = var.private_network == null || can(regex("^projects/[^/]+/regions/[^/]+/subnetworks/[^/]+$", var.private_network.subnetwork))
    error_message = "private_network.subnetwork is \"${try(var.private_network.subnetwork, "")}\"; it must be projects/P/regions/R/subnetworks/S."
  }

  validation {
    condition     = var.private_network == null || try(split("/", var.private_network.subnetwork)[3] == var.region, true)
    error_message = "private_network.subnetwork is \"${try(var.private_network.subnetwork, "")}\", but the function runs in ${var.region}; take a subnetwork of that region."
  }
}

variable "project_id" {
  description = "The Google Cloud project that everything is made in. Left out: the one that GOOGLE_CLOUD_PROJECT names. Write it down as soon as there is a state to keep."
  type        = string
  default     = null

  validation {
    condition     = var.project_id == null ? true : can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is \"${coalesce(var.project_id, "null")}\"; it must be the project's id (6 to 30 of a-z 0-9 -), not its name or number."
  }
}

variable "quiet_warnings" {
  description = "Codes of warnings that raise no alarm: what you know of and accept. They stay in the log and on the page."
  type        = set(string)
  default     = ["not_incremental", "refresh_pending"]

  validation {
    condition     = alltrue([for c in var.quiet_warnings : can(regex("^[a-z]+(_[a-z]+)*$", c))])
    error_message = "quiet_warnings holds ${join(", ", [for c in var.quiet_warnings : c if !can(regex("^[a-z]+(_[a-z]+)*$", c))])}; each must be a code such as rows_without_key."
  }
}

variable "reconcile_schedule" {
  description = "When both ends are compared and repaired over everything that is kept, in time_zone: finds what reached BigQuery later than `lookback`. Null: never."
  type        = string
  default     = "15 9 * * 0"

  validation {
    condition     = var.reconcile_schedule == null ? true : can(regex("^[0-9]+ [0-9]+ [0-9*/,-]+ [0-9A-Za-z*/,-]+ [0-9A-Za-z*/,-]+$", var.reconcile_schedule))
    error_message = "reconcile_schedule is \"${coalesce(var.reconcile_schedule, "null")}\"; it must be five fields (minute hour day month weekday) of which minute and hour are one number each, such as \"15 9 * * 0\". It goes through everything that is kept: once a day at most."
  }
}

variable "region" {
  description = "Where the function, its schedule and its source live. Near the BigQuery data, which bigquery.location of the configuration names."
  type        = string
  default     = "europe-west1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region is \"${var.region}\"; it must be a region such as europe-west1, not a zone (europe-west1-b) or a multi-region (EU)."
  }
}

variable "runbook_url" {
  description = "Where your team reads docs/runbook.md, for the link in each alarm. Left out: the alarm names the file."
  type        = string
  default     = null

  validation {
    condition     = var.runbook_url == null ? true : can(regex("^https://[^[:space:]#]+$", var.runbook_url))
    error_message = "runbook_url is \"${coalesce(var.runbook_url, "null")}\"; it must be an https address without a #fragment, which each alarm adds."
  }
}

variable "schedule" {
  description = "When the sync runs: five fields of cron, in time_zone."
  type        = string
  default     = "15 3 * * *"

  validation {
    condition     = can(regex("^[0-9*/,-]+ [0-9*/,-]+ [0-9*/,-]+ [0-9A-Za-z*/,-]+ [0-9A-Za-z*/,-]+$", var.schedule))
    error_message = "schedule is \"${var.schedule}\"; it must be five fields (minute hour day month weekday), such as \"15 3 * * *\"."
  }
}

variable "source_datasets" {
  description = "Datasets to read beyond those the configuration names: what a `query:` or a view reads. \"dataset\" or \"project.dataset\"."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for d in var.source_datasets : can(regex(local.dataset_shape, d))])
    error_message = "source_datasets holds ${join(", ", [for d in var.source_datasets : d if !can(regex(local.dataset_shape, d))])}; each must be \"dataset\" or \"project.dataset\", without a table."
  }
}

variable "stale_after_hours" {
  description = "Alarm when a table's newest row in Aito, or its last good run, is older than this. Longer than the longest gap of the schedule."
  type        = number
  default     = 26

  validation {
    condition     = var.stale_after_hours >= 2 && var.stale_after_hours <= 9000 && floor(var.stale_after_hours) == var.stale_after_hours
    error_message = "stale_after_hours is ${var.stale_after_hours}; it must be a whole number of hours from 2 to 9000."
  }
}

variable "time_zone" {
  description = "Time zone of the schedule, by its IANA name."
  type        = string
  default     = "Etc/UTC"

  validation {
    condition     = can(regex("^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)+$", var.time_zone)) || var.time_zone == "UTC"
    error_message = "time_zone is \"${var.time_zone}\"; it must be an IANA name such as Europe/Helsinki. Abbreviations like CET do not follow summer time everywhere."
  }
}
