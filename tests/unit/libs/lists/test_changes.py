"""What became of proposed changes, as the tape tells it, and which values they leave in force."""

import yaml

from libs.changes.overrides import Overrides
from libs.lists.changes import ChangeQueue
from libs.lists.settings import overrides_text, settings_of
from proto.evaluation import ChangeProposal, ChangeStep, Edit, SignalChange
from proto.message import Message
from proto.operator import Command, Verb

EDIT = Edit(path="signal.momentum.z_min", section="signal.momentum", section_hash="h", old=20, new=22)


def proposal(name: str, expires_at: int = 100) -> ChangeProposal:
    return ChangeProposal(proposal=name, edit=EDIT, day="d", reason="r", at=1, expires_at=expires_at)


def command(verb: Verb, name: str) -> Command:
    return Command(verb=verb, nonce="n", expires_at=1, proposal=name, reason="no")


def said(step: ChangeStep, name: str, edit: Edit = EDIT) -> SignalChange:
    return SignalChange(proposal=name, edit=edit, step=step, section_hash="x", at=5, reason="because")


def states(*messages: Message) -> dict[str, str]:
    queue = ChangeQueue()
    for seq, message in enumerate(messages, 1):
        queue.add(seq, message)
    return {name: row.state for name, row in queue.expire(100).rows.items()}


def test_a_proposal_waits_until_it_is_decided_on_or_its_time_is_over():
    accept, reject = (command(verb, "a") for verb in (Verb.ACCEPT, Verb.REJECT))
    assert states(proposal("a", 101), proposal("b")) == {"a": "waiting", "b": "expired"}
    assert states(proposal("a"), reject, accept) == {"a": "rejected"}
    assert states(proposal("a"), accept, proposal("a")) == {"a": "accepted"}
    applied = (proposal("a"), accept, said(ChangeStep.APPLIED, "a"))
    assert states(*applied, reject) == {"a": "applied"}
    assert states(*applied, said(ChangeStep.REVERT_REFUSED, "a")) == {"a": "applied"}
    assert states(*applied, said(ChangeStep.REVERTED, "a")) == {"a": "reverted"}
    refused = (proposal("a"), accept, said(ChangeStep.REFUSED, "a"))
    assert states(*refused) == {"a": "refused"}
    assert states(*refused, accept, said(ChangeStep.APPLIED, "a")) == {"a": "applied"}
    assert states(accept, said(ChangeStep.APPLIED, "a")) == {}


def test_overrides_are_what_is_in_force_over_the_configured_value():
    overrides = Overrides()
    next_edit = EDIT.replace(old=22, new=24)
    assert not overrides.add(said(ChangeStep.REFUSED, "a"))
    assert overrides.add(said(ChangeStep.APPLIED, "b"))
    assert overrides.add(said(ChangeStep.APPLIED, "c", next_edit))
    (row,) = settings_of({"signal.momentum": {"z_min": 20}}, {"signal.momentum.z_min": "default"}, overrides)
    assert (row.value, row.base, row.proposal) == (24, 20, "c")
    assert row.origin.startswith("change c (")
    assert row.origin.endswith(", over default")
    # A value that the configuration has by now is nobody's but its own.
    (row,) = settings_of({"signal.momentum": {"z_min": 30}}, {}, overrides)
    assert (row.value, row.origin) == (30, "unknown")
    read = yaml.safe_load(overrides_text(overrides.in_force()))
    assert read["signal.momentum.z_min"]["value"] == 24
    assert overrides.add(said(ChangeStep.REVERTED, "c", next_edit))
    assert overrides.in_force()[EDIT.path].value == 22
    assert overrides.add(said(ChangeStep.ENDED, "b"))
    assert not overrides.add(said(ChangeStep.ENDED, "b"))
    assert yaml.safe_load(overrides_text(overrides.in_force())) == {}
