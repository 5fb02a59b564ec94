import json

from coordinator.faults.catalogue import describe_all
from coordinator.scenarios.parse import parse
from tests.torture.by_hand import BACK
from tests.torture.chosen import chosen, shows
from tests.torture.draw import DRAWN, NOT_DRAWN, definition, draw
from tests.torture.model import (
    BY_PLACE,
    ENDS_BY_HAND,
    IN_ORDER,
    LABELS_ALONE,
    LETTERS,
    NETWORKS,
    NEVER_ENDED,
    RENEWS,
    Act,
    Death,
    FaultLine,
    Kind,
    Place,
    Round,
    aims,
)

SEEDS = range(400)
NAMES = {letter: letter for letter in LETTERS + NETWORKS}


def test_every_fault_there_is_is_drawn() -> None:
    """A fault that is added to the catalogue is added to `DRAWN` too, or named among those that are not."""
    assert {each.name for each in describe_all()} == set(DRAWN) | NOT_DRAWN
    assert not set(DRAWN) & NOT_DRAWN


def test_a_seed_is_a_round() -> None:
    """The same seed gives the same round, another seed another one."""
    assert [draw(seed) for seed in SEEDS] == [draw(seed) for seed in SEEDS]
    assert draw(1) != draw(2)


def test_every_round_is_a_valid_scenario() -> None:
    """Whatever is drawn is taken by the parser, and nothing that ends a run hits the container that must not end."""
    for seed in SEEDS:
        drawn = draw(seed)
        for number, faults in enumerate(drawn.executions):
            parse(json.dumps(definition(drawn, number, NAMES)), file=str(seed))
            assert not [each for each in faults if each["type"] in RENEWS and each.get("target") in NEVER_ENDED]


def test_every_death_is_drawn() -> None:
    """At each place each of its deaths comes up, and nearly every seed is a round of its own."""
    for place in Place:
        assert {draw(seed, place).death for seed in SEEDS} == set(BY_PLACE[place])
    assert {draw(seed).place for seed in SEEDS} == set(Place)


def test_the_rounds_of_the_tests_show_all_there_is() -> None:
    """Each death once, and among these rounds each fault that is drawn and each kind of act of a person's."""
    rounds = [draw(seed) for seed in chosen()]
    assert sorted(drawn.death for drawn in rounds) == sorted(Death)
    shown = {name for drawn in rounds for name in shows(drawn)}
    assert {*DRAWN, *Kind, "pause before", "stop before", "again", "beside"} <= shown


def acts(kind: Kind) -> list[tuple[Round, Act]]:
    """The rounds of many seeds in which a person acts like this."""
    drawn = [draw(seed, Place.HOST) for seed in SEEDS]
    found = [(each, each.act) for each in drawn if each.act is not None and each.act.kind is kind]
    assert found
    return found


def begins(fault: FaultLine) -> float:
    """Seconds after its phase has."""
    return float(str(fault["at"]).removesuffix("ms")) / 1000


def test_a_person_spares_whom_nothing_may_end() -> None:
    """As the faults do; and nobody acts twice, before the round and in it, but to take back what was done."""
    for kind in Kind:
        for drawn, act in acts(kind):
            assert act.letter not in NEVER_ENDED or not ENDS_BY_HAND & {*act.verbs}
            assert (act.letter in drawn.person) is (kind is Kind.BACK)
            if ENDS_BY_HAND & {*act.verbs}:
                assert act.letter in drawn.renewed()


def test_what_a_person_leaves_is_certain() -> None:
    """No fault hits the container; or it comes well after the person, who is void if late; or the engine itself says
    whose the pause is, to a coordinator that hears it.
    """
    for drawn, act in acts(Kind.APART):
        assert not [each for faults in drawn.executions for each in faults if act.letter in aims(each)]
    for drawn, act in acts(Kind.BEFORE):
        due = [begins(each) for faults in drawn.executions for each in faults if act.letter in aims(each)]
        assert act.by_s is not None
        assert act.at_s < act.by_s < min(due) < drawn.duration_s
    for kind in (Kind.AGAIN, Kind.MEANWHILE):
        for drawn, act in acts(kind):
            hit = [each["type"] for faults in drawn.executions for each in faults if act.letter in aims(each)]
            assert hit == ["container_pause"]
            assert act.first or drawn.death in IN_ORDER
    for drawn, act in acts(Kind.BACK):
        assert act.verbs == (BACK[drawn.person[act.letter]],)
    from_labels = {kind for kind in Kind for drawn, _ in acts(kind) if drawn.death in LABELS_ALONE}
    assert from_labels == {Kind.APART, Kind.RENAMED}
