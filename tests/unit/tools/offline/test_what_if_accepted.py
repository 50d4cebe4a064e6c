"""Accepted changes on the branches of a what-if: what it sets holds against them, other settings of the section change."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from libs.config.section import Section, section_hash
from libs.contract.codec import encode
from libs.contract.plain import encode_state
from libs.keys.signing import Verifier
from libs.machine.input_gate import InputGate
from libs.machine.machine import Machine, Stamp
from libs.tape.record import TapeRecord
from proto.evaluation import Edit, Revert
from proto.message import Message
from proto.operator import ClockOwner, Command, Config, Mode, Session, Verb
from proto.units import SECOND
from tools.offline.what_if.accepted import is_acceptance, section_in
from tools.offline.what_if.branch import Branch
from tools.offline.what_if.given import Input, Rules
from tools.offline.what_if.outcome import Outcome
from tools.offline.what_if.recorded import RecordedTape
from tools.offline.what_if.unstored import Unstored
from tools.system.composition import DEFAULT_STRATEGIES, factories, sections

FAR = 2**62
HOUR = 3_601 * SECOND
RESOLVED = sections()
SETTINGS = [
    ("exit", "exit.stop_loss", 40_000, "exit.decay_s", 15_300),
    ("signal.momentum", "signal.momentum.z_min", 2_250_000, "signal.momentum.edge_min", 15_000),
]
"""Two sections, in each a setting that the what-if sets and another one, with values that may be accepted."""


def machines() -> list[Machine]:
    return [make() for make in factories(DEFAULT_STRATEGIES).values()]


class Branches:
    """An unchanged branch and one with ``changes``, on which the same inputs arrive."""

    def __init__(self, changes: Mapping[str, Any], held: Sequence[Machine] | None = None) -> None:
        recorded = RecordedTape((), InputGate(Verifier({})))
        rules = Rules(recorded, 0, False, False, frozenset(), frozenset(), Unstored(recorded, {}))
        self._changes = changes
        self.own: list[list[Machine]] = []
        self.branches = []
        for paths in ((), tuple(changes)):
            own = machines()
            for machine, from_ in zip(own, held or (), strict=bool(held)):
                machine.restore(from_.snapshot())
            self.own.append(own)
            is_baseline = not paths
            self.branches.append(
                Branch(
                    rules,
                    own,
                    Outcome(),
                    (lambda c: c) if is_baseline else self._changed,
                    (),
                    paths,
                    is_baseline=is_baseline,
                )
            )
        self.seq = 0
        self.now = SECOND

    def _changed(self, config: Config) -> Config:
        mine = {
            path.rpartition(".")[2]: value
            for path, value in self._changes.items()
            if path.rpartition(".")[0] == config.section
        }
        return config.replace(document={**config.document, **mine})

    def put(self, message: Message) -> None:
        """An input of the record, as the run gives it to its branches."""
        self.seq += 1
        record = TapeRecord(self.seq, message.subject(), {}, encode(message), self.now)
        given = Input(record, message, Stamp(self.seq, self.now))
        baseline, other = self.branches
        baseline.take(given, "t")
        applied = is_acceptance(message) and baseline.has_applied(message.proposal)
        other.take(given, "t", is_applied=applied)

    def configure(self) -> None:
        self.put(
            Session(
                tape="t", mode=Mode.REALTIME, clock_owner=ClockOwner.MONITOR, started_at=self.now, nonce="s",
                expires_at=FAR,
            )
        )  # fmt: skip
        for name in ("eval", "exit", "signal.momentum"):
            self.put(Config(section=name, document=RESOLVED[name], nonce=name, expires_at=FAR))

    def accept(self, proposal: str, path: str, new: int, *, wrong: bool = False) -> None:
        """Accept a change as it was made against the unchanged section."""
        section, _, key = path.rpartition(".")
        document = self.section(0, section).document()
        self.put(
            Command(
                verb=Verb.ACCEPT,
                nonce=proposal,
                expires_at=FAR,
                proposal=proposal,
                path=path,
                section_hash="another" if wrong else section_hash(document),
                old=document[key],
                new=new,
            )
        )
        self.now += HOUR

    def section(self, branch: int, name: str) -> Section:
        found = section_in(self.own[branch], name)
        assert found is not None
        return found

    def value(self, branch: int, path: str) -> Any:
        section, _, key = path.rpartition(".")
        return self.section(branch, section).document()[key]


@pytest.mark.parametrize(("section", "mine", "mine_new", "other", "other_new"), SETTINGS)
def test_what_is_set_holds_and_other_settings_of_its_section_change(
    section: str, mine: str, mine_new: int, other: str, other_new: int
) -> None:
    base = RESOLVED[section][mine.rpartition(".")[2]]
    low = base - (mine_new - base)
    both = Branches({mine: low})
    both.configure()
    both.accept("p1", mine, mine_new)
    both.accept("p2", other, other_new)
    assert (both.value(0, mine), both.value(0, other)) == (mine_new, other_new)
    assert (both.value(1, mine), both.value(1, other)) == (low, other_new)
    # Also over the next session, whose configuration is the same.
    both.configure()
    assert (both.value(0, mine), both.value(0, other)) == (mine_new, other_new)
    assert (both.value(1, mine), both.value(1, other)) == (low, other_new)


@pytest.mark.parametrize(("section", "mine", "mine_new", "other", "other_new"), SETTINGS)
def test_what_was_refused_stays_refused(
    section: str, mine: str, mine_new: int, other: str, other_new: int
) -> None:
    both = Branches({mine: mine_new})
    both.configure()
    both.accept("p1", other, other_new, wrong=True)
    assert both.value(0, other) == both.value(1, other) == RESOLVED[section][other.rpartition(".")[2]]


def test_a_change_that_was_taken_back_is_taken_back_on_both() -> None:
    _, mine, mine_new, other, other_new = SETTINGS[0]
    both = Branches({mine: mine_new})
    both.configure()
    digest = section_hash(both.section(0, "exit").document())
    both.accept("p1", other, other_new)
    both.now -= HOUR
    edit = Edit(path=other, section="exit", section_hash=digest, old=1, new=other_new)
    for branch in both.branches:
        branch._insert(
            Revert(proposal="p1", edit=edit, reason="r", at=both.now, barred_until=FAR), "", b"", both.now
        )
    assert both.value(0, other) == both.value(1, other) == RESOLVED["exit"]["decay_s"]
    assert both.value(1, mine) == mine_new


@pytest.mark.parametrize(("section", "mine", "mine_new", "other", "other_new"), SETTINGS)
def test_a_change_in_force_where_it_begins_is_over_for_what_is_set(
    section: str, mine: str, mine_new: int, other: str, other_new: int
) -> None:
    before = Branches({other: other_new})
    before.configure()
    before.accept("p1", mine, mine_new)
    before.accept("p2", other, other_new)
    base = RESOLVED[section][mine.rpartition(".")[2]]
    # The value of the file itself: a section configured anew must not bring the accepted one back.
    both = Branches({mine: base}, held=before.own[0])
    assert both.branches[0].ended_sections == frozenset()
    assert both.branches[1].ended_sections == {section}
    both.configure()
    assert (both.value(0, mine), both.value(0, other)) == (mine_new, other_new)
    assert (both.value(1, mine), both.value(1, other)) == (base, other_new)


def test_without_a_setting_of_its_own_a_branch_is_the_record() -> None:
    both = Branches({})
    both.configure()
    for section, mine, mine_new, other, other_new in SETTINGS:
        both.accept(f"{section}-1", mine, mine_new)
        both.accept(f"{section}-2", other, other_new)
    for one, two in zip(*both.own, strict=True):
        assert encode_state(one.state) == encode_state(two.state)
    assert both.branches[1].departures == both.branches[0].departures
