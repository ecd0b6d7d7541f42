"""Runs the tests of Aito's own SDK, version 1 of its API, against the stand-in.

    python -m venv sdk
    sdk/bin/pip install 'aitoai[cli]==1.2.1' parameterized ndjson pytest
    python -m tests.stand_ins.sdk_suite --python sdk/bin/python

The tests are not in the package, so they are cloned from the SDK's repository, or read from a
checkout of it (`--checkout`). They were written for the names before version 1.0. So `aito.client`
and `aito.api` are renamed in a copy: to `aito.v1` and `aito.v1.api`. Nothing else is changed.

The tests compare rows in the order in which they were inserted, and drop tables twice. So the
stand-in's switches for both are turned.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from local.aito.server import Aito

REPOSITORY = "https://github.com/AitoDotAI/aito-python-tools"
COMMIT = "771c6ef"  # the last one whose tests are of version 1 alone
FILES = (
    "tests/sdk/test_aito_client.py",
    "tests/sdk/test_api.py",
    "tests/sdk/test_client_request.py",
    "tests/sdk/test_client_response.py",
)
# What the stand-in does not have, by words in the names of tests.
PREDICTIONS = (
    "recommend",
    "evaluate",
    "similarity",
    "match",
    "relate",
    "generic_query",
    "hit_with_explanation",
)
FILE_UPLOADS = ("quick_add_table",)
# Tests with such words that need no prediction.
KEPT = ("TestClientRequest", "test_quick_predict")
RENAMED = (
    (r"\baito\.client\.aito_client\b", "aito.v1.client"),
    (r"\baito\.client\b", "aito.v1"),
    (r"\baito\.api\b", "aito.v1.api"),
)


def copy_of_the_tests(checkout: Path, folder: Path) -> None:
    """Copy the tests of a checkout, with the names of version 1.x."""
    archive = ["git", "-C", str(checkout), "archive", COMMIT, "tests"]
    tests = subprocess.run(archive, check=True, capture_output=True).stdout
    subprocess.run(["tar", "x", "-C", str(folder)], input=tests, check=True)
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for old, new in RENAMED:
            text = re.sub(old, new, text)
        path.write_text(text, encoding="utf-8")


def make_demo_tables(aito: Aito) -> None:
    """The tables of Aito's grocery demo, which the tests read, as far as they look at them."""
    text = {"type": "Text", "nullable": True, "analyzer": "whitespace"}
    name = {"type": "String", "nullable": True}
    key = {"type": "String"}
    aito.create_table("users", {"id": key})
    aito.insert("users", [{"id": str(n)} for n in range(134)])
    price = {"type": "Decimal", "nullable": True}
    aito.create_table(
        "products", {"id": key, "name": text, "category": name, "tags": text, "price": price}
    )
    bread = {"name": "rye bread", "category": "1", "tags": "food bread", "price": 1.5}
    aito.insert("products", [{"id": str(n), **bread} for n in range(42)])
    aito.create_table("contexts", {"id": key, "user": {"type": "String", "link": "users.id"}})
    aito.insert("contexts", [{"id": str(n), "user": str(n)} for n in range(20)])
    context = {"type": "String", "link": "contexts.id"}
    product = {"type": "String", "link": "products.id"}
    purchase = {"type": "Boolean"}
    aito.create_table("impressions", {"context": context, "product": product, "purchase": purchase})
    seen = [(str(n % 20), str(n % 42), n % 2 == 0) for n in range(60)]
    aito.insert(
        "impressions", [{"context": c, "product": p, "purchase": bought} for c, p, bought in seen]
    )


def chosen_by(words: tuple[str, ...]) -> str:
    """An expression of pytest for the tests that are left out because of these words."""
    return f"not ({' or '.join(KEPT)}) and ({' or '.join(words)})"


def run(python: str, folder: Path, aito: Aito, *arguments: str) -> tuple[int, str]:
    """Call pytest. Returns its status, and what it says of failures and of the end."""
    environment = {
        **os.environ,
        "AITO_INSTANCE_URL": aito.url,
        "AITO_API_KEY": aito.api_key,
        "AITO_GROCERY_DEMO_INSTANCE_URL": aito.url,
        "AITO_GROCERY_DEMO_API_KEY": aito.read_only_key,
        "RUN_ALTER_INSTANCE_DB_TESTS": "1",
    }
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR "))]
    return done.returncode, "\n".join([*failed, *lines[-1:]])


def run_all(python: str, tests: Path, aito: Aito) -> int:
    """Run what must pass, and say what is left out. Returns the status of pytest."""
    left_out = chosen_by((*PREDICTIONS, *FILE_UPLOADS))
    # This one deletes the whole database, so it comes last.
    last = "test_create_and_delete_database"
    first_status, text = run(python, tests, aito, "-k", f"not ({left_out} or {last})", *FILES)
    print(text)
    last_status, text = run(python, tests, aito, "-k", last, *FILES)
    print(text)
    for title, words in (("predictions", PREDICTIONS), ("file upload", FILE_UPLOADS)):
        _, text = run(python, tests, aito, "--collect-only", "-k", chosen_by(words), *FILES)
        print(f"left out, {title}: {text}")
    return first_status or last_status


def main() -> int:
    """Run them. Returns the exit status of pytest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--python", default=sys.executable, help="one that has the SDK")
    parser.add_argument("--checkout", type=Path, help="a clone of the SDK's repository")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, Aito() as aito:
        folder = Path(temporary)
        checkout = asked.checkout
        if checkout is None:
            checkout = folder / "checkout"
            subprocess.run(["git", "clone", "-q", REPOSITORY, str(checkout)], check=True)
        tests = folder / "copy"
        tests.mkdir()
        copy_of_the_tests(checkout, tests)
        aito.switches.turn(insertion_order=True, drop_missing="ok")
        make_demo_tables(aito)
        return run_all(asked.python, tests, aito)


if __name__ == "__main__":
    sys.exit(main())
