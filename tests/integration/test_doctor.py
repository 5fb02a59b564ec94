"""`doctor` on the real engine: what it says is here, is here, and nothing of what it tried is left."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import anyio
import pytest

from actors.docker.command_runner import DockerCommandRunner
from actors.docker.helper_image import HelperImage
from tests.integration.coordinator_process import coordinator
from tests.integration.sandbox import docker

OWN = "doctor-test"


@pytest.mark.timeout(120)  # an image is built, on a machine that may be busy
def test_abilities_are_tried_and_nothing_stays(tmp_path: Path, engine: str) -> None:
    """Without an image it is untested and none is built; with one each ability is known and every fault judged."""
    name = f"test-coordinator-helper-test:{uuid4().hex[:12]}"
    with coordinator(tmp_path, SERVICE_INSTANCE_NAME=OWN, HELPER_IMAGE=name) as made:
        before = json.loads(made.command("doctor", "--json").stdout)
        assert docker("image", "ls", "--quiet", name) == ""
        try:
            anyio.run(HelperImage(name, "0").ready, DockerCommandRunner(engine, lambda _: ""))
            after = json.loads(made.command("doctor", "--json").stdout)
            table = made.command("doctor").stdout
        finally:
            docker("image", "rm", "--force", name)
    crash = {found["type"]: found["state"] for found in before["faults"]}["container_crash"]
    assert (before["abilities"]["helper"]["state"], crash) == ("untested", "untested")

    helper, host = after["abilities"]["helper"], after["abilities"]["host"]
    assert (helper["state"], host["state"]) == ("tried", "tried")
    assert after["abilities"]["processes"]["abilities"] == {"processes": "", "kill": "", "clock": ""}
    beside = ("cgroup_write", "cgroup_record", "cgroup_join", "processes")
    assert after["abilities"]["cgroups"]["abilities"] == dict.fromkeys(beside, "")
    assert after["abilities"]["mounts"]["abilities"] == dict.fromkeys((*beside, "mount_namespace"), "")
    works = ("nft_leases", "raw_packets", "tc_htb")
    assert [helper["abilities"][ability] for ability in works] == [""] * len(works)
    assert host["abilities"]["nft_leases"] == ""
    assert {found["state"] for found in after["faults"]} <= {"ready", "fallback"}
    assert "nft_leases" in table.partition("\nabilities\n")[2]
    assert docker("ps", "--all", "--quiet", "--filter", f"label=test-coordinator.instance={OWN}") == ""
