"""What a cluster needs besides: addresses, streams, and the question whether most of its nodes went down."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.tape.cluster import REPLICAS, cluster_block, clustered, went_down
from libs.tape.connection import SERVERS_MAX, servers_of
from libs.tape.errors import BrokerUnavailable
from proto.subjects import LEASE, LEDGER, TAPE

NODES = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("nats://a:4222", ["nats://a:4222"]),
        ("nats://a:4222, nats://b:4222,", ["nats://a:4222", "nats://b:4222"]),
    ],
)
def test_addresses_are_separated_by_commas(url: str, servers: list[str]) -> None:
    assert servers_of(url) == servers


@pytest.mark.parametrize("url", ["", " , ", ",".join(["nats://a:1"] * (SERVERS_MAX + 1))])
def test_no_address_and_too_many_are_refused(url: str) -> None:
    with pytest.raises(BrokerUnavailable, match="expected 1 to"):
        servers_of(url)


def test_streams_of_a_cluster_have_replicas_and_the_tape_sources_nothing() -> None:
    one = ({"name": LEDGER}, {"name": TAPE, "subjects": ["risk.>"], "sources": [{"name": LEDGER}]})
    found = {config["name"]: config for config in clustered(one, "claims.secret", ["lease.x.risk"])}
    assert [config["num_replicas"] for config in found.values()] == [REPLICAS] * 3
    assert found[TAPE]["subjects"] == ["risk.>", "copies.secret.>"]
    assert "sources" not in found[TAPE]
    assert "sources" in one[1], "the streams of one broker stay as they are"
    assert found[LEASE]["max_msgs_per_subject"] == 1


@given(gone=st.sets(st.sampled_from(NODES)), new=st.integers(0, 3))
def test_a_tape_may_have_lost_its_end_when_most_nodes_went_down(gone: set[str], new: int) -> None:
    now = [node for node in NODES if node not in gone] + [f"n{number}" for number in range(new)]
    assert went_down(NODES, now) == (len(gone) >= 2)
    assert not went_down([], now)


def test_a_node_tells_clients_nothing_of_the_others() -> None:
    text = "\n".join(cluster_block("presage", "0.0.0.0:6222", ["broker-2:6222"], "secret"))
    assert "no_advertise: true" in text
    assert "nats://route:secret@broker-2:6222" in text
