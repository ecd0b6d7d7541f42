"""The small faults of a module."""

from __future__ import annotations

import ast
import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SHOWN = 110  # characters of the code in a fault's name, before and after

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


@dataclass(frozen=True)
class Fault:
    """A fault of one place.

    function: the dotted name of the function that it is in; "" outside of functions.
    code: what stands there, and what stands there with the fault.
    text: the module's whole text with the fault.
    digest: names the fault until its function changes.
    """

    module: str
    line: int
    function: str
    code: str
    text: str
    digest: str

    @property
    def name(self) -> tuple[str, str, str]:
        """What the fault is called in HARMLESS."""
        return self.module, self.function, self.code


def faults(module: str) -> list[Fault]:
    """The faults of a module, in the order of its lines."""
    text = (ROOT / module).read_text()
    found = [_fault(module, text, number) for number in _places(ast.parse(text))]
    return sorted(found, key=lambda fault: fault.line)


def _places(tree: ast.Module) -> list[int]:
    """The numbers of the nodes, in the order of `ast.walk`, that can be changed.

    The value of a named constant is a choice, and left alone. So are decorators: mypy sees who
    writes to a frozen class.
    """
    chosen = {id(node) for root in _left_alone(tree) for node in ast.walk(root)}
    return [
        number
        for number, node in enumerate(ast.walk(tree))
        if id(node) not in chosen and _changed(copy.deepcopy(node)) is not None
    ]


def _left_alone(tree: ast.Module) -> Iterator[ast.AST]:
    yield from (each for each in tree.body if _is_constant(each))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield from node.decorator_list


def _is_constant(node: ast.stmt) -> bool:
    """Whether a statement names a number, such as RENEW_SECONDS."""
    if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
        return False
    return node.targets[0].id.isupper()


def _changed(node: ast.AST) -> ast.AST | None:
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
        case ast.If(test=test) if not _is_negated_itself(test):
            node.test = ast.UnaryOp(ast.Not(), test)
        case ast.Expr(value=ast.Call()):
            node.value = ast.Constant(None)
        case ast.Constant(value=bool() as value):
            node.value = not value
        case ast.Constant(value=int() as value):
            node.value = value + 1
        case _:
            return None
    return node


def _is_negated_itself(node: ast.expr) -> bool:
    """Whether the fault of a comparison is its negation, so that it needs no second one."""
    negated = ast.Eq | ast.NotEq | ast.Is | ast.IsNot | ast.In | ast.NotIn
    return isinstance(node, ast.Compare) and isinstance(node.ops[0], negated)


def _fault(module: str, text: str, number: int) -> Fault:
    tree = ast.parse(text)
    node = list(ast.walk(tree))[number]
    around = _around(tree, node)
    functions = [each for each in around if isinstance(each, ast.FunctionDef)]
    named = [each.name for each in around if isinstance(each, ast.FunctionDef | ast.ClassDef)]
    whole = _whole(around, node)
    line = getattr(node, "lineno", 0)
    before = ast.unparse(whole).partition("\n")[0]
    _changed(node)
    ast.fix_missing_locations(tree)
    # The outermost function that the fault is in: an inner one is made by it.
    changed_part = functions[0] if functions else tree
    name = ".".join(named) if functions else ""
    digest = hashlib.sha256(f"{module} {name} {ast.unparse(changed_part)}".encode()).hexdigest()
    code = _code(before, ast.unparse(whole).partition("\n")[0])
    return Fault(module, line, name, code, ast.unparse(tree), digest[:20])


def _around(tree: ast.Module, node: ast.AST) -> list[ast.AST]:
    """The nodes that the node is in, the outermost first, without the module.

    A function's defaults are outside of it: they are evaluated where it is defined.
    """
    path: list[ast.AST] = []
    parents = {id(child): each for each in ast.walk(tree) for child in ast.iter_child_nodes(each)}
    while (parent := parents.get(id(node))) is not None and parent is not tree:
        is_body = not isinstance(parent, ast.FunctionDef) or node in parent.body
        if is_body:
            path.insert(0, parent)
        node = parent
    return path


def _whole(around: list[ast.AST], node: ast.AST) -> ast.AST:
    """What is shown of a fault: the simple statement that it is in, else the expression."""
    for each in [*around, node]:
        is_simple = isinstance(each, ast.stmt) and not hasattr(each, "body")
        if is_simple or isinstance(each, ast.expr | ast.arguments):
            return each
    return node


def _code(before: str, after: str) -> str:
    """Both in a line each, or their parts around the first difference."""
    pairs = enumerate(zip(before, after, strict=False))
    same = next((number for number, (one, other) in pairs if one != other), 0)
    start = max(0, same - SHOWN // 2) if max(len(before), len(after)) > SHOWN else 0
    return f"{before[start : start + SHOWN]} -> {after[start : start + SHOWN]}"
