"""Feeds parse with texts that grow by what they reach (atheris): each is a scenario, or an error with a place.

    pip install -e '.[fuzz]'
    python tools/fuzz.py [--seconds 60] [--corpus FOLDER]

Begins with the built-in scenarios and every name a scenario file knows. Stops at the first text on which parse raises
anything else, takes ten seconds or half a gigabyte; libFuzzer keeps that text as a file. Prints how many were tried.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import atheris
import yaml

with atheris.instrument_imports(include=["coordinator", "yaml"]):
    from coordinator.errors import InvalidScenario
    from coordinator.scenarios.parse import builtin_names, builtin_text, parse, schema, starter_text

TEXT_S = 10
MEMORY_MB = 2048
LONGEST = 8192


BEGINNINGS: Final = [yaml.safe_load(text) for text in (*map(builtin_text, builtin_names()), starter_text())]
VALUES: Final[list[Any]] = [
    None, True, 0, -1, 2.5, "", "x", "1s", "0s", "5%", "{{ a }}", "{{", "== 1", "169.254.0.1", [], {}, "1" * 400,
]  # fmt: skip
MOST_CHANGES: Final = 6


def tried(data: bytes) -> None:
    """One text: the bytes themselves, or a scenario in which they change something here and there."""
    text = json.dumps(changed(data[1:])) if data[:1] > b"\x7f" else data
    try:
        told = parse(text, file="f")
    except InvalidScenario as error:
        problems = error.problems
    else:
        assert told.scenario.phases
        return
    assert problems
    assert all(problem.file for problem in problems)


def changed(data: bytes) -> Any:
    """A scenario with other values, other names and missing parts, as the bytes choose."""
    choose = atheris.FuzzedDataProvider(data)
    document = copy.deepcopy(choose.PickValueInList(BEGINNINGS))
    for _ in range(choose.ConsumeIntInRange(1, MOST_CHANGES)):
        part: Any = document
        while isinstance(part, dict | list) and part:
            key = choose.PickValueInList(list(part) if isinstance(part, dict) else list(range(len(part))))
            if choose.ConsumeIntInRange(0, 2):
                part = part[key]
                continue
            change(part, key, choose)
            break
    return document


def change(part: Any, key: Any, choose: Any) -> None:
    """Take it out, put something else there, or put it under another name."""
    word = choose.PickValueInList(WORDS)
    if choose.ConsumeBool():
        part[key] = choose.PickValueInList([*VALUES, word, choose.ConsumeUnicodeNoSurrogates(20)])
    elif isinstance(part, dict) and choose.ConsumeBool():
        part[word] = part.pop(key)
    else:
        del part[key]


def words(part: Any) -> Iterator[str]:
    """The names and choices in a schema."""
    if isinstance(part, dict):
        yield from part.get("properties", {})
        yield from (each for each in part.get("enum", ()) if isinstance(each, str))
        for inner in part.values():
            yield from words(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from words(inner)


WORDS: Final = sorted({*words(schema()), "{{", "}}", "extends", "- ", ": "})


def main() -> None:
    """Run until the time is over; libFuzzer ends the process itself."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, help="a folder that keeps what was found, for the next time")
    options = parser.parse_args()
    corpus = options.corpus or Path(tempfile.mkdtemp(prefix="test-coordinator-fuzz-"))
    corpus.mkdir(parents=True, exist_ok=True)
    for name in builtin_names():
        (corpus / f"{name}.yaml").write_text(builtin_text(name))
    (corpus / "starter.yaml").write_text(starter_text())
    known = corpus.parent / f"{corpus.name}.dict"
    known.write_text("".join(f'"{word}"\n' for word in WORDS))
    limits = [f"-max_total_time={options.seconds}", f"-timeout={TEXT_S}", f"-rss_limit_mb={MEMORY_MB}"]
    atheris.Setup(
        [sys.argv[0], str(corpus), f"-dict={known}", f"-max_len={LONGEST}", "-print_final_stats=1", *limits], tried
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
