import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_generated_code_is_fresh() -> None:
    """What is checked in is what the protos generate; otherwise run `python tools/protos.py`."""
    done = subprocess.run(
        [sys.executable, "tools/protos.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
