"""The containers that are broken: six on networks of their own with fixed addresses, so that they can be compared."""

from __future__ import annotations

import contextlib
import random
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from uuid import uuid4

import docker as docker_sdk

from tests.integration.sandbox import LABEL, DockerFailed, docker
from tests.torture.model import LETTERS
from tests.torture.waiting import happens

OVERLAPS = "overlap"
TRIES = 20
PERSON_WITHIN_S = 20.0
NFT_OF_A_PERSON = (
    "add table inet mine",
    "add chain inet mine input { type filter hook input priority 0; }",
    "add rule inet mine input tcp dport 9 drop",
)
TC_OF_A_PERSON = "qdisc add dev eth0 root handle 42: tbf rate 50mbit burst 32k latency 50ms"


class Stage:
    """Made on an engine, usable for many rounds, removed by id.

    `api` is limited, on two networks and with a name of its own there; `web` has restart policy always and a process
    beside its first; `job` on-failure; `old` unless-stopped; `own` holds firewall rules and a queueing discipline of a
    person's; `lone` is on no network.
    """

    def __init__(self, image: str, host: str = "unix:///var/run/docker.sock") -> None:
        """Nothing is made yet. `host` is the engine's endpoint."""
        self.host = host
        self.api = docker_sdk.APIClient(base_url=host, timeout=60)
        self.tag = uuid4().hex[:8]
        self.ids: dict[str, str] = {}
        self.networks: list[str] = []
        self._image = image
        self._network_names: dict[str, str] = {}

    def docker(self, *argv: str) -> str:
        """Standard output of a docker command on the stage's engine."""
        return docker("--host", self.host, *argv)

    @property
    def names(self) -> Mapping[str, str]:
        """The names of containers and networks, by letter."""
        return {letter: f"tc-torture-{self.tag}-{letter}" for letter in LETTERS} | self._network_names

    def build(self) -> None:
        """Make networks and containers, and start them."""
        front, back = self._network("front"), self._network("back")
        busy = ("sh", "-c", "trap 'exit 0' TERM; sleep 86400 & while :; do sleep 3600 & wait $!; done")
        self._create(
            "api", *self._on(front, 11), "--network-alias", "api", "--memory", "128m", "--cpus", "0.5",
            "--pids-limit", "200", "--cpu-shares", "512",
        )  # fmt: skip
        self.docker("network", "connect", "--ip", self.address(back, 11), "--alias", "behind", back, self.ids["api"])
        self._create("web", *self._on(front, 12), "--restart", "always", command=busy)
        self._create("job", *self._on(back, 13), "--restart", "on-failure:9", "--init")
        self._create("old", *self._on(front, 14), "--restart", "unless-stopped", "--memory", "96m")
        self._create("own", *self._on(back, 15), "--cap-add", "NET_ADMIN")
        self._create("lone", "--network", "none", "--pids-limit", "100")
        self.docker("start", *self.ids.values())
        self.inside("own", "nft", "; ".join(NFT_OF_A_PERSON))
        self.inside("own", "tc", *TC_OF_A_PERSON.split())

    def _create(self, letter: str, *options: str, command: tuple[str, ...] = ()) -> None:
        labels = ("--label", f"{LABEL}={self.tag}")
        self.ids[letter] = self.docker("create", "--name", self.names[letter], *labels, *options, self._image, *command)

    def _network(self, name: str) -> str:
        """A network with a subnet that nobody else has."""
        dice = random.Random(self.tag + name)
        for _ in range(TRIES):
            subnet = f"10.{dice.randint(100, 250)}.{dice.randint(0, 255)}"
            full_name = f"tc-torture-{self.tag}-{name}-{subnet}"
            # The gateway is given, as an engine without it in the settings shows it only after its own restart.
            span = ("--subnet", f"{subnet}.0/24", "--gateway", f"{subnet}.1")
            made = ("network", "create", "--label", f"{LABEL}={self.tag}", *span, full_name)
            try:
                self.networks.append(self.docker(*made))
            except DockerFailed as error:
                if OVERLAPS not in str(error):
                    raise
            else:
                self._network_names[name] = full_name
                return full_name
        raise DockerFailed(f"no free subnet in {TRIES} tries")

    def address(self, network: str, last: int) -> str:
        """An address in a network, by the network's full name."""
        return f"{network.rsplit('-', 1)[1]}.{last}"

    def _on(self, network: str, last: int) -> tuple[str, ...]:
        return ("--network", network, "--ip", self.address(network, last))

    def pid(self, letter: str) -> int:
        """The main process, 0 where the container is down."""
        found: int = self.api.inspect_container(self.ids[letter])["State"]["Pid"]
        return found

    def status(self, letter: str) -> str:
        """As the engine says it: running, paused, exited."""
        return str(self.api.inspect_container(self.ids[letter])["State"]["Status"])

    def inside(self, letter: str, *argv: str) -> str:
        """Standard output of a program of this machine in a container's network namespace."""
        entered = ("nsenter", "--target", str(self.pid(letter)), "--net", *argv)
        return subprocess.run(entered, check=True, capture_output=True, text=True).stdout

    @contextlib.contextmanager
    def touched(self, person: Mapping[str, str]) -> Iterator[None]:
        """As a person left it who paused or stopped containers; put back by that person afterwards."""
        back = {"pause": "unpause", "stop": "start"}
        for letter, verb in person.items():
            self.docker(verb, *(("--time", "0") if verb == "stop" else ()), self.ids[letter])
        yield
        for letter, verb in person.items():
            with contextlib.suppress(DockerFailed):
                self.docker(back[verb], self.ids[letter])
            happens(partial(self._runs, letter), PERSON_WITHIN_S)

    def _runs(self, letter: str) -> bool:
        return self.status(letter) == "running"

    def close(self) -> None:
        """Remove what was made, in whatever state."""
        for identity in self.ids.values():
            # Older engines do not remove a paused container.
            with contextlib.suppress(DockerFailed):
                self.docker("unpause", identity)
        for argv in (
            *(("rm", "--force", "--volumes", identity) for identity in self.ids.values()),
            *(("network", "rm", identity) for identity in self.networks),
            *(("volume", "rm", "--force", f"tc-{identity}") for identity in self.ids.values()),
        ):
            with contextlib.suppress(DockerFailed):
                self.docker(*argv)
        self.api.close()
