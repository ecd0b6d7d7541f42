"""Sending alone: one finished batch over and over on one session, until so many rows went out."""

import os

import requests

from benchmarks.sides import common

body = common.BATCH_FILE.read_bytes()
with requests.Session() as session:
    for _ in range(int(os.environ["BENCH_ROWS"]) // common.BATCH):
        session.post(
            common.BATCH_URL, data=body, headers=common.HEADERS, timeout=60
        ).raise_for_status()
