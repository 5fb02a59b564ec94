"""The chains that feed the emulator. What the kernel makes of them is in the integration tests."""

from actors.docker.programs import queue_rules
from actors.docker.programs.traffic import SLOTS, traffic

PASSES = 'iifname "lo" accept'


def test_every_slot_has_a_bit_of_its_own() -> None:
    """All of them together are the mask."""
    bits = [queue_rules.bit(slot) for slot in range(SLOTS)]
    assert len(set(bits)) == SLOTS
    assert sum(bits) == queue_rules.MASK


def test_packets_are_marked_then_queued_then_unmarked() -> None:
    """In this order on the way in, and only marked ones are queued, with a way past where nobody listens."""
    chains = queue_rules.chains(traffic(None, "m"), 3, native=True)
    assert [chain.name for chain in chains] == ["marking", "queueing", "cleaning"]
    assert sorted(chains, key=lambda chain: chain.priority) == list(chains)
    assert {chain.hook for chain in chains} == {"prerouting"}
    marking, queueing, cleaning = chains
    assert all(rule.endswith("meta mark set meta mark or 0x00080000 accept") for rule in marking.rules)
    # By lo nobody is marked here, and a mark there is somebody else's.
    assert queueing.rules == (PASSES, "meta mark & 0xffff0000 == 0 accept", "queue num 31744 bypass")
    assert cleaning.rules == (PASSES, "meta mark set meta mark & 0x0000ffff")


def test_answers_are_queued_where_they_have_their_real_sender() -> None:
    """On any interface, from port 53, to a queue of their own."""
    marking, queueing, _ = queue_rules.dns_chains(0, native=True)
    assert marking.rules[0].startswith("ip saddr @from4 meta l4proto { tcp, udp } th sport 53 counter name hits")
    assert queueing.rules[-1] == "queue num 31745 bypass"
    assert {chain.hook for chain in queue_rules.dns_chains(0, native=False)} == {"input"}


def test_without_a_word_for_it_the_rest_is_the_same() -> None:
    """Only the rule that queues is left for `add_target`, which names table and chain."""
    native, other = (queue_rules.chains(traffic(None, "m"), 0, native=native) for native in (True, False))
    assert other[1].rules == native[1].rules[:-1]
    assert (other[0], other[2]) == (native[0], native[2])
    message = queue_rules.target_message("tc_x", 7)
    assert all(part in message for part in (b"tc_x\0", b"queueing\0", b"target\0", b"NFQUEUE\0"))
