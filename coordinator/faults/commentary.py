"""What is told of a fault beside what its class knows of itself: what proves its effect, and what others call it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

_RULES: Final = "the kernel has taken the rules, all at once; a counter in them tells how many packets they met"
_EMULATED: Final = "the kernel has taken the rules, and the emulator plays them; both count the packets they meet"
_LIMIT: Final = "the limit is read back from the container's cgroup"


class Comment(NamedTuple):
    """`proof`: what is looked at before a fault counts as in force. `elsewhere`: names of other tools' for the same."""

    proof: str
    elsewhere: str


COMMENTS: Final[Mapping[str, Comment]] = {
    "container_kill": Comment(
        "the engine shows that the run is over; of another signal, its event log shows the delivery",
        "Pumba kill, Blockade kill, Chaos Mesh container-kill, Litmus container-kill, Steadybit Stop Container",
    ),
    "container_crash": Comment(
        "the engine shows that the run is over, or a later one",
        "ChaosBlade process kill, Jepsen kill, Gremlin Process Killer",
    ),
    "container_stop": Comment(
        "the engine shows that the container is down", "Pumba stop, Blockade stop, Steadybit Stop Container"
    ),
    "container_restart": Comment("the engine shows a later run that is up", "Pumba restart, Blockade restart"),
    "container_pause": Comment(
        "the engine shows the container as paused", "Pumba pause, Steadybit Pause Container, Jepsen hammer-time"
    ),
    "process_kill": Comment(
        "after SIGKILL the processes are seen gone; of another signal the kernel says that it was delivered",
        "ChaosBlade process kill, Gremlin Process Killer, Steadybit Stop Process",
    ),
    "process_freeze": Comment(
        "the kernel shows every thread as stopped", "ChaosBlade process stop, Jepsen hammer-time"
    ),
    "exec": Comment(
        "the exit code of the command",
        "Pumba exec, Chaos Toolkit's process provider, ChaosBlade script",
    ),
    "network_disconnect": Comment("the engine shows the container without that network", "none of those compared"),
    "network_partition": Comment(
        _RULES,
        "Blockade partition, Chaos Mesh NetworkChaos partition, Jepsen partitioner, Litmus pod-network-partition",
    ),
    "network_blackhole": Comment(
        _RULES,
        "Gremlin Blackhole, Steadybit Block Traffic, ChaosBlade network drop, Toxiproxy timeout and reset_peer",
    ),
    "network_latency": Comment(
        _EMULATED,
        "Pumba netem delay, Blockade slow, Toxiproxy latency, Chaos Mesh NetworkChaos delay, ChaosBlade network delay, "
        "Litmus pod-network-latency, Jepsen slow, Gremlin Latency, Steadybit Delay Traffic",
    ),
    "network_loss": Comment(
        _EMULATED,
        "Pumba netem loss, loss-state and loss-gemodel, Blockade flaky, Chaos Mesh NetworkChaos loss, "
        "ChaosBlade network loss, Litmus pod-network-loss, Jepsen flaky, Gremlin Packet Loss, Steadybit Drop Traffic",
    ),
    "network_duplication": Comment(
        _EMULATED,
        "Pumba netem duplicate, Blockade duplicate, Chaos Mesh NetworkChaos duplicate, ChaosBlade network duplicate, "
        "Litmus pod-network-duplication",
    ),
    "network_corruption": Comment(
        _EMULATED,
        "Pumba netem corrupt, Chaos Mesh NetworkChaos corrupt, ChaosBlade network corrupt, "
        "Litmus pod-network-corruption, Steadybit Corrupt Traffic",
    ),
    "network_reordering": Comment(_EMULATED, "Chaos Mesh NetworkChaos reorder, ChaosBlade network reorder"),
    "network_bandwidth": Comment(
        "the kernel has taken the rules and the htb class; both count what passes",
        "Pumba netem rate, Toxiproxy bandwidth, Chaos Mesh NetworkChaos bandwidth, Litmus pod-network-rate-limit, "
        "Steadybit Limit Bandwidth",
    ),
    "dns_failure": Comment(
        "the kernel has taken the rules, and the answerer spoils what they hand to it; both count the answers",
        "Chaos Mesh DNSChaos, ChaosBlade network dns, Litmus pod-dns-error and pod-dns-spoof, Gremlin DNS, "
        "Steadybit Block DNS",
    ),
    "cpu_stress": Comment(
        "the container's own accounting of CPU time has grown",
        "Pumba stress, Chaos Mesh StressChaos, ChaosBlade cpu fullload, Litmus pod-cpu-hog, Gremlin CPU, "
        "Steadybit Stress CPU",
    ),
    "memory_stress": Comment(
        "every page was touched, and the container's own accounting shows them",
        "Pumba stress, Chaos Mesh StressChaos, ChaosBlade mem load, Litmus pod-memory-hog, Gremlin Memory, "
        "Steadybit Fill Memory",
    ),
    "disk_io_stress": Comment(
        "the kernel has counted that a disk has what each worker wrote",
        "Pumba stress, ChaosBlade disk burn, Litmus pod-io-stress, Gremlin IO, Steadybit Stress IO",
    ),
    "cpu_limit": Comment(_LIMIT, "none of those compared"),
    "memory_limit": Comment(_LIMIT, "none of those compared"),
    "pid_exhaustion": Comment(_LIMIT, "ChaosBlade process load, which makes the processes"),
    "disk_fill": Comment(
        "the file is there, and has its blocks",
        "ChaosBlade disk fill, Litmus disk-fill, Gremlin Disk, Steadybit Fill Disk",
    ),
    "clock_skew": Comment(
        "the code of every process is read back; before, one of the helper's own is seen to tell the other time",
        "Chaos Mesh TimeChaos; of the whole host: Jepsen bump, ChaosBlade time travel, Gremlin Time Travel",
    ),
    "http_call": Comment("the status of the answer", "Chaos Toolkit's http provider"),
}
"""By the fault's first name; looked up for every fault that there is."""
