"""The shapes in which a cluster falls apart, as Jepsen names them: who does not hear whom, drawn from a seed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final, Literal, NamedTuple, get_args

Shape = Literal["one", "halves", "random-halves", "majority", "bridge", "majorities-ring"]
SHAPES: Final[tuple[Shape, ...]] = get_args(Shape)
LEAST: Final[Mapping[Shape, int]] = {
    "one": 2, "halves": 2, "random-halves": 2, "majority": 3, "bridge": 3, "majorities-ring": 3,
}  # fmt: skip
"""Nodes that a shape needs: with fewer nobody would be cut off, or everybody."""


class Drawn(NamedTuple):
    """Who is where. `groups` do not hear each other, but all hear `bridge`; on a `ring`, each hears `reach` neighbours
    on either side.
    """

    groups: tuple[tuple[str, ...], ...] = ()
    bridge: str = ""
    ring: tuple[str, ...] = ()
    reach: int = 0

    def unheard(self) -> dict[str, frozenset[str]]:
        """By node, those it does not hear; they do not hear it either. Whoever hears all is not in it."""
        everybody = {node for group in self.groups for node in group}
        apart = {node: frozenset(everybody.difference(group)) for group in self.groups for node in group}
        for place, node in enumerate(self.ring):
            near = {self.ring[(place + step) % len(self.ring)] for step in range(-self.reach, self.reach + 1)}
            apart[node] = frozenset(self.ring) - near
        return apart

    def told(self, names: Mapping[str, str]) -> str:
        """For a person, by the names of the nodes."""
        if self.ring:
            around = " - ".join(names[node] for node in (*self.ring, self.ring[0]))
            return f"{around}, each hears {self.reach} on either side"
        apart = " | ".join(", ".join(sorted(names[node] for node in group)) for group in self.groups)
        return f"{apart}, both hear {names[self.bridge]}" if self.bridge else apart


def draw(shape: Shape, nodes: Sequence[str], chance: Random) -> Drawn:
    """Who is where among these nodes, of which there are enough. Only `halves` takes them as they come."""
    shuffled = list(nodes) if shape == "halves" else chance.sample(nodes, len(nodes))
    half = len(nodes) // 2
    if shape == "one":
        return _split(shuffled, 1)
    if shape == "majority":
        return _split(shuffled, half + 1)
    if shape == "majorities-ring" and len(nodes) > LEAST[shape]:
        # A majority is heard with oneself in the middle; no two hear the same.
        return Drawn(ring=tuple(shuffled), reach=(half + 1) // 2)
    if shape in {"bridge", "majorities-ring"}:
        # Of three, each hears a majority of its own only where one pair is cut.
        return Drawn(groups=(tuple(shuffled[:half]), tuple(shuffled[half + 1 :])), bridge=shuffled[half])
    return _split(shuffled, half)


def _split(nodes: Sequence[str], first: int) -> Drawn:
    return Drawn(groups=(tuple(nodes[:first]), tuple(nodes[first:])))
