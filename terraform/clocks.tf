# Every clock in one place, and what happens when a night fails.
#
# A night, from the first second to the last resort:
#   1. Cloud Scheduler calls the function (schedule.tf). The run stops itself at time_budget_seconds of the configuration,
#      at a point where everything that was sent is booked.
#   2. Not 2xx (out of time, Aito or BigQuery away, another run on the table): Scheduler calls again, up to
#      scheduler_retries times, after 1, 2, 4, 8 and 10 minutes. Each call goes on where the last one stopped.
#      Neither Scheduler nor Pub/Sub reads Retry-After: their waits are those below.
#   3. A table that failed and needs a person is an alarm at once (alarms.tf, "a table failed"). One that only waits for
#      Aito or BigQuery is a WARNING, and an alarm when the retries are spent ("kept failing").
#   4. Everything else that keeps rows from arriving is an alarm when stale_after_hours are over ("stale data"): the
#      watch measures that every ten minutes, whether or not the night's run ever started.
#   5. If no call ends for silence_seconds, the watch's neither, that is the last alarm ("nothing logged").
#   6. Nobody has to repair anything: the next night's run reads from the watermark in Aito, wherever that is.
#      To run before that: `terraform output -raw run_now`. What came later than `lookback` is found by the weekly
#      reconcile (schedule.tf), which waits for a run that is at work.
#
# Why a budget below the acknowledgement deadline only when `topic` is set. Pub/Sub waits ack_seconds for an answer, then
# delivers the message again. A second delivery does no harm: the lease answers 409 and Pub/Sub tries later. Without
# `topic` that is even wanted: the message stays until the work is done, delivery by delivery. With `topic`, a run that is
# out of time publishes a new message and answers 202. If that answer came after ack_seconds, it would not count: the old
# message would stay as well as the new one, one more with every run of a long backfill, each collecting 409s until it is
# a dead letter and an alarm about nothing. Below ack_seconds there is always exactly one message, and a backfill of days
# is a chain of short runs.
#
# What may make a run longer than that: a BigQuery query that waits for a slot when the budget ends (query_seconds). Then
# the caller has hung up before the run ends. The function may go on for so long, so the run still ends in good order:
# booked, its lease given back. The caller's next try continues, or gets a 409 and comes again; nothing is done twice.

locals {
  function_timeout_seconds = 2100 # the longest caller's wait (Scheduler), and one slow query; a function may have 3600
  scheduler_deadline       = 1800 # Scheduler's maximum for HTTP
  scheduler_retries        = 5    # the maximum: outlasts an outage of 25 minutes, and a long first load gets on
  watch_deadline           = 300  # a few counts and job states
  ack_seconds              = 600  # Pub/Sub's maximum for push, and the request's time-out
  delivery_attempts        = 20   # at 60 s doubling to 600 s: about 2 h 45 min, longer than any run holds a lease
  retry_minimum_seconds    = 60
  retry_maximum_seconds    = 600
  watch_minutes            = 10    # below the 15 minutes that Aito keeps an evaluation's result
  silence_seconds          = 3600  # six watches in a row; alarms.tf halves it
  gave_up_seconds          = 14400 # the first call and every retry, each as long as it may be, fit into this

  budget_seconds  = try(coalesce(local.config.time_budget_seconds), 1500)
  request_seconds = try(coalesce(local.config.aito.timeout_seconds), 60)
  # The budget is looked at between requests. What can still be under way when it ends: one request, and the look at
  # what became of it.
  longest_run   = local.budget_seconds + 2 * local.request_seconds
  query_seconds = 300 # so long sync/bigquery/client.py lets a query wait and run

  cron = split(" ", var.schedule)
  # The minutes and the hours that the schedule names; the gaps between them, the last one round to the first. Empty for
  # what is not understood ("5/7"), which is then taken for the worst.
  cron_values = [for field, size in [60, 24] : try([for v in range(size) : v if contains(flatten([
    for part in split(",", local.cron[field]) :
    part == "*" ? range(size) :
    startswith(part, "*/") ? range(0, size, tonumber(trimprefix(part, "*/"))) :
    strcontains(part, "-") ? range(tonumber(split("-", part)[0]), tonumber(split("-", part)[1]) + 1) : [tonumber(part)]
  ]), v)], [])]
  cron_gaps = [for field, values in local.cron_values : [
    for i, v in values : (i + 1 < length(values) ? values[i + 1] : values[0] + [60, 24][field]) - v
  ]]
  # Shortest and longest time between two runs, in seconds, on the safe side.
  cron_shortest = 60 * min(concat(local.cron_gaps[0], length(local.cron_gaps[0]) == 0 ? [1] : [])...)
  cron_longest = 3600 * (
    local.cron[3] != "*" ? 366 * 24 :
    local.cron[2] != "*" ? try(tonumber(regex("^\\*/([0-9]+)$", local.cron[2])[0]), 31) * 24 :
    local.cron[4] == "*" ? max(concat(local.cron_gaps[1], length(local.cron_gaps[1]) == 0 ? [24] : [])...) :
    contains(["1-5", "MON-FRI"], upper(local.cron[4])) ? 3 * 24 : 7 * 24
  )
}

resource "terraform_data" "clocks" {
  lifecycle {
    precondition {
      condition     = local.longest_run <= local.scheduler_deadline
      error_message = "${local.config_path}: time_budget_seconds ${local.budget_seconds} and two requests of ${local.request_seconds} s are ${local.longest_run} s, but Cloud Scheduler hangs up after ${local.scheduler_deadline} s. Set time_budget_seconds to at most ${local.scheduler_deadline - 2 * local.request_seconds}; a run that is out of time is continued."
    }
    precondition {
      condition     = local.topic_setting == null || local.longest_run <= local.ack_seconds
      error_message = "${local.config_path}: with a topic, time_budget_seconds ${local.budget_seconds} and two requests of ${local.request_seconds} s (${local.longest_run} s) must end before Pub/Sub delivers again after ${local.ack_seconds} s. Set time_budget_seconds to at most ${local.ack_seconds - 2 * local.request_seconds}, or leave topic out."
    }
    precondition {
      condition     = local.scheduler_deadline <= local.function_timeout_seconds && local.watch_deadline <= local.function_timeout_seconds && local.ack_seconds <= local.function_timeout_seconds
      error_message = "A caller waits longer (${local.scheduler_deadline} s, ${local.watch_deadline} s, ${local.ack_seconds} s) than the function may run (${local.function_timeout_seconds} s)."
    }
    precondition {
      condition     = local.scheduler_deadline + local.query_seconds <= local.function_timeout_seconds
      error_message = "The function may run ${local.function_timeout_seconds} s: too short for a run that a query of up to ${local.query_seconds} s keeps longer than Cloud Scheduler waits (${local.scheduler_deadline} s)."
    }
    precondition {
      condition     = local.function_timeout_seconds <= 3600 && local.scheduler_deadline <= 1800 && local.ack_seconds <= 600
      error_message = "Google's limits are 3600 s for the function (here ${local.function_timeout_seconds}), 1800 s for a Scheduler call (${local.scheduler_deadline}) and 600 s for a Pub/Sub acknowledgement (${local.ack_seconds})."
    }
    precondition {
      condition     = local.retry_maximum_seconds * (local.delivery_attempts - 5) > local.function_timeout_seconds
      error_message = "A message would be a dead letter (${local.delivery_attempts} attempts of up to ${local.retry_maximum_seconds} s) while one run (${local.function_timeout_seconds} s) still holds the lease."
    }
    precondition {
      condition     = local.cron_shortest >= local.scheduler_deadline
      error_message = "schedule \"${var.schedule}\" can start every ${local.cron_shortest / 60} minutes, but a run may take ${local.scheduler_deadline / 60}. Start at most every ${local.scheduler_deadline / 60} minutes: one minute (\"15 * * * *\"), or \"*/${local.scheduler_deadline / 60}\"."
    }
    precondition {
      condition     = var.stale_after_hours * 3600 >= local.cron_longest + local.scheduler_deadline
      error_message = "stale_after_hours is ${var.stale_after_hours}, but schedule \"${var.schedule}\" can leave up to ${local.cron_longest / 3600} hours between two runs: good data would raise the alarm. Set stale_after_hours to at least ${ceil((local.cron_longest + local.scheduler_deadline) / 3600)}."
    }
    precondition {
      condition     = local.silence_seconds / 2 >= 3 * 60 * local.watch_minutes && local.silence_seconds < 84600
      error_message = "silence_seconds is ${local.silence_seconds}; half of it must span three watches (one every ${local.watch_minutes} minutes), and Cloud Monitoring looks back 23.5 hours at most."
    }
    precondition {
      condition     = local.gave_up_seconds >= (local.scheduler_retries + 1) * local.scheduler_deadline + 1500
      error_message = "gave_up_seconds is ${local.gave_up_seconds}: too short for ${local.scheduler_retries + 1} calls of ${local.scheduler_deadline} s and the 25 minutes between them."
    }
  }
}
