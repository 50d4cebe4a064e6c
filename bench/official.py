"""The venues' own clients, which the benches stand beside, live in an environment of their own."""

from pathlib import Path

PYTHON = Path(__file__).parents[1] / ".venv-clients" / "bin" / "python"


def python() -> str:
    """The interpreter of that environment.

    Raises:
        RuntimeError: when there is none.
    """
    if not PYTHON.is_file():
        raise RuntimeError(f"expected the venues' clients in {PYTHON.parents[1].name}; run: make clients")
    return str(PYTHON)
