"""The HTTP entry point: connects functions-framework to sync/entry/http.py. Nothing else."""

from __future__ import annotations

import gc

# Nothing of what is imported becomes garbage, so searching it for garbage is lost time.
gc.disable()

import flask
import functions_framework

from sync.app import Services
from sync.base.once import Once
from sync.base.termination import Termination
from sync.entry import http

# Both are made when they are first needed. A call that fails is not kept.
services = Once(Services.from_environment)
termination = Once(Termination)


@functions_framework.http
def sync(request: flask.Request) -> flask.Response:
    """Answer one HTTP request."""
    return http.handle(request, services, termination)


# Imported objects live as long as the process. The server forks after the import, and a garbage
# collector that touches them would copy their memory.
gc.freeze()
gc.enable()
