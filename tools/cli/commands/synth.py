"""``presage synth``: a synthetic market as a recording."""

from pathlib import Path
from typing import Annotated

import typer

from services.feed.synthetic.recording import write_recording
from tools.cli.terminal import AsJson, fail, print_outcome, run
from tools.exit_codes import USAGE


def synth(
    directory: Path,
    minutes: Annotated[int, typer.Option(help="How long.")] = 15,
    seed: Annotated[int, typer.Option(help="Same seed, same market.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Write a synthetic market as a recording."""
    if minutes < 1:
        raise fail(f"expected at least 1 minute, was {minutes}", USAGE)

    async def work() -> None:
        write_recording(directory, seed, minutes)

    run(work())
    document = {"directory": str(directory), "minutes": minutes, "seed": seed}
    print_outcome(document | {"text": f"wrote {directory}: {minutes} minutes, seed {seed}"}, as_json)
