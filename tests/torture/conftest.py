"""The stage of these tests. What is missing fails the test: a skipped torture proves nothing."""

from collections.abc import Iterator

import pytest

from tests.torture.__main__ import sandbox_image
from tests.torture.stage import Stage


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Six containers on networks of their own."""
    made = Stage(sandbox_image())
    try:
        made.build()
        yield made
    finally:
        made.close()
