"""Check the lock of the function's packages, list their licences, look up known vulnerabilities.

Run by `.ci/run`. Exit status 1: the lock is wrong, a licence is not accepted, or a package has a
known vulnerability. Where the database of vulnerabilities cannot be reached, that is printed.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?(?:==([^\s;\\]+))?")
OSV = "https://api.osv.dev"
# What is accepted, with the reason.
ACCEPTED_LICENCES = {"ndjson": "brought by aitoai, imported by nobody here, and not changed"}
ACCEPTED_VULNERABILITIES: dict[str, str] = {}  # id -> why it does not concern this function


def normal(name: str) -> str:
    """A package's name as the index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(text: str) -> dict[str, str | None]:
    """The packages of requirements.in: name -> pinned version, or None."""
    found = {}
    for line in text.splitlines():
        match = PACKAGE.match(line.split("#")[0].strip())
        if match:
            found[normal(match[1])] = match[2]
    return found


def locked(text: str) -> dict[str, tuple[str, int]]:
    """The packages of requirements.txt: name -> (version, number of hashes)."""
    found = {}
    for entry in re.split(r"\n(?=[A-Za-z0-9])", text):
        match = PACKAGE.match(entry)
        if match and match[2]:
            found[normal(match[1])] = (match[2], entry.count("--hash=sha256:"))
    return found


def problems(source: str, lock: str) -> list[str]:
    """What is wrong with a lock, one sentence each."""
    pinned = locked(lock)
    found = [f"{name}: no hash" for name, (_, hashes) in pinned.items() if not hashes]
    for name, version in wanted(source).items():
        if name not in pinned:
            found.append(f"{name}: in requirements.in, not in requirements.txt; run `make lock`")
        elif version and pinned[name][0] != version:
            found.append(f"{name}: {version} wanted, {pinned[name][0]} locked; run `make lock`")
    if re.search(r"https?://|--(extra-)?index-url|--find-links", lock):
        found.append("requirements.txt names an index; the lock must hold names and hashes alone")
    return found


def licence(name: str) -> str:
    """A package's licence, from its own metadata."""
    try:
        about = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed here"
    classifiers = about.get_all("Classifier") or []
    named = [c.split(" :: ")[-1] for c in classifiers if c.startswith("License :: ")]
    written = [text for text in about.get_all("License") or [] if text]
    short = written[0].split("\n")[0][:60] if written else "not stated"
    expression = ", ".join(about.get_all("License-Expression") or [])
    return expression or ", ".join(named) or short


def copyleft(name: str) -> bool:
    """Whether a package's licence asks the same licence of what uses it, and nobody accepted it."""
    return bool(re.search(r"\bA?GPL", licence(name))) and name not in ACCEPTED_LICENCES


def vulnerabilities(packages: Mapping[str, str], url: str = OSV) -> list[str] | None:
    """The known vulnerabilities of packages (name -> version), one sentence a package.

    They are looked up in the open database of Python's package index. None: it did not answer.
    """
    wanted = [
        {"package": {"name": name, "ecosystem": "PyPI"}, "version": version}
        for name, version in packages.items()
    ]
    body = json.dumps({"queries": wanted}).encode()
    request = urllib.request.Request(f"{url}/v1/querybatch", body)  # noqa: S310 - a fixed address
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            results = json.load(answer)["results"]
    except (OSError, ValueError):
        return None
    found = []
    for (name, version), result in zip(packages.items(), results, strict=True):
        named = {each["id"] for each in result.get("vulns", [])} - set(ACCEPTED_VULNERABILITIES)
        if named:
            found.append(f"{name} {version}: {', '.join(sorted(named))}")
    return found


def main() -> int:
    """Run all three."""
    lock = (ROOT / "requirements.txt").read_text()
    wrong = problems((ROOT / "requirements.in").read_text(), lock)
    print(*(wrong or ["the lock is complete"]), sep="\n")
    packages = {name: version for name, (version, _) in locked(lock).items()}
    print("licences:")
    for name, version in packages.items():
        print(f"  {name} {version}: {licence(name)}")
    wrong += [f"{name}: {licence(name)} is not accepted" for name in packages if copyleft(name)]
    known = vulnerabilities(packages)
    if known is None:
        print(f"known vulnerabilities: not looked up, {OSV} cannot be reached")
    else:
        print("known vulnerabilities:", *(known or ["none"]), sep="\n  ")
    return 1 if wrong or known else 0


if __name__ == "__main__":
    sys.exit(main())
