"""What a shell may offer for an argument: names that are known here, and files. Nothing is asked of an engine or of a
coordinator: a key is no reason to start one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem

from coordinator.cli.tools import Tools
from coordinator.errors import CoordinatorError

SCENARIO_FILES: Final = frozenset({".yaml", ".yml", ".json"})


def scenario_names(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Scenarios of the library; nothing where the settings are wrong or the folder cannot be read."""
    tools = ctx.find_object(Tools) or Tools()
    with contextlib.suppress(CoordinatorError):
        return _beginning(incomplete, tools.library().names())
    return []


def scenarios(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Scenarios of the library and scenario files of this folder; any path once neither begins so."""
    files = sorted(path.name for path in Path().iterdir() if path.suffix in SCENARIO_FILES and path.is_file())
    known = scenario_names(ctx, parameter, incomplete) + _beginning(incomplete, files)
    return known or [CompletionItem(incomplete, type="file")]


def fault_types(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Fault types, aliases included."""
    from coordinator.cli.catalogue import fault_kinds

    return _beginning(incomplete, (kind.type for kind in fault_kinds()))


def probe_types(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Probe types."""
    from coordinator.cli.catalogue import probe_kinds

    return _beginning(incomplete, (kind.type for kind in probe_kinds()))


def _beginning(incomplete: str, names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
