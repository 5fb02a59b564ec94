"""Containers cut off from each other on the real engine: measured from inside, ended by everything that may end it."""

import json
import signal
import subprocess

import anyio
import pytest

from actors.docker.command_runner import DockerCommandRunner
from actors.docker.engine_facts import DockerFacts
from actors.docker.hands import namespace_hands
from actors.docker.helper_image import HelperImage
from coordinator import __version__
from coordinator.faults.commands import FAULT, MARK, DockerCommand, in_namespace
from tests.conftest import PATIENCE
from tests.integration.coordinator_process import Coordinator, eventually, scenario
from tests.integration.sandbox import Container, DockerFailed, Sandbox, docker

OWN = "partition-test"
FAULT_ID = "0f0e0d0c-0b0a-4908-8706-050403020100"
CUT: dict[str, object] = {"type": "network_partition", "between": ["a", "b"]}


def reaches(source: Container, target: Container) -> bool:
    """Whether an echo comes back within a second."""
    try:
        docker("exec", source.id, "ping", "-c", "1", "-W", "1", target.address)
    except DockerFailed:
        return False
    return True


def ruleset(container: Container) -> str:
    """Every rule in a container's network namespace, without counts."""
    pid = container.look("{{.State.Pid}}")
    argv = ["nsenter", "-t", pid, "-n", "nft", "--stateless", "list", "ruleset"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def cut(served: Coordinator, pair: tuple[Container, Container], **fields: object) -> str:
    """An execution that keeps them apart; its id once the effect is recorded."""
    targets = {name: {"names": [one.name]} for name, one in zip("ab", pair, strict=True)}
    execution_id = served.submit(scenario([CUT | fields], names=[], targets=targets))
    eventually(lambda: states(served, execution_id) == ["active"], "the effect")
    return execution_id


def states(served: Coordinator, execution_id: str) -> list[str]:
    """Of its faults."""
    return [fault["state"] for fault in served.execution(execution_id)["faults"]]


def helpers() -> list[str]:
    """Helper containers of these tests, running or not."""
    return docker("ps", "--all", "--quiet", "--filter", f"label=test-coordinator.instance={OWN}").split()


def test_apart_and_together_again(served: Coordinator, pair: tuple[Container, Container]) -> None:
    """No echo passes either way while it is on; when it is stopped, every rule is as it was before, byte for byte."""
    first, second = pair
    before = ruleset(first), ruleset(second)
    assert reaches(first, second)
    execution_id = cut(served, pair)
    assert not reaches(first, second)
    assert not reaches(second, first)
    served.call("DELETE", f"/api/v1/executions/{execution_id}")
    eventually(lambda: served.execution(execution_id)["state"] == "finished", "the end")
    assert (ruleset(first), ruleset(second)) == before
    assert reaches(first, second)
    assert served.execution(execution_id)["undo"] == "complete"


def test_it_ends_with_the_coordinator(served: Coordinator, pair: tuple[Container, Container]) -> None:
    """SIGKILL of the coordinator and its warden: the rules are gone though nothing of ours was started again, and the
    next start closes the row.
    """
    before = ruleset(pair[0])
    execution_id = cut(served, pair)
    assert ruleset(pair[0]) != before
    served.kill()
    eventually(lambda: ruleset(pair[0]) == before, "the end of the rules")
    assert reaches(*pair)
    served.start()
    eventually(lambda: served.execution(execution_id)["undo"] == "complete", "the record")
    assert served.execution(execution_id)["verdict"] == "aborted"


def test_a_stopped_coordinator_loses_its_hold(served: Coordinator, pair: tuple[Container, Container]) -> None:
    """One that gives no sign of life any more keeps nobody apart for longer than the lease."""
    cut(served, pair)
    served.signal(signal.SIGSTOP)
    try:
        eventually(lambda: reaches(*pair), "the end of the lease")
    finally:
        served.signal(signal.SIGCONT)


def test_a_restarted_target_is_cut_off_again(served: Coordinator, pair: tuple[Container, Container]) -> None:
    """With reapply the new run is cut off as well, and the timeline tells the gap."""
    before = ruleset(pair[1])
    execution_id = cut(served, pair, on_target_restart="reapply")
    docker("restart", "-t", "0", pair[1].id)

    def told() -> list[str]:
        return [entry["event"] for entry in served.execution(execution_id)["timeline"]]

    eventually(lambda: "fault_reapplied" in told(), "the second effect")
    assert "fault_interrupted" in told()
    assert ruleset(pair[1]) != before
    assert not reaches(*pair)


def hearing(cluster: list[Container]) -> dict[str, set[str]]:
    """Whose echoes reach whom, by name; asked all at once."""
    asked = {}
    for source in cluster:
        for target in cluster:
            if source is not target:
                argv = ["docker", "exec", source.id, "ping", "-c", "1", "-W", "1", target.address]
                asked[source.name, target.name] = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    answered = {pair for pair, ping in asked.items() if ping.wait() == 0}
    return {each.name: {target for source, target in answered if source == each.name} for each in cluster}


def test_a_ring_of_majorities(served: Coordinator, pair: tuple[Container, Container], containers: Sandbox) -> None:
    """Four containers: each hears its two neighbours on the ring that the timeline tells, and all hear all again."""
    network = pair[0].look("{{.HostConfig.NetworkMode}}")
    cluster = [*pair, *(containers.run(name, options=["--network", network]) for name in "cd")]
    names = {each.name for each in cluster}
    targets = {"cluster": {"names": sorted(names)}}
    fault: dict[str, object] = {"type": "network_partition", "target": "cluster", "shape": "majorities-ring"}
    execution_id = served.submit(scenario([fault], names=[], targets=targets))
    eventually(lambda: states(served, execution_id) == ["active"], "the effect")
    (armed,) = [each for each in served.execution(execution_id)["timeline"] if each["event"] == "fault_armed"]
    ring = armed["text"].partition(": ")[2].partition(",")[0].split(" - ")
    assert (ring[0], set(ring)) == (ring[-1], names)
    assert hearing(cluster) == {
        name: {ring[place - 1 if place else -2], ring[place + 1]} for place, name in enumerate(ring[:-1])
    }
    served.call("DELETE", f"/api/v1/executions/{execution_id}")
    eventually(lambda: served.execution(execution_id)["state"] == "finished", "the end")
    assert hearing(cluster) == {name: names - {name} for name in names}


# ---------------------------------------------------------------- by helper containers


def put(container: Container, *sources: str) -> DockerCommand:
    """What drops packets from these addresses."""
    mark = f"fault={FAULT_ID} execution={FAULT_ID} instance={OWN} expires=4000000000"
    rules = json.dumps({"kind": "drop", "match": {"peers": sources}})
    return in_namespace(container.id, "put", MARK, rules).filled({MARK: mark})


def remove(container: Container) -> DockerCommand:
    """What takes it out."""
    return in_namespace(container.id, "remove", FAULT).filled({FAULT: FAULT_ID})


def runner(engine: str) -> DockerCommandRunner:
    """A runner that has no way in from the host."""
    image = HelperImage("", __version__)
    return DockerCommandRunner(engine, lambda name: name, helper_image=image, instance=OWN, slowness=PATIENCE)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_one_helper_per_namespace(engine: str, pair: tuple[Container, Container]) -> None:
    """It is opened once, asked many times, replaced when it is killed, and gone with the execution, with its rules."""
    first, second = pair
    before = ruleset(first)
    async with namespace_hands(runner(engine), FAULT_ID) as hands:
        await hands.ready([put(first, second.address)])
        await hands.ready([put(first, second.address)])
        opened = helpers()
        assert len(opened) == 1
        outcome = await hands.run(put(first, second.address))
        assert outcome.ok, outcome.stderr
        # Not in the event loop's way: a helper that hears nothing of it for 8 s ends.
        assert not await anyio.to_thread.run_sync(reaches, second, first)

        again = anyio.Event()
        hands.listen(lambda event, *_: again.set() if event == "fault_reapplied" else None)
        docker("kill", opened[0])
        with anyio.fail_after(30):
            await again.wait()
        assert len(set(helpers()) - set(opened)) == 1
        assert not await anyio.to_thread.run_sync(reaches, second, first)
        outcome = await hands.run(remove(first))
        # What it met before went with the helper that was lost.
        assert (outcome.ok, outcome.stdout) == (True, ""), outcome
        assert await anyio.to_thread.run_sync(reaches, second, first)
        assert (await hands.run(put(first, second.address))).ok
    assert ruleset(first) == before
    assert helpers() == []


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_one_command_alone_undoes(engine: str, pair: tuple[Container, Container]) -> None:
    """What recovery runs, with no helper open: gone the first time and the second, and refused for a stopped target."""
    alone = runner(engine)
    await alone.prepare_helper()
    assert (await alone.run(put(pair[0], pair[1].address))).ok
    assert not reaches(*pair)
    first, second = [await alone.run(remove(pair[0])) for _ in range(2)]
    assert (json.loads(first.stdout)["packets"] > 0, json.loads(second.stdout)["was_there"]) == (True, False)
    assert reaches(*pair)
    docker("stop", "-t", "0", pair[0].id)
    assert not (await alone.run(remove(pair[0]))).ok
    assert await DockerFacts(engine).containers([pair[0].id])
