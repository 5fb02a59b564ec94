"""Targeting: who may be touched, who is, and how many at most."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from coordinator.faults.facts import ContainerFacts, ContainerState, NetworkAttachment, PublishedPort
from coordinator.faults.targeting import Limits, Policy, Target, limit_refusals, resolve, why_not

OPT_OUT = Policy(opt_in=False)
OPT_IN = Policy(opt_in=True)


def container(name: str, **others: object) -> ContainerFacts:
    """A running container with these facts."""
    known: Mapping[str, object] = {"id": f"id-{name}", "name": name, "image": "web:1", "state": "running"}
    return ContainerFacts.model_validate({**known, **others})


FLEET = tuple(container(f"web-{number}", labels={"app": "web"}) for number in range(10))


def chosen(target: Target, containers: tuple[ContainerFacts, ...] = FLEET, seed: int = 1) -> list[str]:
    """The names a target selects under opt-out."""
    return [one.name for one in resolve({"t": target}, containers, OPT_OUT, seed)["t"].containers]


class TestWhyNot:
    def test_opt_out_takes_all_but_the_protected(self) -> None:
        """Under opt-out only test-coordinator.protected=true keeps a container out."""
        assert why_not(container("a"), OPT_OUT) is None
        reason = why_not(container("a", labels={"test-coordinator.protected": "true"}), OPT_OUT)
        assert reason is not None
        assert "test-coordinator.protected=true" in reason

    def test_opt_in_takes_only_the_labelled(self) -> None:
        """Under opt-in a container needs test-coordinator.target=true."""
        reason = why_not(container("a"), OPT_IN)
        assert reason is not None
        assert "test-coordinator.target=true" in reason
        assert why_not(container("a", labels={"test-coordinator.target": "true"}), OPT_IN) is None

    def test_a_protected_container_stays_out_even_when_it_opted_in(self) -> None:
        """Protection is stronger than consent."""
        labels = {"test-coordinator.target": "true", "test-coordinator.protected": "true"}
        assert why_not(container("a", labels=labels), OPT_IN) is not None

    @pytest.mark.parametrize("role", ["coordinator", "helper", ""])
    def test_our_own_containers_are_never_targets(self, role: str) -> None:
        """A role label keeps out whatever else is said."""
        labels = {"test-coordinator.role": role, "test-coordinator.target": "true"}
        for policy in (OPT_IN, OPT_OUT):
            assert why_not(container("a", labels=labels), policy, allow_self_dependencies=True) is not None

    @pytest.mark.parametrize(
        "facts",
        [
            {"name": "Postgres"},
            {"name": "x", "hostname": "postgres"},
            {"name": "x", "networks": [NetworkAttachment(name="n", aliases=("postgres",))]},
            {"name": "x", "networks": [NetworkAttachment(name="n", ip="10.0.0.5")]},
            {"name": "x", "networks": [NetworkAttachment(name="n", ipv6="fd00::5")]},
            {"name": "db", "networks": [NetworkAttachment(name="n")]},
            {"name": "x", "ports": [PublishedPort(container_port=1, host_ip="0.0.0.0", host_port=5432)]},
            {"name": "x", "network_mode": "host", "ports": [PublishedPort(container_port=5432)]},
        ],
    )
    def test_our_own_database_is_known_by_any_way_to_reach_it(self, facts: dict[str, object]) -> None:
        """Name, host name, alias, address or published port: any match keeps it out, unless the target allows it."""
        policy = Policy(opt_in=False, own_hosts=("postgres", "10.0.0.5", "[FD00::5]", "db.n"), own_ports=(5432,))
        own = container(**facts)  # type: ignore[arg-type]  # a table of facts
        reason = why_not(own, policy)
        assert reason is not None
        assert "allow_self_dependencies" in reason
        assert why_not(own, policy, allow_self_dependencies=True) is None

    def test_whoever_lends_us_the_network_is_kept_out(self) -> None:
        """Without it the coordinator would be cut off from all it needs; a helper of ours in there is no reason."""
        policy = Policy(opt_in=False, own_hosts=("store",))
        lender = container("web")
        shared = {"network_mode": f"container:{lender.id}"}
        ours = container("co", labels={"test-coordinator.role": "coordinator"}, **shared)
        store, helper = (
            container("store", **shared),
            container("h", labels={"test-coordinator.role": "helper"}, **shared),
        )
        for one, told in (
            (ours, "test-coordinator (co) uses its network"),
            (store, "own Postgres, Redis or engine (sto"),
        ):
            reason = why_not(lender, policy, among=(lender, one))
            assert reason is not None
            assert told in reason
            assert "allow_self_dependencies: true lifts this" in reason
            assert why_not(lender, policy, among=(lender, one), allow_self_dependencies=True) is None
        assert why_not(lender, policy, among=(lender, helper, container("x", **shared))) is None

    def test_another_database_is_a_target(self) -> None:
        """An exposed, unpublished port of the same number is nobody's own database; nor is a host's name shared."""
        policy = Policy(opt_in=False, own_hosts=("postgres", "thishost"), own_ports=(5432,))
        assert why_not(container("x", ports=[PublishedPort(container_port=5432)]), policy) is None
        assert why_not(container("x", network_mode="host", hostname="thishost"), policy) is None


class TestMatching:
    @pytest.mark.parametrize(
        "target",
        [
            Target(names=("a",)),
            Target(name_regex="^a$"),
            Target(labels={"k": "v"}),
            Target(labels={"k": ""}),
            Target(labels={"k": "*"}),
            Target(image="reg:5000/web:1"),
            Target(image="reg:5000/web"),
            Target(compose_project="p"),
            Target(compose_service="s"),
            Target(network="n"),
            Target(names=("a", "b"), labels={"k": "v"}, network="n"),
        ],
    )
    def test_each_criterion_selects(self, target: Target) -> None:
        """Every criterion alone, and several together, select the container they describe and no other."""
        labels = {"k": "v", "com.docker.compose.project": "p", "com.docker.compose.service": "s"}
        image, networks = "reg:5000/web:1", [NetworkAttachment(name="n")]
        one = container("a", labels=labels, image=image, networks=networks)
        assert chosen(target, (one, container("other"))) == ["a"]

    def test_all_criteria_must_match(self) -> None:
        """One criterion that does not match is enough to stay out."""
        assert chosen(Target(names=("web-1",), labels={"app": "other"})) == []

    @pytest.mark.parametrize("wanted", ["reg", "reg:5000/we", "web", "reg:5000/web:2"])
    def test_an_image_matches_as_a_whole(self, wanted: str) -> None:
        """A repository without a tag takes any tag; a part of a name takes nothing."""
        assert chosen(Target(image=wanted), (container("a", image="reg:5000/web:1"),)) == []

    def test_labels_may_be_written_as_texts(self) -> None:
        """`key=value` and `key`, alone or in a list, are labels as well."""
        given_labels: list[object] = ["app=web", ["app = web"], {"app": "web"}]
        assert all(Target.model_validate({"labels": one}).labels == {"app": "web"} for one in given_labels)
        assert Target.model_validate({"labels": "app"}).labels == {"app": ""}

    @pytest.mark.parametrize(
        "wrong",
        [{}, {"name_regex": "("}, {"labels": ["=x"]}, {"labels": [{}]}, {"names": ["a"], "pick": "0%"},
         {"names": ["a"], "pick": "0"}, {"names": ["a"], "pick": "some"}, {"names": ["a"], "pick": "101%"}],
    )  # fmt: skip
    def test_a_target_that_cannot_be_meant_is_refused(self, wrong: dict[str, object]) -> None:
        """No criterion, a broken expression, a label without a key, a pick of nothing."""
        with pytest.raises(ValidationError):
            Target.model_validate(wrong)


class TestPick:
    @pytest.mark.parametrize(
        ("pick", "count"), [("all", 10), ("1", 1), ("3", 3), ("99", 10), ("1%", 1), ("25%", 3), ("100%", 10)]
    )
    def test_as_many_are_picked_as_asked(self, pick: str, count: int) -> None:
        """A percentage rounds up, to at least one; no more are picked than there are."""
        assert len(chosen(Target(labels={"app": "web"}, pick=pick))) == count

    @given(st.permutations(FLEET), st.integers())
    def test_the_same_seed_picks_the_same(self, fleet: list[ContainerFacts], seed: int) -> None:
        """In whatever order the engine lists its containers; the result is sorted by name."""
        target = Target(labels={"app": "web"}, pick="4")
        picked = chosen(target, tuple(fleet), seed)
        assert picked == chosen(target, FLEET, seed) == sorted(picked)

    def test_other_seeds_and_other_targets_pick_others(self) -> None:
        """Over a few seeds every replica has its turn, and two targets do not draw alike."""
        target = Target(labels={"app": "web"}, pick="1")
        assert len({chosen(target, seed=seed)[0] for seed in range(200)}) == 10
        pairs = [resolve({"a": target, "b": target}, FLEET, OPT_OUT, seed) for seed in range(20)]
        assert any(pair["a"] != pair["b"] for pair in pairs)

    def test_what_runs_is_picked_first(self) -> None:
        """A container that is down already is picked only when none runs."""
        down = tuple(container(f"old-{n}", labels={"app": "web"}, state=ContainerState.EXITED) for n in range(9))
        target = Target(labels={"app": "web"}, pick="1")
        assert all(chosen(target, (*down, FLEET[0]), seed) == ["web-0"] for seed in range(20))
        assert len(chosen(target, down)) == 1

    def test_the_forbidden_are_named_and_not_picked(self) -> None:
        """What matches and may not be touched is left out with its reason; what does not match is not spoken of."""
        guarded = container("safe", labels={"app": "web", "test-coordinator.protected": "true"})
        selected = resolve({"t": Target(labels={"app": "web"})}, (guarded, FLEET[0], container("x")), OPT_OUT, 1)["t"]
        assert [one.name for one in selected.containers] == ["web-0"]
        assert [name for name, _ in selected.left_out] == ["safe"]

    def test_a_target_may_allow_our_own_database(self) -> None:
        """`allow_self_dependencies` lifts that one ban for that target."""
        policy = Policy(opt_in=False, own_hosts=("db",))
        targets = {"no": Target(names=("db",)), "yes": Target(names=("db",), allow_self_dependencies=True)}
        selected = resolve(targets, (container("db"),), policy, 1)
        assert (len(selected["no"].containers), len(selected["yes"].containers)) == (0, 1)


class TestLimits:
    @pytest.mark.parametrize(
        ("limits", "refused"),
        [
            (Limits(), 0),
            (Limits(max_targets=2), 0),
            (Limits(max_targets=1), 1),
            (Limits.model_validate({"max_percent": "20%"}), 0),
            (Limits.model_validate({"max_percent": "19%", "max_targets": 1}), 2),
        ],
    )
    def test_a_blast_radius_above_the_limit_is_refused(self, limits: Limits, refused: int) -> None:
        """Two of ten possible targets, against a number and a percentage of those that may be touched."""
        guarded = container("safe", labels={"test-coordinator.protected": "true"})
        touched = ["id-web-1", "id-web-2", "id-web-1"]
        assert len(limit_refusals(touched, (*FLEET, guarded), OPT_OUT, limits)) == refused
