import shlex

from hypothesis import given
from hypothesis import strategies as st

from coordinator.faults.commands import (
    FAST_VERB_S,
    HELPER_IMAGE,
    MANY,
    MAX_CHUNKS,
    PARALLEL_VERBS,
    SINGLE_PROCESS_VERBS,
    DockerCommand,
    EnvEntry,
    Outcome,
    batch,
)

verbs = st.sampled_from(sorted(SINGLE_PROCESS_VERBS | PARALLEL_VERBS))


def test_a_command_is_shown_as_it_would_be_typed() -> None:
    """A command shows quoted as a shell needs it, plain variables with their value, secrets by their name."""
    command = DockerCommand(
        argv=("exec", "--env", "A", "web", "sh", "-c", "echo 'x y'"),
        env=(EnvEntry(name="A", value="1 2"), EnvEntry(name="B", secret="TOKEN")),
    )

    shown = command.shown()

    assert shown.startswith("A='1 2' B=${TOKEN} docker exec --env A web sh -c ")
    assert tuple(shlex.split(shown)[3:]) == command.argv


def test_the_helper_image_is_left_to_the_shell() -> None:
    """Where a command names the helper image, a person reads a variable that the shell fills in."""
    assert DockerCommand(argv=("run", HELPER_IMAGE, "a b")).shown() == "docker run ${HELPER_IMAGE} 'a b'"


def test_labels_are_for_helpers() -> None:
    """A helper's container gets the labels before its image; a command that runs none is the same as before."""
    labelled = DockerCommand(argv=("run", "--rm", HELPER_IMAGE, "x")).labelled({"a": "1", "b": "2"})
    start = DockerCommand(argv=("start", "web"))

    assert labelled.argv == ("run", "--label", "a=1", "--label", "b=2", "--rm", HELPER_IMAGE, "x")
    assert start.labelled({"a": "1"}) is start


def test_one_helper_takes_many_only_where_it_says_so() -> None:
    """Containers behind a double dash are given to one helper, with little more time; others have each their own."""
    many = [DockerCommand(argv=("run", HELPER_IMAGE, "p", MANY, each), deadline_s=30.0) for each in "abc"]
    single = [DockerCommand(argv=("run", HELPER_IMAGE, "p", each)) for each in "abc"]

    (merged,) = batch(many)
    assert merged.argv == ("run", HELPER_IMAGE, "p", MANY, "a", "b", "c")
    assert merged.deadline_s == 30.0 + 2 * FAST_VERB_S
    assert batch(single) == tuple(single)


def test_an_outcome_is_ok_only_with_exit_code_0() -> None:
    """Neither a failure nor a killed command is ok."""
    assert Outcome(exit_code=0).ok
    assert not Outcome(exit_code=1).ok
    assert not Outcome(exit_code=None, timed_out=True).ok


@given(verbs, st.integers(1, 40))
def test_a_batch_names_each_container_once(verb: str, count: int) -> None:
    """However many there are, each container stands in exactly one command, with the same options."""
    ids = [f"c{number}" for number in range(count)]

    merged = batch(DockerCommand(argv=(verb, "-t", "3", each)) for each in ids)

    assert all(command.argv[:3] == (verb, "-t", "3") for command in merged)
    assert sorted(each for command in merged for each in command.argv[3:]) == sorted(ids)
    assert len(merged) == (1 if verb in SINGLE_PROCESS_VERBS else min(count, MAX_CHUNKS))


@given(verbs, st.integers(1, 40))
def test_a_batch_has_time_for_all_its_containers(verb: str, count: int) -> None:
    """A merged command may take a slow verb's whole time for each container, a fast verb's little more than once."""
    merged = batch(DockerCommand(argv=(verb, f"c{number}"), deadline_s=30.0) for number in range(count))

    for command in merged:
        further = len(command.argv) - 2
        assert command.deadline_s == 30.0 + further * (FAST_VERB_S if verb in SINGLE_PROCESS_VERBS else 30.0)


def test_different_commands_are_not_merged() -> None:
    """Commands that differ in more than the container, and commands of other verbs, stay as they are, in order."""
    commands = (
        DockerCommand(argv=("kill", "--signal", "SIGHUP", "a")),
        DockerCommand(argv=("exec", "a", "true")),
        DockerCommand(argv=("kill", "--signal", "SIGKILL", "b")),
        DockerCommand(argv=("exec", "b", "true")),
    )

    assert batch(commands) == commands
    assert batch(()) == ()
