"""Machines, and every module of ours that they import, compute from the tape and nothing else."""

import re
from pathlib import Path

import pytest

from proto.subjects import MACHINE_ORDER
from tests.support.purity import check, closure, machine_modules

CLEAN = '''
"""A small machine with everything that looks suspicious and is not."""
from collections.abc import Sequence
import hashlib
import msgspec
from proto.message import Message

KNOWN = frozenset(("a", "b"))
TABLE = {"a": 1}


class State(msgspec.Struct):
    open: int = 0
    orders: dict[str, int] = {}


class Probe:
    seen: set[str]

    def on(self, names: list[str]) -> Sequence[Message]:
        unique = set(names)
        total = sum(TABLE[name] for name in names if name in KNOWN)
        first = sorted(unique)
        same = {name.lower() for name in unique}
        small = any(name < "m" for name in unique) and len(unique) < 3
        orders = {name: 1 for name in self.orders}
        orders["new"] = total
        return [first, same, small, orders, min(unique), {**orders}]
'''

# What each planted line must be reported as. `names` is a list, `unique` a set, TABLE a module's dict.
PLANTED = {
    "import time": "import of time",
    "import datetime": "import of datetime",
    "from random import random": "import of random",
    "import secrets, uuid": "import of uuid",
    "import os.path": "import of os.path",
    "from pathlib import Path": "import of pathlib",
    "import asyncio": "import of asyncio",
    "import socket": "import of socket",
    "import threading": "import of threading",
    "import subprocess": "import of subprocess",
    "import logging": "import of logging",
    "import numpy as np": "import of numpy",
    "from nats.js import api": "import of nats.js",
    "import asyncpg": "import of asyncpg",
    "import io": "import of io",
    "import tempfile": "import of tempfile",
    "import sys": "import of sys",
    "import importlib": "import of importlib",
    "from . import other": "relative import",
    "handle = open('x')": "use of open",
    "print(1)": "use of print",
    "key = hash('a')": "use of hash",
    "keys = list(map(id, names))": "use of id",
    "eval('1')": "use of eval",
    "__import__('time')": "use of __import__",
    "key = 'a'.__hash__()": "use of __hash__",
    "global TABLE": "global statement",
    "TABLE['b'] = 2": "change of a module's container inside a function",
    "TABLE.update(b=2)": "change of a module's container inside a function",
    "del TABLE['a']": "change of a module's container inside a function",
    "async def later(): pass": "async function",
    "first = unique.pop()": "pop of a set",
    "for name in unique: pass": "iteration over a set; sort it first",
    "for name in {1, 2}: pass": "iteration over a set; sort it first",
    "for name in self.seen: pass": "iteration over a set; sort it first",
    "for name in set(names): pass": "iteration over a set; sort it first",
    "for name in frozenset(names) - {1}: pass": "iteration over a set; sort it first",
    "for name in TABLE.keys() & names: pass": "iteration over a set; sort it first",
    "for name in unique.union(names): pass": "iteration over a set; sort it first",
    "order = [name for name in unique]": "iteration over a set; sort it first",
    "order = {name: 1 for name in unique}": "iteration over a set; sort it first",
    "order = list(unique)": "iteration over a set; sort it first",
    "order = [*unique]": "iteration over a set; sort it first",
    "text = ','.join(unique)": "iteration over a set; sort it first",
    "text = sorted(unique, key=len)": "iteration over a set; sort it first",
    "text = max(unique, key=len)": "iteration over a set; sort it first",
    "text = sum(unique)": "iteration over a set; sort it first",
    "order = dict.fromkeys(unique)": "iteration over a set; sort it first",
    "text = next(iter(KNOWN))": "iteration over a set; sort it first",
}


def plant(line: str) -> str:
    return CLEAN.replace("        unique = set(names)\n", f"        unique = set(names)\n        {line}\n")


def findings(text: str) -> list[str]:
    return [finding.text for finding in check(Path("probe.py"), text)]


def test_the_probe_without_a_planted_line_is_pure():
    assert findings(CLEAN) == []


@pytest.mark.parametrize("line", PLANTED)
def test_a_planted_violation_is_found(line: str):
    assert PLANTED[line] in findings(plant(line))


def test_a_set_in_a_struct_is_found():
    text = CLEAN.replace("orders: dict[str, int] = {}", "orders: set[str] = set()")
    assert "set in a Struct: its bytes depend on the order of the set" in findings(text)


def test_an_impure_module_is_found_behind_other_modules(tmp_path: Path):
    for name, text in {
        "services/probe/machine.py": "from libs.first import one\n",
        "libs/__init__.py": "",
        "libs/first/__init__.py": "from libs.second import two as one\n",
        "libs/second.py": "import time\ntwo = time.time\n",
        "libs/unrelated.py": "import socket\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    modules = closure(tmp_path, machine_modules(tmp_path))
    assert [str(path.relative_to(tmp_path)) for path in modules] == [
        "libs/__init__.py",
        "libs/first/__init__.py",
        "libs/second.py",
        "services/probe/machine.py",
    ]
    found = [finding for path in modules for finding in check(path, path.read_text())]
    assert [(finding.path.name, finding.text) for finding in found] == [("second.py", "import of time")]


def test_a_machine_in_a_file_of_another_name_is_found(tmp_path: Path):
    path = tmp_path / "services" / "probe" / "paper.py"
    path.parent.mkdir(parents=True)
    path.write_text("class Paper(StateMachine[State]):\n    pass\n")
    assert machine_modules(tmp_path) == [path]


def test_every_machine_of_the_order_is_covered(root: Path):
    """So that the next test cannot pass because it looked at nothing."""
    text = "".join(path.read_text() for path in machine_modules(root))
    assert [name for name in MACHINE_ORDER if not re.search(rf'^    name\b.*= "{name}"', text, re.M)] == []


def test_machines_and_what_they_import_are_pure(root: Path):
    modules = closure(root, machine_modules(root))
    found = [finding for path in modules for finding in check(path.relative_to(root), path.read_text())]
    assert not found, "\n" + "\n".join(map(str, found))


def test_machines_import_no_other_service(root: Path):
    for start in machine_modules(root):
        own = start.relative_to(root).parts[:2]
        folders = {path.relative_to(root).parts[:2] for path in closure(root, [start])}
        others = {parts for parts in folders if parts[0] in ("services", "tools") and parts != own}
        assert others <= {("services", "__init__.py")}, start
