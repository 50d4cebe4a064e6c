"""``presage up``: everything under one supervisor, live or playing recordings."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from libs.config.load import parse_sets
from libs.venues.catalogue import takes_orders, traded
from services.signal.discovery import lasting_spec
from tools.cli.commands.operator import halt_of
from tools.cli.going_live import pass_live_gate, passphrase_for
from tools.cli.live_view import LiveView
from tools.cli.report import print_summary
from tools.cli.stages import Stages
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
)
from tools.cli.view_source import OwnSystem
from tools.exit_codes import DIFFERENCE, USAGE
from tools.live.money import account_of
from tools.system.build import system_of
from tools.system.composition import CONFIG_DIRECTORY, DEFAULT_STRATEGIES
from tools.system.options import MarketSource, Options
from tools.system.run import run_headless, run_viewed
from tools.system.system import System, Tell

PLAYING = "Recordings and other frames"
REAL_ORDERS = "Real orders"
OUTPUT = "How long, and what is shown"

Recordings = Annotated[
    list[Path] | None, typer.Option(help="Play a recording; may be repeated.", rich_help_panel=PLAYING)
]
MoreRecordings = Annotated[list[Path] | None, typer.Argument(help="More recordings.", show_default=False)]
Speed = Annotated[
    str | None,
    typer.Option(help="Times real time (1), or max (lockstep).", show_default=False, rich_help_panel=PLAYING),
]
Sockets = Annotated[
    list[str] | None,
    typer.Option(help="ws:// address that sends raw venue frames.", rich_help_panel=PLAYING),
]
Source = Annotated[
    MarketSource, typer.Option(help="Whose prices: the sandbox's, the real venues', or synthetic frames.")
]
SandboxLive = Annotated[
    bool,
    typer.Option(
        "--sandbox-live",
        help="Send real orders, to the sandbox's venues: live mode without risk.",
        rich_help_panel=REAL_ORDERS,
    ),
]
LiveVenues = Annotated[
    list[str] | None,
    typer.Option(help="Trade with real money at this venue; may be repeated.", rich_help_panel=REAL_ORDERS),
]
Confirmation = Annotated[
    str, typer.Option(help='What must be typed for --live: "live VENUE …".', rich_help_panel=REAL_ORDERS)
]
PaperState = Annotated[
    Path | None,
    typer.Option(
        help="State directory of the paper trades that open the gate for --live.", rich_help_panel=REAL_ORDERS
    ),
]
Faults = Annotated[Path | None, typer.Option(help="Fault script of the sandbox (YAML).")]
Seed = Annotated[int, typer.Option(help="Seed of the sandbox and the synthetic market.")]
ForSeconds = Annotated[
    float | None, typer.Option("--for", help="End by itself after so many seconds.", rich_help_panel=OUTPUT)
]
MetricsPort = Annotated[
    int,
    typer.Option(
        help="First of ten ports for health and metrics, supervisor first; 0: any free ones.",
        max=65_526,
        min=0,
        rich_help_panel=OUTPUT,
    ),
]
WithConsole = Annotated[
    bool | None,
    typer.Option(
        "--console/--no-console",
        help="The console for browsers; without either: unless something is played or JSON is asked for.",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]
Standby = Annotated[
    bool,
    typer.Option(
        "--standby",
        help="A second process of each service that follows and takes over; with a broker of several nodes.",
    ),
]
Headless = Annotated[bool, typer.Option(help="No terminal view.", rich_help_panel=OUTPUT)]
Picture = Annotated[
    Path | None, typer.Option(help="Write the last frame of the view as SVG.", rich_help_panel=OUTPUT)
]
Adopted = Annotated[list[str] | None, typer.Option(help="Adopt the tape for a machine of a new version.")]


def up(  # noqa: PLR0913, PLR0917 - a command line's options are its parameters
    recording: Recordings = None,
    more: MoreRecordings = None,
    speed: Speed = None,
    market: Source = MarketSource.SANDBOX,
    sandbox_live: SandboxLive = False,
    live: LiveVenues = None,
    confirm: Confirmation = "",
    paper_state: PaperState = None,
    faults: Faults = None,
    socket: Sockets = None,
    seed: Seed = 7,
    for_s: ForSeconds = None,
    state: State = DEFAULT_STATE,
    metrics_port: MetricsPort = 0,
    headless: Headless = False,
    with_console: WithConsole = None,
    standby: Standby = False,
    adopt: Adopted = None,
    picture: Picture = None,
    strategy: Strategies = None,
    config: ConfigDirectory = CONFIG_DIRECTORY,
    set_: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Bring everything up, on paper at the sandbox's venues; or play recordings, which end by themselves."""
    recordings = [*(recording or []), *(more or [])]
    prices_are_played = bool(recordings or socket)
    prices = _market(market, live=bool(live), played=prices_are_played)
    options = Options(
        state=state,
        recordings=recordings,
        speed=_speed(speed, played=bool(recordings)),
        seed=seed,
        sockets=socket or [],
        for_s=for_s,
        adopt=adopt or [],
        strategies=[lasting_spec(spec) for spec in strategy or DEFAULT_STRATEGIES],
        market=prices,
        live=live_venues(live or [], prices, sandbox_live=sandbox_live),
        faults=faults,
        paper_state=paper_state,
        metrics_port=metrics_port,
        evaluator=not recordings,
        console=not (prices_are_played or as_json) if with_console is None else with_console,
        standby=standby,
    )

    async def work() -> dict[str, Any]:
        system = system_of(options, config, parse_sets(set_ or []))
        if system.advising.note:
            stages.clear()
            errors.print(f"presage: {system.advising.note}", highlight=False, markup=False, soft_wrap=True)
        if options.money == "real":
            stages.clear()
            await pass_live_gate(options, system.venues, confirm)
        elif options.market is MarketSource.REAL:
            stages.clear()
            options.passphrase = passphrase_for(state, ())
        if headless or as_json:
            return await run_headless(system, visible=sys.stderr.isatty(), tell=_telling(system, stages.say))
        view = LiveView(OwnSystem(system), picture, halt_of(state))
        system.observers.append(view.observe)
        return await run_viewed(system, view.run, stages.say)

    with Stages() as stages:
        stages.say("starting …")
        summary = run(work())
    if as_json:
        emit(summary)
    else:
        print_summary(console, summary, str(state), account_of(options.money, options.live))
    if summary["divergences"]:
        raise typer.Exit(DIFFERENCE)


def _telling(system: System, say: Tell) -> Tell:
    """Say also where the console is, once everything was started."""

    def tell(stage: str) -> None:
        say(stage)
        if not stage and system.console_url:
            errors.print(
                f"presage: console at {system.console_url}", highlight=False, markup=False, soft_wrap=True
            )

    return tell


def _market(market: MarketSource, *, live: bool, played: bool) -> MarketSource:
    """Real money means real venues; what is played needs none."""
    if played:
        return MarketSource.SYNTHETIC
    return MarketSource.REAL if live else market


def live_venues(live: list[str], market: MarketSource, *, sandbox_live: bool) -> list[str]:
    """Venues that get real orders."""
    if live and sandbox_live:
        raise fail("expected --live or --sandbox-live, was both", USAGE)
    if sandbox_live and market is not MarketSource.SANDBOX:
        raise fail(f"expected --sandbox-live with the sandbox's prices, was {market.value} ones", USAGE)
    unknown = [venue for venue in live if not takes_orders(venue)]
    if unknown:
        raise fail(f"expected --live to name one of {', '.join(traded())}, was {unknown[0]!r}", USAGE)
    return traded() if sandbox_live else live


def _speed(text: str | None, *, played: bool) -> float | None:
    if text is None:
        return 1.0
    if not played:
        raise fail("expected --speed with a recording to play, was without one", USAGE)
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if speed <= 0:
        raise fail(f"expected --speed to be a positive number or max, was {text!r}", USAGE)
    return speed
