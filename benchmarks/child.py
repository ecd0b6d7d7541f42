"""Runs a command to its end and tells what it used: `python -I -S child.py <command...>`.

A process of its own, and a small one: Linux counts the memory of whoever starts a process as the
started one's, until it has replaced itself, so a large starter would be measured instead. Only what
waits for its own children is counted with them, as functions-framework does for its workers.
"""

import json
import os
import resource
import sys
import time

begun = time.monotonic()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
print(json.dumps({"pid": pid}), flush=True)
_, status = os.waitpid(pid, 0)
seconds = time.monotonic() - begun
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(
    json.dumps(
        {
            "status": os.waitstatus_to_exitcode(status),
            "wall_seconds": seconds,
            "cpu_seconds": used.ru_utime + used.ru_stime,
            "system_seconds": used.ru_stime,
            "peak_bytes": used.ru_maxrss * 1024,  # of the largest single process
        }
    ),
    flush=True,
)
