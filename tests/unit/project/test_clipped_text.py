"""Texts are cut by the two helpers of ``libs/bounded``: people see that something is missing."""

import ast
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from libs.bounded import clip, cut

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("libs", "services", "tools", "sandbox")
"""Not ``proto``, which imports nothing of the project."""
HELPERS = ROOT / "libs" / "bounded" / "__init__.py"
SHORT = 20
"""A shorter slice takes a prefix: the head of a digest, a part of a UUID, a date of a time."""


def is_text_cut(node: ast.AST, *, shown: bool) -> bool:
    """Whether a slice shortens a text: of a text that is made on the spot, within one, or by a bound of characters."""
    if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)):
        return False
    bound = node.slice.upper
    if node.slice.lower is not None or bound is None:
        return False
    if ast.unparse(bound).endswith("CHARACTERS_MAX"):
        return True
    is_long = isinstance(bound, ast.Constant) and isinstance(bound.value, int) and bound.value >= SHORT
    made = isinstance(node.value, ast.JoinedStr) or (
        isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in ("str", "repr")
    )
    return is_long and (made or shown)


def text_cuts(source: str) -> list[int]:
    """Lines of a module in which a text is cut by a slice."""
    tree = ast.parse(source)
    shown = {
        id(inner)
        for text in ast.walk(tree)
        if isinstance(text, ast.JoinedStr)
        for inner in ast.walk(text)
        if isinstance(inner, ast.Subscript)
    }
    return [
        getattr(node, "lineno", 0) for node in ast.walk(tree) if is_text_cut(node, shown=id(node) in shown)
    ]


def test_no_text_is_cut_by_a_slice():
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if path != HELPERS
        for line in text_cuts(path.read_text())
    ]
    assert not found, "expected clip() or cut() of libs.bounded"


def test_the_rule_finds_what_it_is_for():
    for bad in ('f"was {text[:40]!r}"', "str(e)[:200]", 'f"{a}: {b}"[:300]', "text[:TEXT_CHARACTERS_MAX]"):
        assert text_cuts(bad) == [1], bad
    for good in ("rows[:40]", 'f"{digest[:16]}"', "levels[:LEVELS_MAX]", "text[40:80]", "clip(text, 40)"):
        assert text_cuts(good) == [], good


@given(st.text(max_size=12), st.integers(1, 12))
def test_a_cut_text_keeps_its_bound_and_shows_the_cut(text: str, characters_max: int):
    shown = clip(text, characters_max)
    assert len(shown) <= characters_max
    assert shown == text or (shown.endswith("…") and text.startswith(shown[:-1]))
    assert cut(text, characters_max) == text[:characters_max]
