from collections.abc import Sequence

import anyio
import anyio.lowlevel
import pytest
from trio.testing import MockClock

from coordinator.record import Reading, Sample, Series
from coordinator.scenarios.sample import CHANGE_EVERY_S, CHUNK, OVERSLEPT, STILL_BUSY, UNANSWERED
from tests.unit.scenarios.sampling import GOOD, Script, Story

pytestmark = pytest.mark.anyio

BAD = Reading(ok=False, error="refused")
OTHER_LOOPS = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Trio, on a clock that jumps when nothing is left to do."""
    return ("trio", {"clock": MockClock(autojump_threshold=0)})


def oks(samples: Sequence[Sample]) -> str:
    """`+` for good, `-` for bad."""
    return "".join("+" if sample.ok else "-" for sample in samples)


# ---------------------------------------------------------------- pace


async def test_due_times_are_multiples_from_the_start() -> None:
    """Samples are taken at every multiple of the pace, and not a moment later for having taken time themselves."""
    story = Story(Script(takes=lambda n: 0.03 if n % 2 else 0.0))
    samples = await story.play(1.05)
    assert [sample.offset_s for sample in samples] == [round(n / 10, 1) for n in range(11)]
    assert [round(at - story.started, 6) for at in story.script.asked_at] == [round(n / 10, 1) for n in range(11)]
    assert oks(samples) == "+" * 11


async def test_an_execution_that_started_before() -> None:
    """Sampling that begins later keeps to the multiples from the execution's start."""
    story = Story(Script())
    samples = await story.play(0.3, ago=7.25)
    assert [sample.offset_s for sample in samples] == [7.3, 7.4, 7.5]


async def test_what_comes_due_during_a_sample_is_missed() -> None:
    """A slow sample keeps its place and counts; those due meanwhile are missed, later ones are not shifted."""
    story = Story(Script(takes=lambda n: 0.25 if n == 2 else 0.0), timeout="1s")
    samples = await story.play(0.75)
    assert oks(samples) == "+++--+++"
    assert samples[2] == Sample(0.2, True, 0.01, 200.0)
    assert samples[3] == Sample(0.3, False)
    assert story.samplers.progress("api").late == 2
    assert [round(at - story.started, 6) for at in story.script.asked_at] == [0.0, 0.1, 0.2, 0.5, 0.6, 0.7]


async def test_a_sample_that_ends_when_the_next_is_due_misses_none() -> None:
    """An answer at the very moment of the next due time is in time."""
    story = Story(Script(takes=lambda _n: 0.1), timeout="1s")
    assert oks(await story.play(0.55)) == "+++++"
    assert story.samplers.progress("api").late == 0


async def test_missed_samples_are_seen_while_the_slow_one_runs() -> None:
    """A hanging sample does not hide that its probe is unavailable: rows appear at their due times."""
    story = Story(Script(takes=lambda n: 60.0 if n == 1 else 0.0), timeout="2m")
    samples = await story.play(0.55)
    assert oks(samples) == "+-----"
    assert story.told[-1] == ("api", 6)
    assert story.samplers.progress("api").late == 4
    assert oks(story.flushed()) == "+-----"


async def test_a_slow_answer_amends_its_own_row() -> None:
    """The row of a slow sample is not ok until its answer comes; it is not handed on before."""
    story = Story(Script(takes=lambda n: 2.45 if n == 0 else 0.0), timeout="5s")
    samplers = story.start()
    async with anyio.create_task_group() as group:
        group.start_soon(samplers.run)
        await anyio.sleep(2.4)
        assert oks(samplers.samples("api")) == "-" * 24
        assert samplers.progress("api").good == 0
        assert story.chunks == []
        await anyio.sleep(0.3)
        assert oks(samplers.samples("api"))[:2] == "+-"
        samplers.stop()
    progress = samplers.progress("api")
    assert progress.good + progress.bad == len(samplers.samples("api"))
    assert story.flushed() == list(samplers.samples("api"))


async def test_never_two_at_once() -> None:
    """A probe is never asked again before it answered, and probes do not wait for each other."""
    story = Story(Script(takes=lambda n: (n * 37 % 11) / 30), timeout="1s", names=("api", "db", "cache"))
    await story.play(5)
    assert story.script.most_at_once == 1
    for name in story.names:
        assert len(story.samplers.samples(name)) in {49, 50, 51}


async def test_a_busy_coordinator_is_told_from_a_slow_answer() -> None:
    """What was missed because nobody woke in time says so, and the sample due now is taken."""
    story = Story(Script())
    samplers = story.start()
    async with anyio.create_task_group() as group:
        group.start_soon(samplers.run)
        await anyio.sleep(0.05)
        story.clock.ahead = 0.5
        await anyio.sleep(0.1)
        samplers.stop()
    assert oks(samplers.samples("api"))[:7] == "+-----+"
    assert samplers.progress("api").last_error == OVERSLEPT


# ---------------------------------------------------------------- what is told


async def test_a_probe_that_flaps_is_told_of_now_and_then() -> None:
    """Changes without end are told in a bounded number, alternating; what stays at last is told soon."""
    story = Story(Script(reads=lambda n: BAD if n % 2 and n < 3000 else GOOD))
    await story.play(320.05)
    flapped = [ok for at, ok, _ in story.changes if at < 300]
    assert 20 + 300 / CHANGE_EVERY_S - 2 <= len(flapped) <= 20 + 300 / CHANGE_EVERY_S + 1
    told = [ok for _, ok, _ in story.changes]
    assert told == [bool(number % 2) for number in range(len(told))]
    assert told[-1]


async def test_changes_are_told_and_samples_are_not() -> None:
    """Good to bad comes with its error, bad to good without; a run of equal samples tells nothing."""
    story = Story(Script(reads=lambda n: BAD if 3 <= n < 6 else GOOD))
    await story.play(1.05)
    assert story.changes == [(0.3, False, "refused"), (0.6, True, "")]


async def test_a_probe_that_starts_bad_is_a_change() -> None:
    """A probe is taken for good until its first bad sample."""
    story = Story(Script(reads=lambda _n: BAD))
    await story.play(0.35)
    assert story.changes == [(0.0, False, "refused")]


async def test_a_hanging_sample_is_a_change_to_bad_and_back() -> None:
    """A sample without an answer turns its probe bad when the next is due; the next good one turns it good."""
    story = Story(Script(takes=lambda n: 0.25 if n == 1 else 0.0), timeout="1s")
    await story.play(0.65)
    assert story.changes == [(0.1, False, UNANSWERED), (0.4, True, "")]
    assert story.samplers.progress("api").last_error == STILL_BUSY


async def test_progress_counts() -> None:
    """Progress tells good, bad, late, the last error and the rate of the last seconds."""
    story = Story(Script(reads=lambda n: BAD if n == 1 else GOOD))
    samplers = story.start()
    async with anyio.create_task_group() as group:
        group.start_soon(samplers.run)
        await anyio.sleep(20.05)
        progress = samplers.progress("api")
        samplers.stop()
    assert (progress.good, progress.bad, progress.late, progress.last_error) == (200, 1, 0, "refused")
    assert progress.rate == pytest.approx(10, abs=0.3)


async def test_every_row_is_told() -> None:
    """`on_sample` is called for each row when it can be read."""
    story = Story(Script())
    await story.play(0.55)
    assert story.told == [("api", n) for n in range(1, 7)]


async def test_waiting_for_a_sample() -> None:
    """`wait_sample` wakes all who wait, at the probe's next sample and not at another's."""
    story = Story(Script(), names=("api", "db"))
    samplers = story.start()
    woken: list[int] = []

    async def wait(name: str) -> None:
        await samplers.wait_sample(name)
        woken.append(len(samplers.samples(name)))

    async with anyio.create_task_group() as group:
        group.start_soon(samplers.run)
        await anyio.sleep(0.05)
        for name in ("api", "api", "db"):
            group.start_soon(wait, name)
        await anyio.sleep(0.1)
        assert woken == [2, 2, 2]
        samplers.stop()


async def test_what_a_callback_raises_ends_the_run() -> None:
    """An error of the caller's own is not swallowed, and what was sampled is still handed on."""

    def fail(_name: str) -> None:
        raise RuntimeError("abort")

    story = Story(Script(), on_sample=fail)
    with pytest.raises(ExceptionGroup) as caught:
        await story.play(1)
    assert caught.group_contains(RuntimeError, match="abort")
    assert len(story.flushed()) == 1


# ---------------------------------------------------------------- handing on


async def test_all_samples_are_handed_on_once_and_in_order() -> None:
    """Chunks come regularly, hold every sample once, in order, and none is larger than the limit."""
    story = Story(Script(), every="1ms", timeout="1ms", names=("api", "db"))
    samples = await story.play(3.0005)
    assert story.flushed() == list(samples)
    assert story.flushed("db") == list(story.samplers.samples("db"))
    assert max(len(series.samples) for series in story.chunks) <= CHUNK
    assert len(story.chunks) > 6


async def test_samples_are_handed_on_while_running() -> None:
    """A few samples do not wait for the end."""
    story = Story(Script())
    samplers = story.start()
    async with anyio.create_task_group() as group:
        group.start_soon(samplers.run)
        await anyio.sleep(5.05)
        assert len(story.flushed()) >= 30
        samplers.stop()


async def test_a_ledger_that_is_away_loses_nothing() -> None:
    """While the ledger takes nothing sampling goes on and says so; later everything is handed on."""
    story = Story(Script(), refuse=True)
    samplers = story.start()
    async with anyio.create_task_group() as group:
        group.start_soon(samplers.run)
        await anyio.sleep(5.05)
        assert samplers.flush_error == "the disk is full"
        story.refuse = False
        await anyio.sleep(5)
        assert samplers.flush_error == ""
        samplers.stop()
    assert story.flushed() == list(samplers.samples("api"))
    assert len(story.flushed()) == 101


async def test_a_ledger_that_hangs_does_not_hold_the_end() -> None:
    """The last handing on has a deadline, and what was not taken is told."""
    story = Story(Script())
    samplers = story.start()

    async def hang(_series: Series, _uid: str) -> None:
        await anyio.sleep_forever()

    samplers._flush_chunk = hang
    async with anyio.create_task_group() as group:
        group.start_soon(samplers.run)
        await anyio.sleep(0.25)
        samplers.stop()
    assert "within 5 s" in samplers.flush_error


async def test_what_was_given_up_is_handed_on_as_it_was() -> None:
    """The ledger may take it after all: under its id, and with no more in it than then."""
    story = Story(Script())
    samplers = story.start()
    given: list[tuple[str, Series]] = []

    async def slow(series: Series, uid: str) -> None:
        given.append((uid, series))
        await anyio.sleep(60 if len(given) == 1 else 0)

    samplers._flush_chunk = slow
    async with anyio.create_task_group() as group:
        group.start_soon(samplers.run)
        await anyio.sleep(20.05)
        samplers.stop()
    assert given[0] == given[1]
    taken = dict(given)
    assert len(taken) == len(given) - 1
    assert [sample for series in taken.values() for sample in series.samples] == list(samplers.samples("api"))


async def test_a_stop_before_the_start_samples_nothing() -> None:
    """Samplers that were stopped before they ran end at once, with nothing counted."""
    samplers = Story(Script()).start()
    samplers.stop()
    await samplers.run()
    progress = samplers.progress("api")
    assert (len(samplers.samples("api")), progress.good, progress.bad, progress.rate) == (0, 0, 0, 0.0)


@OTHER_LOOPS
async def test_cancelling_hands_on_what_there_is() -> None:
    """Cancelled from outside, on either event loop, the rows are whole, without a gap, and all handed on."""
    story = Story(Script(takes=lambda n: 0.03 if n % 3 == 2 else 0.0), every="10ms", timeout="1s", names=("api", "db"))
    samplers = story.start()
    async with anyio.create_task_group() as group:
        group.start_soon(samplers.run)
        while samplers.progress("db").good < 10:
            await samplers.wait_sample("db")
        group.cancel_scope.cancel()
    for name in story.names:
        samples = list(samplers.samples(name))
        first = round(samples[0].offset_s / 0.01)
        assert [sample.offset_s for sample in samples] == [round((first + n) * 0.01, 6) for n in range(len(samples))]
        assert story.flushed(name) == samples
        progress = samplers.progress(name)
        assert (progress.good, progress.bad) == (oks(samples).count("+"), oks(samples).count("-"))
    assert story.script.most_at_once == 1


async def test_the_ledger_is_given_all_probes_at_once() -> None:
    """Handing on takes as long as one write, however many probes there are: the ledger writes them together."""
    names = [f"p{number}" for number in range(100)]
    story = Story(Script(), names=names)
    samplers = story.start()
    for name in names:
        samplers.samples(name).add(GOOD)

    async def write(series: Series, _uid: str) -> None:
        await anyio.sleep(1)
        story.chunks.append(series)

    samplers._flush_chunk = write
    began = anyio.current_time()
    await samplers._flush()
    assert anyio.current_time() - began == pytest.approx(1)
    assert [len(story.flushed(name)) for name in names] == [1] * len(names)
    assert samplers.flush_error == ""
