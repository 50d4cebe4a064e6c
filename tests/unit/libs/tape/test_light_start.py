"""What a service does not use, it does not load."""

import subprocess
import sys

SERVICES = ("advisor", "execution", "exit", "feed", "journal", "monitor", "risk", "signal")
PROGRAM = f"""
import importlib, sys
for service in {SERVICES}:
    importlib.import_module(f"services.{{service}}.__main__")
print("aiohttp" in sys.modules)
import aiohttp
print(aiohttp.__name__)
"""


def test_services_do_not_load_what_only_the_sandbox_needs_and_the_sandbox_finds_it():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["False", "aiohttp"]
