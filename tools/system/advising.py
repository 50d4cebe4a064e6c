"""Whether the advisor runs, and if not, why: the configuration, where prices come from, what is installed, keys."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

from libs.config.environment import Environment
from libs.config.load import Sections
from tools.exit_codes import UsageError
from tools.system.composition import ADVISOR
from tools.system.options import MarketSource, Options

SERVICE = "advisor"
SDK_OF = {"sandbox": "openai", "openai": "openai", "anthropic": "anthropic"}
"""The sandbox's models speak both protocols; OpenAI's package is the lighter one."""


class Advising(NamedTuple):
    """The advisor's sections when it runs, ``note`` (in words) when somebody would expect it to and it does not."""

    sections: Sections
    note: str = ""

    @property
    def is_on(self) -> bool:
        """Whether it runs."""
        return bool(self.sections)

    @property
    def wants_sandbox_models(self) -> bool:
        """Whether the sandbox's models are to be served."""
        return self.is_on and self.sections[ADVISOR]["provider"] == "sandbox"


OFF = Advising({})


def advising_of(options: Options, sections: Sections) -> Advising:
    """Decide whether the advisor runs.

    Raises:
        UsageError: forecasts were to have full influence on real orders with real money.
    """
    section = sections[ADVISOR]
    provider = section["provider"]
    if (
        provider == "none"
        or options.recordings
        or options.sockets
        or options.market is MarketSource.SYNTHETIC
    ):
        return OFF
    if options.money == "real" and section["influence"] == "full":
        raise UsageError("expected advisor.influence earned with real money, was full")
    if provider == "sandbox" and options.market is not MarketSource.SANDBOX:
        return OFF
    elsewhere = Environment.read()
    if elsewhere.services_dir is not None or elsewhere.sandbox_dir is not None:
        # Where services run in containers of their own there is none for it.
        return OFF
    note = _missing(provider, section)
    return Advising({}, f"no advisor: {note}") if note else Advising(sections)


def _missing(provider: str, section: Mapping[str, Any]) -> str:
    package = SDK_OF[provider]
    if find_spec(package) is None:
        return f"expected the package {package}, was not installed: pip install 'presage[advisor]'"
    environment = Environment.read()
    keys = {"anthropic": environment.anthropic_key, "openai": environment.openai_key}
    if provider in keys and not keys[provider].get_secret_value() and not section["base_url"]:
        return f"expected a key in PRESAGE_{provider.upper()}_KEY, was none"
    return ""
