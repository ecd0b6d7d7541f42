"""Check the lock of the function's packages, list their licences, look up known vulnerabilities.

Run by `.ci/run`. Exit status 1: the lock is wrong, or a package has a known vulnerability.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?(?:==([^\s;\\]+))?")
NO_ANSWER = ("ConnectionError", "Max retries exceeded", "ServiceError", "resolve")


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


def vulnerabilities() -> int:
    """Ask pip-audit about the lock; answers its exit status, 0 where it cannot be asked."""
    if importlib.util.find_spec("pip_audit") is None:
        print("known vulnerabilities: not looked up, pip-audit is not installed")
        return 0
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "-r"]
    done = subprocess.run(  # noqa: S603 - a fixed command, no input of anybody's
        [*command, str(ROOT / "requirements.txt")], text=True, capture_output=True, check=False
    )
    said = done.stdout + done.stderr
    if done.returncode and any(word in said for word in NO_ANSWER):
        print("known vulnerabilities: not looked up, the service cannot be reached")
        return 0
    print(f"known vulnerabilities:\n{said}")
    return done.returncode


def main() -> int:
    """Run all three."""
    lock = (ROOT / "requirements.txt").read_text()
    wrong = problems((ROOT / "requirements.in").read_text(), lock)
    print(*(wrong or ["the lock is complete"]), sep="\n")
    print("licences:")
    for name, (version, _) in locked(lock).items():
        print(f"  {name} {version}: {licence(name)}")
    return 1 if wrong or vulnerabilities() else 0


if __name__ == "__main__":
    sys.exit(main())
