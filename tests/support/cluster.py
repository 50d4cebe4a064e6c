"""An empty database cluster made once, for the state directories of tests to start with.

Making one takes a second of computing and syncing, several beside other tests. That the system makes its own where
there is none is for ``test_database_embedded.py`` and the first run in ``test_up.py`` to see.
"""

import atexit
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from libs.database.embedded import EmbeddedPostgres


@cache
def _empty() -> Path:
    """The data directory of a cluster of this process's own that ran once and was stopped."""
    folder = Path(tempfile.mkdtemp(prefix="presage-test-cluster-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    server = EmbeddedPostgres(folder)
    server.start()
    server.stop()
    return server.data_dir


def with_cluster(database: Path) -> Path:
    """The folder of an ``EmbeddedPostgres``, holding a copy of an empty cluster if it held none."""
    if not (database / "data").exists():
        database.mkdir(parents=True, exist_ok=True)
        # Its files are the server's user's.
        subprocess.run(["cp", "-a", str(_empty()), str(database / "data")], check=True)
    return database
