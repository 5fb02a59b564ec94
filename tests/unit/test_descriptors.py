import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ASK = (
    "import resource\n"
    "from coordinator.descriptors import limit, raise_limit\n"
    "resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
    "print(limit(), raise_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[1])"
)


@pytest.mark.parametrize(("soft", "hard", "raised"), [(256, 512, 512), (512, 512, 512), (600, 800, 800)])
def test_the_soft_limit_is_raised_as_far_as_it_may(soft: int, hard: int, raised: int) -> None:
    """To the hard limit, which stays."""
    program = ASK.format(soft=soft, hard=hard)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(soft), str(raised), str(hard)]
