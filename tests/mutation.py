"""A sample of small faults in one module, and which of them its tests do not find.

    python -m tests.mutation sync/model/window.py tests/unit/test_window.py --sample 40 --seed 1

A fault turns one comparison, sign, condition, constant or statement of the module into another. It
is made in a copy of the repository, alone. A survivor is shown with its line: either a test is
missing, or the fault does no harm.
"""

from __future__ import annotations

import argparse
import ast
import copy
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.promise.mutants import ROOT, copy_repository

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
SIGNS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
}
SECONDS = 300  # that the tests may take; a fault may let them run for ever


def places(tree: ast.Module) -> list[int]:
    """The numbers of the nodes, in the order of `ast.walk`, that can be changed."""
    nodes = enumerate(ast.walk(tree))
    return [number for number, node in nodes if changed(copy.deepcopy(node)) is not None]


def changed(node: ast.AST) -> ast.AST | None:
    """The node with a small fault, made in place. None when there is none for it."""
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in COMPARISONS:
            node.ops = [COMPARISONS[type(operator)]()]
        case ast.BinOp(op=operator) if type(operator) in SIGNS:
            node.op = SIGNS[type(operator)]()
        case ast.BoolOp(op=operator):
            node.op = ast.Or() if isinstance(operator, ast.And) else ast.And()
        case ast.IfExp():
            node.body, node.orelse = node.orelse, node.body
        case ast.If(test=test):
            node.test = ast.UnaryOp(ast.Not(), test)
        case ast.Constant(value=bool() as value):
            node.value = not value
        case ast.Constant(value=int() as value):
            node.value = value + 1
        case _:
            return None
    return node


def mutants(text: str, sample: int, dice: random.Random) -> Iterator[tuple[int, str, str]]:
    """Line, what stands there after the fault, and the module with it."""
    numbers = places(ast.parse(text))
    for number in sorted(dice.sample(numbers, min(sample, len(numbers)))):
        tree = ast.parse(text)
        node = list(ast.walk(tree))[number]
        changed(node)
        yield getattr(node, "lineno", 0), ast.unparse(node)[:80], ast.unparse(tree)


def is_found(folder: Path, module: str, text: str, tests: list[str]) -> bool:
    """Whether the tests fail with this text of the module."""
    (folder / module).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run([*command, *tests], cwd=folder, capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def main() -> int:
    """Try a sample. Returns the exit code: 0 when at most 5 % survive."""
    parser = argparse.ArgumentParser(description="A sample of faults in one module.")
    parser.add_argument("module")
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--sample", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    text = (ROOT / asked.module).read_text()
    survivors = tried = 0
    with tempfile.TemporaryDirectory() as parent:
        folder = copy_repository(Path(parent))
        for line, fault, mutant in mutants(text, asked.sample, random.Random(asked.seed)):
            tried += 1
            if not is_found(folder, asked.module, mutant, asked.tests):
                survivors += 1
                print(f"survived: {asked.module}:{line}: {fault}", flush=True)
    print(f"{asked.module}: {tried - survivors} of {tried} found")
    return 0 if survivors <= 0.05 * tried else 1


if __name__ == "__main__":
    sys.exit(main())
