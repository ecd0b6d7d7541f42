"""What Terraform did with a folder, for the next run of the tests.

Without a cloud, Terraform's result depends on the files that it reads, on its version, and on the
stand-in for the providers. A result is kept on disk under a hash of all of these: exit status,
output, and the files that were written. A plan takes two seconds of CPU, and the tests make 200.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

from local._kept import Kept

Done = subprocess.CompletedProcess[str]
Files = dict[str, bytes]

# A failure of the machine, and not of the deployment. Another run may end otherwise.
OUTER_FAILURE = re.compile(
    r"plugin|timeout while|i/o timeout|timed out|deadline exceeded|connection (refused|reset)"
    r"|available provider packages|no space left|killed|cannot allocate|Traceback",
    re.I,
)


class Remembered:
    """Results of shell scripts with Terraform in copied repositories.

    tools: what else a result depends on, beside the files and the script. folder: of the results.
    """

    def __init__(self, tools: str, folder: Path) -> None:
        self._tools = tools
        self._kept = Kept(folder)

    def run(self, folder: Path, script: str, run: Callable[[], Done]) -> Done:
        """What `run` does with the folder: it runs the script there, which may look around in the
        repository that the folder stands in. Where the result is known, its files are written.
        """
        repository = folder.parent
        before = _files(repository)
        key = self._key(before, folder.name, script)
        kept = self._kept.get(key)
        if kept is not None:
            return _played(kept, repository)
        done = run()
        after = _files(repository)
        whole = before.keys() <= after.keys()  # a result says nothing of files that were removed
        outer = done.returncode and OUTER_FAILURE.search(done.stdout + done.stderr)
        if whole and not outer:
            written = {name: text for name, text in after.items() if before.get(name) != text}
            self._kept.keep(key, _packed(done, written))
        return done

    def _key(self, files: Files, folder: str, script: str) -> str:
        variables = {name: os.environ[name] for name in sorted(os.environ) if name[:3] == "TF_"}
        asked = [self._tools, folder, script, json.dumps(variables), *files]
        return Kept.key(*map(str.encode, asked), *files.values())


def tools_of(stubs: Path) -> str:
    """Which Terraform is on PATH, and which stand-in for the providers lies in a folder."""
    program = Path(str(shutil.which("terraform"))).resolve()
    version = program.stat()
    served = [path.read_bytes() for path in sorted(stubs.iterdir()) if path.is_file()]
    return f"{program} {version.st_size} {version.st_mtime_ns} {Kept.key(*served)}"


def _files(repository: Path) -> Files:
    """Path -> content of every file."""
    paths = sorted(path for path in repository.rglob("*") if path.is_file())
    return {str(path.relative_to(repository)): path.read_bytes() for path in paths}


def _packed(done: Done, written: Files) -> bytes:
    texts = {name: base64.b64encode(content).decode() for name, content in written.items()}
    result = [done.returncode, done.stdout, done.stderr, texts]
    return zlib.compress(json.dumps(result).encode())


def _played(kept: bytes, repository: Path) -> Done:
    """Write the files of a result. -> the result."""
    status, out, err, texts = json.loads(zlib.decompress(kept))
    for name, text in texts.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(text))
    return subprocess.CompletedProcess([], status, out, err)
