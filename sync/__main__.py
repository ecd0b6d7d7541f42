"""The command-line entry point: `python -m sync COMMAND`."""

import sys

from sync.entry.commands import main

if __name__ == "__main__":
    sys.exit(main())
