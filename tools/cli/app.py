"""The ``presage`` command. Exit codes: 0 ok, 1 failed, 2 usage, 3 difference found."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from libs.config.errors import ConfigError
from libs.config.load import parse_sets
from proto.operator import Verb
from services.feed.recording.recording import RecordingError
from services.feed.synthetic.recording import write_recording
from services.signal.discovery import StrategyNotFound
from tools.cli import commands
from tools.cli.commands.up import live_venues, up
from tools.cli.doctor import Finding, examine, print_findings
from tools.cli.exit_codes import DIFFERENCE, FAILED, USAGE, UsageError
from tools.cli.going_live import passphrase_for
from tools.cli.keys import keys_app
from tools.cli.record import record
from tools.cli.report import print_backtest, print_why
from tools.cli.terminal import (
    DEFAULT_STATE,
    AsJson,
    ConfigDirectory,
    Sets,
    State,
    Strategies,
    console,
    emit,
    errors,
    fail,
    run,
    say,
)
from tools.offline.backtest import Backtest
from tools.system.build import all_venues
from tools.system.composition import CONFIG_DIRECTORY, DEFAULT_STRATEGIES, sections
from tools.system.options import MarketSource

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Presage: trading prediction markets.",
    pretty_exceptions_enable=False,
)
journal_app = typer.Typer(no_args_is_help=True, help="The journal in PostgreSQL.")
app.add_typer(journal_app, name="journal")
app.add_typer(keys_app, name="keys")
app.command()(record)
app.command()(up)


@app.command()
def status(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """What runs, whether orders may leave, and why not. Exit code 1 when nothing runs, or it is stopping."""
    document = run(commands.status(state))
    if as_json:
        emit(document)
    else:
        commands.print_status(console, document)
    if not document["running"] or commands.is_stopping(document):
        raise typer.Exit(FAILED)


@app.command()
def halt(
    reason: Annotated[str, typer.Option(help="Why.")] = "operator",
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Stop new orders now and cancel working ones. Works without the broker, survives restarts."""
    document = run(commands.halt(state, reason))
    say(document, as_json)


@app.command()
def resume(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Let orders leave again."""
    say(run(commands.give(state, Verb.RESUME)), as_json)


@app.command("close-only")
def close_only(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Let exits through and nothing else."""
    say(run(commands.give(state, Verb.CLOSE_ONLY)), as_json)


@app.command()
def approve(order: str, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Approve an order that waits for the operator."""
    say(run(commands.give(state, Verb.APPROVE, order=order)), as_json)


@app.command()
def deny(order: str, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Deny an order that waits for the operator."""
    say(run(commands.give(state, Verb.DENY, order=order)), as_json)


@app.command()
def skip(seq: int, machine: str, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Let a machine that raised at SEQ go on without that message."""
    say(run(commands.give(state, Verb.SKIP, machine=machine, seq=seq)), as_json)


@app.command()
def doctor(
    live: Annotated[
        list[str] | None, typer.Option(help="Examine the account at this venue too; may be repeated.")
    ] = None,
    state: State = DEFAULT_STATE,
    config: ConfigDirectory = CONFIG_DIRECTORY,
    set_: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Examine this machine, the venues, and the accounts at those named; say in plain words what is missing."""
    trading = live_venues(live or [], MarketSource.REAL, sandbox_live=False)

    async def work() -> list[Finding]:
        # No system is made of it: that would prepare the state directory, and mend what is to be found.
        venues = all_venues(config, parse_sets(set_ or []))
        if off := [venue for venue in trading if not venues[venue]["enabled"]]:
            raise UsageError(f"expected {off[0]} to be enabled in config/venues/{off[0]}.yaml, was not")
        return await examine(state, venues, trading, passphrase_for(state, trading))

    findings = run(work())
    if as_json:
        emit([finding._asdict() for finding in findings])
    else:
        print_findings(console, findings)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(FAILED)


@app.command()
def why(
    name: Annotated[str, typer.Argument(metavar="ID")], state: State = DEFAULT_STATE, as_json: AsJson = False
) -> None:
    """The causal chain of an order, a rejection or an exit (order id, message id or sequence)."""
    chain = run(commands.why(state, name))
    if not chain:
        raise fail(f"expected an order, message id or sequence of the tape, was {name!r}")
    if as_json:
        emit(chain)
    else:
        print_why(console, chain)


@app.command()
def replay(
    state: State = DEFAULT_STATE,
    from_: Annotated[str, typer.Option("--from", help="Sequence or UTC time (2026-05-13T21:51:30).")] = "",
    to: Annotated[str, typer.Option("--to", help="Sequence or UTC time.")] = "",
    machine: Annotated[list[str] | None, typer.Option(help="Only this machine; may be repeated.")] = None,
    set_: Sets = None,
    break_: Annotated[
        str, typer.Option("--break", help="Stop where this holds: kind=risk.rejection market=…")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Run every machine again over the tape and compare the bytes; with --set, what would have been."""

    async def work() -> dict[str, Any]:
        request = commands.ReplayRequest(state, from_, to, machine or [], parse_sets(set_ or []), break_)
        return await commands.replay(request, visible=sys.stderr.isatty() and not as_json)

    document = run(work())
    if as_json:
        emit(document)
    else:
        commands.print_replay(console, document)
    if document.get("difference"):
        raise typer.Exit(DIFFERENCE)


@app.command()
def backtest(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings, in order of time.")],
    strategy: Strategies = None,
    config: ConfigDirectory = CONFIG_DIRECTORY,
    set_: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Run the machines over recordings in one process, without a broker."""
    strategies = strategy or list(DEFAULT_STRATEGIES)
    try:
        test = Backtest(sections(config, parse_sets(set_ or []), strategies), strategies)
        with Progress(console=errors, transient=True, disable=as_json or not sys.stderr.isatty()) as bar:
            task = bar.add_task("backtest", total=len(recordings))
            test.run(recordings, lambda done, _: bar.update(task, completed=done))
    except (ConfigError, RecordingError, StrategyNotFound, ValueError) as e:
        raise fail(str(e), USAGE) from e
    if as_json:
        emit(test.summary.document())
    else:
        print_backtest(console, test)


@app.command()
def synth(
    directory: Path,
    minutes: Annotated[int, typer.Option(help="How long.")] = 15,
    seed: Annotated[int, typer.Option(help="Same seed, same market.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Write a synthetic market as a recording."""
    if minutes < 1:
        raise fail(f"expected at least 1 minute, was {minutes}", USAGE)
    write_recording(directory, seed, minutes)
    document = {"directory": str(directory), "minutes": minutes, "seed": seed}
    say(document | {"text": f"wrote {directory}: {minutes} minutes, seed {seed}"}, as_json)


@app.command("sandbox")
def sandbox_(
    venue: Annotated[list[str] | None, typer.Option(help="Serve this venue; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same markets and keys.")] = 7,
    faults: Annotated[Path | None, typer.Option(help="Fault script (YAML).")] = None,
    time_scale: Annotated[float, typer.Option(help="Windows are so many times shorter.")] = 1.0,
    port_base: Annotated[int, typer.Option(help="First of six ports; 0: any free ones.")] = 0,
    updates_per_s: Annotated[float, typer.Option(help="Changes a second of each book.")] = 3.0,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Serve the venues on this machine: synthetic markets behind their real protocols."""
    run(
        commands.serve_sandbox(
            console,
            venues=venue or [],
            seed=seed,
            faults=faults,
            time_scale=time_scale,
            port_base=port_base,
            state=state,
            as_json=as_json,
            updates_per_s=updates_per_s,
        )
    )


@journal_app.command("verify")
def journal_verify(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Find changed, removed and inserted rows, and a cut tail."""
    document, lines = run(commands.verify_journal(state))
    if as_json:
        emit(document)
    else:
        console.print("\n".join(lines), markup=False, highlight=False)
    if not document["sound"]:
        raise typer.Exit(DIFFERENCE)


@journal_app.command("export")
def journal_export(
    output: Annotated[Path, typer.Argument(help="File to write, - for stdout.")] = Path("-"),
    state: State = DEFAULT_STATE,
    from_seq: Annotated[int, typer.Option(help="First sequence.")] = 1,
    to_seq: Annotated[int | None, typer.Option(help="Last sequence.")] = None,
) -> None:
    """Write the journal as JSON lines."""
    rows = run(commands.export_journal(state, output, from_seq, to_seq))
    errors.print(f"{rows} rows")


def main() -> None:
    """Entry point of the ``presage`` command."""
    app()


if __name__ == "__main__":
    main()
