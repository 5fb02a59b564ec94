import json
import shlex

import pytest

from coordinator.faults.leftovers import (
    Claim,
    Leftover,
    LeftoverState,
    Mark,
    Placed,
    ScanReport,
    Trace,
    by_hand,
    claim,
    claim_text,
    look_command,
    mark_of_comment,
    mark_of_labels,
    parse_placed,
    remove_command,
)

NOW = 1767225600.0
OURS = Mark(instance="blue", execution="e1")


@pytest.mark.parametrize(
    ("mark", "busy", "expected"),
    [
        (OURS, False, Claim.OURS),
        (OURS.model_copy(update={"expires": NOW + 1}), False, Claim.OURS),
        (OURS.model_copy(update={"expires": NOW - 1}), False, Claim.EXPIRED),
        (OURS.model_copy(update={"expires": NOW - 1}), True, Claim.BUSY),
        (Mark(instance="green"), False, Claim.OTHERS),
        (Mark(instance="green", expires=NOW + 1), False, Claim.OTHERS),
        (Mark(instance="green", expires=NOW - 1), False, Claim.EXPIRED),
        (Mark(execution="e1", expires=NOW - 1), False, Claim.NAMELESS),
    ],
)
def test_whose_it_is(mark: Mark, busy: bool, expected: Claim) -> None:
    """Ours by the instance's name; another's until its deadline is past; never what is at work, or bears no name."""
    assert claim(mark, {"blue"}, NOW, busy=busy) is expected


def test_every_claim_is_told_in_words() -> None:
    """A person reads whose it is, until when, and how to take over what belongs to one that is gone."""
    mark = Mark(instance="green", execution="e1", expires=NOW)
    texts = {how: claim_text(how, mark) for how in Claim}
    assert texts[Claim.EXPIRED] == "of green, deadline past since 2026-01-01T00:00:00Z"
    assert texts[Claim.OTHERS] == "of green until 2026-01-01T00:00:00Z; --instance green if it is gone"
    assert texts[Claim.BUSY] == "execution e1 is running"
    assert len(set(texts.values())) == len(Claim)


def test_marks_are_read_from_comments_and_labels() -> None:
    """The same four facts from a table's comment and from a container's labels; what does not read is nothing."""
    mark = Mark(instance="blue", execution="e1", fault="f1", expires=12.0)
    assert mark_of_comment("exec=e1 of=blue until=12", "tc_f1") == mark
    labels = {"instance": "blue", "execution": "e1", "fault": "f1", "expires": "12.000"}
    assert mark_of_labels({f"test-coordinator.{name}": value for name, value in labels.items()}) == mark
    assert mark_of_comment("instance=blue") == mark_of_labels({}) == Mark()
    assert mark_of_comment(f"exec=e of=i until={'9' * 400}").expires == 0.0
    assert mark_of_labels({"test-coordinator.expires": "soon"}).expires == 0.0


def test_the_helper_that_looks_is_not_privileged_and_is_no_helper_to_be_found() -> None:
    """It has the three capabilities it needs, no network, and not the label by which it would remove itself."""
    argv = look_command().argv
    assert "--privileged" not in argv
    capabilities = [argv[index + 1] for index, part in enumerate(argv) if part == "--cap-add"]
    assert capabilities == ["SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN"]
    assert "test-coordinator.role=helper" not in argv
    assert argv[argv.index("--network") + 1] == "none"


def test_what_is_to_go_is_told_exactly() -> None:
    """The argument of a removal reads back as what it was made from."""
    placed = Placed(inode=7, trace=Trace(kind="table", name="tc_1", family="inet", comment='a "quoted" comment'))
    assert parse_placed(remove_command([placed]).argv[-1]) == (placed,)
    assert json.loads(remove_command([]).argv[-1]) == []


@pytest.mark.parametrize(
    ("trace", "command"),
    [
        (Trace(kind="table", name="tc_1", family="inet"), "nft delete table inet tc_1"),
        (Trace(kind="qdisc", name="7c01:", device="eth0"), "tc qdisc del dev eth0 root"),
        (Trace(kind="device", name="tcifb0"), "ip link delete tcifb0"),
        (
            Trace(
                kind="rule", name='-A OUTPUT -m comment --comment "tc:1" -j DROP', family="iptables", device="filter"
            ),
            "iptables -t filter -D OUTPUT -m comment --comment tc:1 -j DROP",
        ),
    ],
)
def test_a_person_can_take_it_out(trace: Trace, command: str) -> None:
    """Everything has a command that root on the engine's machine may paste."""
    assert shlex.split(by_hand(trace, 42)) == ["nsenter", "-t", "42", "-n", *shlex.split(command)]


def test_what_is_left_is_what_a_person_must_act_on() -> None:
    """Neither what was undone nor what is somebody else's counts as left."""
    found = tuple(
        Leftover(kind="lock", name=state, where="web", why="", state=state) for state in LeftoverState
    )  # fmt: skip
    assert [each.name for each in ScanReport(found=found).left] == ["left"]
