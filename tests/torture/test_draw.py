import json

from coordinator.faults.catalogue import describe_all
from coordinator.scenarios.parse import parse
from tests.torture.draw import DRAWN, NOT_DRAWN, definition, draw
from tests.torture.model import BY_PLACE, LETTERS, NETWORKS, NEVER_ENDED, RENEWS, Place

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
