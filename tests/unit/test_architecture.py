"""The rules of the house that no linter knows: sizes, names, docstrings, and exceptions that must say why."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 50
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
# Where a child's end is classified (caught in runtime, its own message read in exits), and where a probe's error
# becomes a bad sample.
MAY_CATCH_EVERYTHING = {
    "coordinator/supervision/runtime.py",
    "coordinator/supervision/exits.py",
    "actors/prober/actor.py",
}
# Modules that decide. What they may import is in setup.cfg; here is what they may not ask for.
PURE = re.compile(r"coordinator/((supervision|scenarios|faults|reports)/.*|(errors|identity|record)\.py)")
SHELLS = re.compile(
    r"coordinator/(supervision/runtime|scenarios/"
    r"(run|inject|undo|sample|journal|parse|phases|judging|stage|effects|whose|target_locks))\.py"
)
WORLD = {"datetime", "date", "time", "uuid", "os", "secrets"}
ASKS = {
    "now",
    "utcnow",
    "today",
    "uuid1",
    "uuid4",
    "urandom",
    "token_hex",
    "token_urlsafe",
    "getenv",
    "open",
    "monotonic",
}
# An exception from a rule, and the same with its reason behind it on the line.
EXEMPTION = re.compile(r"# (noqa|type: ignore)\b")
EXPLAINED = re.compile(r"# (noqa: [A-Z]+\d+(, [A-Z]+\d+)*|type: ignore\[[a-z, -]+\])(  # | - )\w+")

SOURCES = sorted(
    path.relative_to(ROOT)
    for folder in ("coordinator", "actors", "tests", "tools", "demo", "bench")
    for path in (ROOT / folder).rglob("*.py")
    if not re.search(r"_pb2(_grpc)?\.py$", path.name)  # generated
)
SHIPPED = [path for path in SOURCES if path.parts[0] in {"coordinator", "actors"}]
TESTS = [path for path in SOURCES if path.name.startswith("test_")]


def breaches(paths: list[Path], find: Callable[[ast.Module], list[tuple[int, str]]]) -> list[str]:
    """`file:line: what` for everything that `find` sees in the files."""
    found = ((path, find(ast.parse((ROOT / path).read_text()))) for path in paths)
    return [f"{path}:{line}: {what}" for path, lines in found for line, what in lines]


def functions(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a module, methods and nested ones included."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def long_functions(tree: ast.Module) -> list[tuple[int, str]]:
    """Functions above the limit, their docstring not counted."""
    found = []
    for function in functions(tree):
        first = function.body[1] if ast.get_docstring(function) and len(function.body) > 1 else function.body[0]
        lines = (function.end_lineno or 0) - first.lineno + 1
        if lines > MAX_FUNCTION_LINES:
            found.append((function.lineno, f"{function.name} has {lines} lines"))
    return found


def untold_tests(tree: ast.Module) -> list[tuple[int, str]]:
    """Tests that do not say what they prove."""
    tests = (function for function in functions(tree) if function.name.startswith("test_"))
    return [(test.lineno, test.name) for test in tests if not ast.get_docstring(test)]


def catches_of_everything(tree: ast.Module) -> list[tuple[int, str]]:
    """Handlers of Exception or BaseException, or of no named class."""
    handlers = (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler))
    everything = {"Exception", "BaseException"}
    return [
        (handler.lineno, "catches everything")
        for handler in handlers
        if handler.type is None
        or any(isinstance(name, ast.Name) and name.id in everything for name in ast.walk(handler.type))
    ]


def questions_to_the_world(tree: ast.Module) -> list[tuple[int, str]]:
    """Calls that ask for the time, for randomness, for the environment or for a file."""
    found = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        match call.func:
            case ast.Attribute(value=ast.Name(id="random"), attr=name) if name != "Random":
                found.append((call.lineno, f"random.{name}"))
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in WORLD and name in ASKS:
                found.append((call.lineno, f"{owner}.{name}"))
            case ast.Name(id=name) if name in ASKS:
                found.append((call.lineno, name))
            case _:
                pass
    return found


def test_modules_are_small() -> None:
    """No module has more than 400 lines."""
    sizes = {path: len((ROOT / path).read_text().splitlines()) for path in SOURCES}
    assert {path: lines for path, lines in sizes.items() if lines > MAX_MODULE_LINES} == {}


def test_functions_are_small() -> None:
    """No function has more than 50 lines."""
    assert breaches(SOURCES, long_functions) == []


def test_names_say_what_is_inside() -> None:
    """No module or package has a name under which anything could be put."""
    assert [path for path in SOURCES if FORBIDDEN_NAMES & {part.removesuffix(".py") for part in path.parts}] == []


def test_every_shipped_module_says_what_it_does() -> None:
    """Every module of the product that holds anything has a docstring."""
    texts = ((path, (ROOT / path).read_text()) for path in SHIPPED)
    assert [path for path, text in texts if text.strip() and not ast.get_docstring(ast.parse(text))] == []


def test_every_test_says_what_it_proves() -> None:
    """Every test function has a docstring."""
    assert breaches(TESTS, untold_tests) == []


def test_only_two_places_catch_everything() -> None:
    """A broad handler stands where a child's end is classified and where a probe's error becomes a sample."""
    others = [path for path in SHIPPED if str(path) not in MAY_CATCH_EVERYTHING]
    assert breaches(others, catches_of_everything) == []


def test_what_decides_is_told_time_and_chance() -> None:
    """A pure module never reads a clock, draws a random number, or looks at the environment or a file."""
    pure = [path for path in SHIPPED if PURE.match(str(path)) and not SHELLS.match(str(path))]
    assert pure
    assert breaches(pure, questions_to_the_world) == []


def test_every_exemption_says_why() -> None:
    """A rule is switched off on a line only with its code and its reason on that line."""
    lines = ((path, n, line) for path in SOURCES for n, line in enumerate((ROOT / path).read_text().splitlines(), 1))
    assert [
        f"{path}:{number}" for path, number, line in lines if EXEMPTION.search(line) and not EXPLAINED.search(line)
    ] == []


@pytest.mark.parametrize(
    ("text", "find"),
    [
        ("def test_x():\n    assert True\n", untold_tests),
        ("def f():\n" + "    x = 1\n" * 51, long_functions),
        ("try:\n    pass\nexcept (OSError, Exception):\n    pass\n", catches_of_everything),
        ("import random\nrandom.choice([1])\n", questions_to_the_world),
        ("from datetime import datetime\ndatetime.now()\n", questions_to_the_world),
    ],
)
def test_the_rules_see_a_breach(text: str, find: Callable[[ast.Module], list[tuple[int, str]]]) -> None:
    """Each rule finds the breach it is there for."""
    assert len(find(ast.parse(text))) == 1
