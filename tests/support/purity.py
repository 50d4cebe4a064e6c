"""Finds what would make a machine's outputs depend on anything but the tape.

Works on the syntax tree of a module, so it sees what is written and not what is meant: a set that comes
out of an un-annotated function passes. Two runs under different hash seeds (``tests/replay``) and replay
itself prove the rest.
"""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

OURS = ("proto", "libs", "services", "tools", "bench", "tests")
"""Our top-level packages: their modules are walked into, not listed."""

MODULES_ALLOWED = frozenset(
    "__future__ abc array bisect collections copy dataclasses enum fractions functools hashlib heapq "
    "itertools json math msgpack msgspec operator pydantic pydantic_core re statistics string struct types "
    "typing typing_extensions "
    "zlib".split()
)
"""All that a machine may import besides our pure modules: computation and types, no way to the outside.

An allow-list, because the next module somebody thinks of is not on a list of banned ones.
"""

NAMES_BANNED = frozenset(
    "open print input eval exec compile hash id globals locals vars __import__ breakpoint __builtins__".split()
)
"""Builtins that reach outside or differ from process to process."""

ATTRIBUTES_BANNED = frozenset(("__hash__", "__globals__", "__builtins__", "__subclasses__"))

_SET_TYPES = frozenset(("set", "frozenset", "Set", "AbstractSet", "MutableSet"))
_SET_METHODS = frozenset(("union", "intersection", "difference", "symmetric_difference"))
_SET_OPERATORS = (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)
# Calls whose result does not depend on the order in which they meet the elements of a set.
_ORDERLESS = frozenset(
    ("sorted", "len", "set", "frozenset", "any", "all", "bool", "min", "max", "isinstance")
)
_ORDERED_METHODS = frozenset(("join", "extend", "extendleft", "fromkeys"))
_ORDERED_CALLS = frozenset("list tuple iter next enumerate zip map filter sum reversed deque dict".split())
_MUTATORS = frozenset(
    "append appendleft add clear discard extend insert pop popitem popleft remove setdefault sort update".split()
)
_CONTAINERS = (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp)
_CONTAINER_CALLS = frozenset(
    ("dict", "list", "set", "defaultdict", "deque", "OrderedDict", "Counter", "bytearray")
)


class Finding(NamedTuple):
    """One violation."""

    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


# ── which modules ───────────────────────────────────────────────────────────────────────────────────


def machine_modules(root: Path) -> list[Path]:
    """Every ``machine.py``, and every other module under ``services`` that defines a machine."""
    return [
        path
        for path in sorted([*root.glob("services/**/*.py"), *root.glob("libs/machine/machine.py")])
        if path.name == "machine.py" or any(_is_machine(node) for node in _tree(path).body)
    ]


def closure(root: Path, start: Iterable[Path]) -> list[Path]:
    """``start`` and every module of ours that it imports, however indirectly, packages included."""
    seen: dict[Path, None] = {}
    waiting = list(start)
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen[path] = None
        for name in _imported(_tree(path)):
            waiting.extend(_files_of(root, name))
    return sorted(seen)


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _is_machine(node: ast.stmt) -> bool:
    return isinstance(node, ast.ClassDef) and any(_last_name(base) == "StateMachine" for base in node.bases)


def _imported(tree: ast.Module) -> Iterator[str]:
    """Dotted names that could be modules of ours: for ``from a import b`` both ``a`` and ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files_of(root: Path, name: str) -> Iterator[Path]:
    parts = name.split(".")
    if parts[0] not in OURS:
        return
    for end in range(1, len(parts) + 1):
        base = root.joinpath(*parts[:end])
        for path in (base / "__init__.py", base.with_suffix(".py")):
            if path.is_file():
                yield path


# ── what is wrong with one of them ──────────────────────────────────────────────────────────────────


def check(path: Path, text: str) -> list[Finding]:
    """Everything impure in the source ``text`` of one module."""
    tree = ast.parse(text, filename=str(path))
    checker = _Checker(path, tree)
    checker.visit(tree)
    return sorted(set(checker.findings), key=lambda finding: (finding.line, finding.text))


class _Checker(ast.NodeVisitor):
    """Walks one module. Names are judged within their function, attributes within the module."""

    def __init__(self, path: Path, tree: ast.Module) -> None:
        self.path = path
        self.findings: list[Finding] = []
        self.set_functions = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.returns is not None and _is_set_type(node.returns)
        }
        self.scopes: list[set[str]] = []
        self.set_attributes: set[str] = set()
        self.scopes = [self._set_names(iter(tree.body), attributes=False)]
        self.set_attributes = self._set_names(ast.walk(tree), attributes=True)
        self.shared = _module_containers(tree)
        self.locals: list[set[str]] = []
        self.harmless: set[ast.AST] = set()

    def report(self, node: ast.AST, text: str) -> None:
        self.findings.append(Finding(self.path, getattr(node, "lineno", 0), text))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._check_import(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level:
            self.report(node, "relative import")
        self._check_import(node, node.module or "")

    def _check_import(self, node: ast.AST, name: str) -> None:
        top = name.partition(".")[0]
        if top not in MODULES_ALLOWED and top not in OURS:
            self.report(node, f"import of {name}")

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in NAMES_BANNED and isinstance(node.ctx, ast.Load):  # a field may be called `open`
            self.report(node, f"use of {node.id}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in ATTRIBUTES_BANNED:
            self.report(node, f"use of {node.attr}")
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        self.report(node, "global statement")

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.report(node, "async function")

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if any(_last_name(base) in ("Struct", "Message") for base in node.bases):
            for statement in node.body:
                if isinstance(statement, ast.AnnAssign) and _is_set_type(statement.annotation):
                    self.report(statement, "set in a Struct: its bytes depend on the order of the set")
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        body = [part for statement in node.body for part in ast.walk(statement)]
        arguments = [part for part in ast.walk(node.args) if isinstance(part, ast.arg)]
        self.scopes.append(self._set_names(iter([*arguments, *body]), attributes=False))
        stored = {part.id for part in body if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
        self.locals.append(stored | {argument.arg for argument in arguments})
        self.generic_visit(node)
        self.scopes.pop()
        self.locals.pop()

    # state shared by all instances

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.ctx, ast.Store | ast.Del) and self._is_shared(node.value):
            self.report(node, "change of a module's container inside a function")
        self.generic_visit(node)

    def _is_shared(self, node: ast.AST) -> bool:
        return (
            bool(self.locals)
            and isinstance(node, ast.Name)
            and node.id in self.shared
            and not any(node.id in names for names in self.locals)
        )

    # order of sets

    def visit_For(self, node: ast.For) -> None:
        self._check_iteration(node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        if node not in self.harmless:
            self._check_iteration(node.iter)
        self.generic_visit(node)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self.harmless.update(node.generators)
        self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred) -> None:
        self._check_iteration(node.value)
        self.generic_visit(node)

    def visit_YieldFrom(self, node: ast.YieldFrom) -> None:
        self._check_iteration(node.value)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = _last_name(node.func)
        ordered = name in _ORDERED_CALLS if isinstance(node.func, ast.Name) else name in _ORDERED_METHODS
        keyed = any(keyword.arg == "key" for keyword in node.keywords)
        if isinstance(node.func, ast.Name) and name in _ORDERLESS:
            if keyed:  # elements with the same key keep the order in which they came
                ordered = True
            else:
                for argument in node.args:
                    if isinstance(argument, ast.GeneratorExp):
                        self.harmless.update(argument.generators)
        if ordered:
            for argument in node.args:
                self._check_iteration(argument)
        if isinstance(node.func, ast.Attribute):
            if name == "pop" and not node.args and self._is_set(node.func.value):
                self.report(node, "pop of a set")
            if name in _MUTATORS and self._is_shared(node.func.value):
                self.report(node, "change of a module's container inside a function")
        self.generic_visit(node)

    def _check_iteration(self, node: ast.expr) -> None:
        if self._is_set(node):
            self.report(node, "iteration over a set; sort it first")

    def _is_set(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Set | ast.SetComp):
            return True
        if isinstance(node, ast.Name):
            return any(node.id in names for names in self.scopes)
        if isinstance(node, ast.Attribute):
            return node.attr in self.set_attributes
        if isinstance(node, ast.IfExp):
            return self._is_set(node.body) or self._is_set(node.orelse)
        if isinstance(node, ast.BinOp) and isinstance(node.op, _SET_OPERATORS):
            return any(self._is_set(side) or _is_keys(side) for side in (node.left, node.right))
        if isinstance(node, ast.Call):
            name = _last_name(node.func)
            if isinstance(node.func, ast.Attribute) and name in _SET_METHODS:
                return True
            return name in self.set_functions or name in ("set", "frozenset")
        return False

    def _set_names(self, nodes: Iterator[ast.AST], *, attributes: bool) -> set[str]:
        """Names (or attributes) that ``nodes`` annotate as a set or bind to one."""
        kind = ast.Attribute if attributes else ast.Name
        found: set[str] = set()
        for node in nodes:
            if isinstance(node, ast.arg) and not attributes and node.annotation is not None:
                if _is_set_type(node.annotation):
                    found.add(node.arg)
            elif isinstance(node, ast.AnnAssign):
                bound = isinstance(node.target, kind) or (attributes and isinstance(node.target, ast.Name))
                if bound and _is_set_type(node.annotation):
                    found.add(_last_name(node.target))
            elif isinstance(node, ast.Assign | ast.NamedExpr) and self._is_set(node.value):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found.update(_last_name(target) for target in targets if isinstance(target, kind))
        return found


def _is_keys(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and _last_name(node.func) in ("keys", "items")


def _is_set_type(node: ast.expr) -> bool:
    """Whether an annotation names a set, also in ``set[str] | None`` and ``Annotated[set[str], …]``."""
    if isinstance(node, ast.BinOp):
        return _is_set_type(node.left) or _is_set_type(node.right)
    if isinstance(node, ast.Subscript):
        if _last_name(node.value) in ("Annotated", "Optional", "Final", "ClassVar"):
            inner = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else node.slice
            return _is_set_type(inner)
        return _is_set_type(node.value)
    return _last_name(node) in _SET_TYPES


def _last_name(node: ast.AST) -> str:
    """``c`` of ``a.b.c``, ``a`` of ``a[int]``; empty for anything else."""
    if isinstance(node, ast.Subscript):
        return _last_name(node.value)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _module_containers(tree: ast.Module) -> set[str]:
    """Names of the module's own lists, dictionaries and sets."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            call = isinstance(node.value, ast.Call) and _last_name(node.value.func) in _CONTAINER_CALLS
            if call or isinstance(node.value, _CONTAINERS):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found.update(_last_name(target) for target in targets)
    return found
