"""The clock inside a real container, told by `date` and by a Python there; and what the kernel gave its processes."""

import contextlib
import time
from pathlib import Path

from tests.conftest import PATIENCE
from tests.integration.coordinator_process import Coordinator, eventually
from tests.integration.sandbox import Container, Sandbox, docker
from tests.integration.test_limits import put
from tests.integration.test_processes import processes
from tests.integration.test_stress import finish

CLOCKS = """
import os, threading, time
def busy():
    while True:
        time.time()
for _ in range(2):
    threading.Thread(target=busy, daemon=True).start()
while True:
    told = time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC), int(time.time())
    with open("/dev/shm/new", "w") as file:
        print(*told, file=file)
    os.rename("/dev/shm/new", "/dev/shm/python")
    time.sleep(0.02)
"""
DATES = "while :; do date +%s > /dev/shm/new-date; mv /dev/shm/new-date /dev/shm/date; sleep 0.05; done"
MAIN = ["sh", "-c", f'python3 -c "$CLOCKS" & {DATES}']
NS = 1_000_000_000
CLOSE_NS = 10_000_000


def images(container: Container) -> list[bytes]:
    """The code for telling the time in each of its processes, and here."""
    found = []
    for name in ("self", *map(str, processes(container).values())):
        with contextlib.suppress(OSError):  # it has just ended, or become another program
            rows = Path(f"/proc/{name}/maps").read_text().splitlines()
            for row in (each for each in rows if each.endswith("[vdso]")):
                start, end = (int(part, 16) for part in row.split()[0].split("-"))
                with Path(f"/proc/{name}/mem").open("rb", 0) as memory:
                    memory.seek(start)
                    found.append(memory.read(end - start))
    assert len(found) > 1
    return [each for each in found if each]


def told(container: Container) -> tuple[int, int, int]:
    """How far its Python's clock is from this one, in ns, and its seconds and those of `date`, in s."""
    docker("exec", container.id, "rm", "-f", "/dev/shm/python", "/dev/shm/date")
    words: list[str] = []

    def both() -> bool:
        words[:] = docker("exec", container.id, "sh", "-c", "cat /dev/shm/python /dev/shm/date || :").split()
        return len(words) == 3

    eventually(both, "what the clocks tell")
    off = int(words[0]) - (time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC))
    return off, round(int(words[1]) - time.time()), round(int(words[2]) - time.time())


def close(container: Container, offset_s: float) -> bool:
    """Whether both clocks are as far off as this: one to 10 ms, the others to what it takes to read them."""
    off, *seconds = told(container)
    return abs(off - offset_s * NS) < CLOSE_NS and all(abs(each - offset_s) < 10 * PATIENCE for each in seconds)


def test_the_clock_is_off_and_right_again(served: Coordinator, containers: Sandbox) -> None:
    """Forward and back, while threads ask for the time without end; a new program tells the true time; a pause does
    not keep it from being undone. Afterwards every byte is as the kernel made it.
    """
    target = containers.run("clocks", command=MAIN, options=["--cpus", "0.3", "--env", f"CLOCKS={CLOCKS}"])
    eventually(lambda: close(target, 0.0), "the clocks")
    assert len(set(images(target))) == 1
    for offset, seconds in (("1h", 3600.0), ("-62.5s", -62.5)):
        execution_id = put(served, target, [{"type": "clock_skew", "offset": offset}])
        assert close(target, seconds)
        assert abs(int(docker("exec", target.id, "date", "+%s")) - time.time()) < 10 * PATIENCE
        finish(served, execution_id)
        assert close(target, 0.0)
        assert len(set(images(target))) == 1

    execution_id = put(served, target, [{"type": "clock_skew", "offset": "1h"}])
    docker("pause", target.id)
    finish(served, execution_id)
    docker("unpause", target.id)
    # What a thread was paused in the middle of stays, and nothing leads to it.
    assert close(target, 0.0)
