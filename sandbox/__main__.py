import argparse
import asyncio
from pathlib import Path

from sandbox.main import SandboxOptions, serve
from sandbox.registry import served
from sandbox.server import HOST
from sandbox.world.world import UPDATES_PER_S


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="The venues on this machine.")
    parser.add_argument("--venue", action="append", choices=served(), help="serve this one; may be repeated")
    parser.add_argument("--seed", type=int, default=7, help="same seed, same markets and keys")
    parser.add_argument("--faults", type=Path, help="fault script (YAML)")
    parser.add_argument("--time-scale", type=float, default=1.0, help="windows are so many times shorter")
    parser.add_argument(
        "--host", default=HOST, help="name under which others reach it; loopback alone without"
    )
    parser.add_argument("--port-base", type=int, default=0, help="first of seven ports; 0: any free ones")
    parser.add_argument("--ports-reserved", action="store_true", help="the parent process holds them for us")
    parser.add_argument(
        "--state", type=Path, default=Path("state"), help="where addresses and keys are written"
    )
    parser.add_argument(
        "--updates-per-s", type=float, default=UPDATES_PER_S, help="changes a second of a book"
    )
    parser.add_argument("--json", action="store_true", help="print addresses as one line of JSON")
    parser.add_argument("--with-parent", action="store_true", help="end when the parent process is gone")
    parser.add_argument("--keep", action="store_true", help="go on with the world of before, in the state")
    parser.add_argument("--lively", action="store_true", help="begin with a trend: something happens at once")
    parser.add_argument("--models", action="store_true", help="serve language models too, on the last port")
    given = parser.parse_args()
    options = SandboxOptions(
        venues=tuple(given.venue or ()),
        seed=given.seed,
        faults=given.faults,
        time_scale=given.time_scale,
        host=given.host,
        port_base=given.port_base,
        ports_reserved=given.ports_reserved,
        state=given.state,
        as_json=given.json,
        updates_per_s=given.updates_per_s,
        with_parent=given.with_parent,
        keep=given.keep,
        lively=given.lively,
        models=given.models,
    )
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
