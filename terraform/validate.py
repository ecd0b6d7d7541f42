"""Check a configuration with the code that the function reads it with: every rule, every mistake.

    python3 terraform/validate.py [FILE]     FILE: sync.yaml of the repository

The plan checks the same file against sync.schema.json, without Python; this adds the rules between
settings. Exit status: 0 good, 2 mistakes, 3 not checked (the function's packages are not here).
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: list[str]) -> int:
    """Check one file; say what is wrong with it."""
    path = Path(arguments[0]) if arguments else ROOT / "sync.yaml"
    sys.path.insert(0, str(ROOT))
    try:
        from sync import config
        from sync.base.errors import ConfigError
    except ImportError as error:
        print(f"{path}: not checked, {error.name} is not installed; run `make check` once")
        return 3
    try:
        settings = config.load(path)
    except ConfigError as error:
        print(error)
        return 2
    except OSError as error:
        print(f"{path}: {error.strerror}")
        return 2
    print(f"{path}: {len(settings.tables)} tables, no mistakes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
