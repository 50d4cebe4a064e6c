"""The hash of a run's outputs: blind to tape ids and sequence numbers, and to nothing else."""

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from libs.machine.outputs_hash import OutputsHash

Entry = tuple[str, int, int, int]
"""Machine, cause, quantity, which earlier cause it refers to."""

entries = st.lists(
    st.tuples(
        st.sampled_from(["signal", "risk", "execution"]),
        st.integers(1, 40),
        st.integers(0, 5),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=12,
)


def records(run: list[Entry], tape: str, shift: int, stretch: int) -> list[tuple[str, str, bytes]]:
    """Message ids, subjects and payloads as a run on a tape of that name, with its own numbers."""
    causes = [shift + stretch * (index + 1) + entry[1] for index, entry in enumerate(run)]
    causes = [sum(causes[: index + 1]) for index in range(len(causes))]
    found: list[tuple[str, str, bytes]] = []
    for (machine, _, quantity, refers), cause in zip(run, causes, strict=True):
        order = f"{tape}-{causes[refers % len(run)]}-0"
        proposal = f"{tape}:signal:{causes[refers % len(run)]}:0"
        payload = msgspec.msgpack.encode({"order": order, "proposal": proposal, "quantity": quantity})
        found.append((f"{tape}:{machine}:{cause}:0", f"{machine}.thing.{order}", payload))
    return found


def digest(found: list[tuple[str, str, bytes]]) -> str:
    outputs = OutputsHash()
    for record in found:
        outputs.add_record(*record)
    return outputs.hexdigest()


@given(
    entries, st.integers(0, 10_000), st.integers(1, 99), st.sampled_from(["t1", "backtest", "a.b+c", "0e1"])
)
def test_renamed_tapes_and_sequences_hash_alike(
    run: list[Entry], shift: int, stretch: int, tape: str
) -> None:
    assert digest(records(run, "zz", 0, 50)) == digest(records(run, tape, shift, stretch))


@given(entries, entries)
def test_different_decisions_hash_differently(first: list[Entry], second: list[Entry]) -> None:
    def meaning(run: list[Entry]) -> list[tuple[str, int, int]]:
        return [(machine, quantity, refers % len(run)) for machine, _, quantity, refers in run]

    assume(meaning(first) != meaning(second))
    renamed = [digest(records(run, "t", 0, 50)) for run in (first, second)]
    # References are renamed by order of appearance: only what is not expressed by that may be equal.
    assume(_appearance(first) != _appearance(second))
    assert renamed[0] != renamed[1]


def _appearance(run: list[Entry]) -> list[tuple[str, int, int]]:
    names: dict[int, int] = {}
    return [
        (machine, quantity, names.setdefault(refers % len(run), len(names)))
        for machine, _, quantity, refers in run
    ]


@given(entries, st.data())
def test_repeats_and_foreign_messages_do_not_count(run: list[Entry], data: st.DataObject) -> None:
    found = records(run, "t", 0, 50)
    repeated = found + [record for record in found if data.draw(st.booleans())]
    repeated.append(("t:feed-shell:1:0", "feed.quote.x", b"\x80"))
    repeated.append(("", "ledger.order.x", b"\x80"))
    assert digest(repeated) == digest(found)


def test_order_and_every_part_count() -> None:
    base = [("t:risk:5:0", "risk.a", b"\x81\xa1q\x01"), ("t:risk:9:0", "risk.b", b"\x81\xa1q\x02")]
    swapped = [("t:risk:5:0", "risk.b", b"\x81\xa1q\x02"), ("t:risk:9:0", "risk.a", b"\x81\xa1q\x01")]
    machine = [("t:exit:5:0", "risk.a", b"\x81\xa1q\x01"), base[1]]
    subject = [("t:risk:5:0", "risk.c", b"\x81\xa1q\x01"), base[1]]
    payload = [("t:risk:5:0", "risk.a", b"\x81\xa1q\x03"), base[1]]
    runs = [base, swapped, machine, subject, payload, base[:1]]
    assert len({digest(run) for run in runs}) == len(runs)
