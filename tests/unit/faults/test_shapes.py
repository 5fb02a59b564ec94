"""Shapes of a partition: what each promises, for any number of nodes and any seed."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.faults.shapes import LEAST, SHAPES, Shape, draw

SEEDS = st.integers(min_value=0, max_value=2**32)


def heard(shape: Shape, count: int, seed: int) -> dict[str, set[str]]:
    """Whom each node hears, itself included."""
    nodes = [f"n{number:02}" for number in range(count)]
    unheard = draw(shape, nodes, Random(seed)).unheard()
    return {node: set(nodes) - unheard.get(node, frozenset()) for node in nodes}


def majority(count: int) -> int:
    """More than half."""
    return count // 2 + 1


@given(st.sampled_from(SHAPES), st.integers(0, 20), SEEDS)
def test_nobody_hears_who_does_not_hear_it(shape: Shape, more: int, seed: int) -> None:
    """The cut is the same from both sides, everybody hears itself, somebody is cut off, and a seed is a cut."""
    hears = heard(shape, LEAST[shape] + more, seed)
    assert all(node in others for node, others in hears.items())
    assert all(node in hears[other] for node, others in hears.items() for other in others)
    assert any(len(others) < len(hears) for others in hears.values())
    assert hears == heard(shape, LEAST[shape] + more, seed)


@given(st.integers(2, 20), SEEDS)
def test_one_is_alone(count: int, seed: int) -> None:
    """And all others are together."""
    sizes = sorted(len(others) for others in heard("one", count, seed).values())
    assert sizes == sorted([1, *[count - 1] * (count - 1)])


@given(st.sampled_from(["halves", "random-halves"]), st.integers(2, 20), SEEDS)
def test_halves_are_halves(shape: Shape, count: int, seed: int) -> None:
    """The first the smaller one; `halves` as the nodes come, whatever the seed."""
    hears = heard(shape, count, seed)
    assert sorted(map(len, hears.values())) == sorted(
        [count // 2] * (count // 2) + [count - count // 2] * (count - count // 2)
    )
    if shape == "halves":
        assert hears["n00"] == {f"n{number:02}" for number in range(count // 2)}


@given(st.integers(3, 20), SEEDS)
def test_a_majority_is_together(count: int, seed: int) -> None:
    """The smallest that is one, also of an even number; all others are together as well."""
    sizes = sorted(len(others) for others in heard("majority", count, seed).values())
    most = majority(count)
    assert sizes == sorted([most] * most + [count - most] * (count - most))


@given(st.integers(3, 20), SEEDS)
def test_one_node_is_the_bridge(count: int, seed: int) -> None:
    """It hears both sides, which are cut off from each other."""
    hears = heard("bridge", count, seed)
    (bridge,) = [node for node, others in hears.items() if len(others) == count]
    sides = {frozenset(others - {bridge}) for node, others in hears.items() if node != bridge}
    assert sorted(map(len, sides)) == sorted([count // 2, count - count // 2 - 1])
    assert not frozenset.intersection(*sides)


@given(st.integers(3, 20), SEEDS)
def test_on_a_ring_each_hears_a_majority_of_its_own(count: int, seed: int) -> None:
    """No two the same one."""
    hears = heard("majorities-ring", count, seed)
    assert all(len(others) >= majority(count) for others in hears.values())
    assert len({frozenset(others) for others in hears.values()}) == count


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "halves"])
def test_another_seed_is_another_cut(shape: Shape) -> None:
    """Sooner or later."""
    assert len({str(heard(shape, 5, seed)) for seed in range(20)}) > 1


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ("halves", "a, b | c, d, e"),
        ("one", "a | b, c, d, e"),
        ("bridge", "a, e | b, c, both hear d"),
        ("majorities-ring", "a - e - d - b - c - a, each hears 1 on either side"),
    ],
)
def test_a_person_is_told(shape: Shape, told: str) -> None:
    """Who is where, by name."""
    names = {f"id-{name}": name for name in "abcde"}
    assert draw(shape, list(names), Random(2)).told(names) == told
