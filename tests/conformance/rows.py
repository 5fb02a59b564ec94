"""The behaviours a supervisor is held to: every case of OTP's own suite, what only Python has, and four of ractor's.

Numbers and names are those of `supervisor_SUITE.erl` in OTP 25.2.3; P rows are ours, R rows bear ractor's names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

T: Final = "as in OTP"
A: Final = "adapted"
P: Final = "Python"
R: Final = "ractor"
NONE: Final = "does not apply"


@dataclass(frozen=True, slots=True)
class Row:
    """One behaviour: its number and name, what it pins, how it is taken over, what differs or why it is out."""

    id: str
    name: str
    pins: str
    taken: str
    note: str = ""


ROWS: Final = (
    Row("1", "sup_start_normal", "an empty supervisor starts and stops with reason shutdown", T),
    Row(
        "2",
        "sup_start_ignore_init",
        "init may decline: no supervisor, no error",
        A,
        "a start function declines before it builds its supervisor",
    ),
    Row("3", "sup_start_ignore_child", "a permanent child that declines keeps its spec, counts as not active", T),
    Row("4", "sup_start_ignore_temporary_child", "a temporary that declines at init leaves no spec", T),
    Row("5", "sup_start_ignore_temporary_child_start_child", "same through start_child", T),
    Row("6", "sup_start_ignore_temporary_child_start_child_simple", "same in a pool", T),
    Row(
        "7",
        "sup_start_ignore_permanent_child_start_child_simple",
        "pool member that declines is not kept, and the stop is still clean",
        T,
    ),
    Row("8", "sup_start_error_return", "invalid init result: typed error, nothing left running", T),
    Row("9", "sup_start_fail", "init raises: the error reaches the caller", T),
    Row("10", "sup_start_child_returns_error", "failed start_child reports the cause and keeps no spec", T),
    Row("11", "sup_start_restart_child_returns_error", "failed manual restart leaves spec present, not running", T),
    Row("12", "sup_start_child_returns_error_simple", "same for a pool", T),
    Row(
        "13",
        "sup_start_map",
        "defaults: permanent, 5 s worker, infinite supervisor; spec readable by id; unknown id = not found",
        T,
    ),
    Row("14", "sup_start_map_simple", "pool member's spec readable by handle", T),
    Row(
        "15",
        "sup_start_map_faulty_specs",
        "missing id or start refused by name; unknown key tolerated",
        A,
        "an unknown keyword is refused too, as dataclasses do",
    ),
    Row("16", "sup_stop_infinity", "infinite grace is legal for workers too", T),
    Row(
        "17",
        "sup_stop_timeout",
        "good child gets shutdown, sleeper is killed after its own grace",
        A,
        "nothing can be killed in one process: what outlives its cancel is abandoned",
    ),
    Row("18", "sup_stop_timeout_dynamic", "same in a pool", A, "as 17"),
    Row(
        "19",
        "sup_stop_brutal_kill",
        "no grace for a child so marked, siblings unaffected",
        A,
        "no grace means cancelled at once",
    ),
    Row("20", "sup_stop_brutal_kill_dynamic", "same for ten pool members", A, "as 19"),
    Row(
        "21",
        "sup_stop_race",
        "children ending by themselves with any of 4 reasons x 3 classes mid-stop: stop completes, no restart",
        T,
    ),
    Row("22", "sup_stop_non_shutdown_exit_dynamic", "same in a pool", T),
    Row(
        "23",
        "child_adm",
        "start/terminate/restart/delete life cycle and each exact refusal; terminate twice is fine",
        T,
    ),
    Row(
        "24",
        "child_adm_simple",
        "by-id operations refused on a pool; terminate by handle; foreign handle refused and left alive",
        T,
    ),
    Row(
        "25",
        "extra_return",
        "extra start value returned by start and restart, ignored otherwise, also on auto-restart",
        T,
    ),
    Row("26", "child_specs", "every malformed field refused with its own reason, full legal product accepted", T),
    Row("27", "child_specs_map", "4x4x5x3x5x3x2 product; only the significant combinations refused", T),
    Row("28", "sup_flags", "bad strategy, intensity, period (0 too), auto_shutdown each named", T),
    Row("29", "multiple_restarts", "restarts spaced beyond the period never exhaust the budget", T),
    Row(
        "30", "one_for_one", "only the crashed child changes identity; third crash in the window ends the supervisor", T
    ),
    Row("31", "one_for_one_escalation", "a child that cannot restart uses up the budget; siblings go down too", T),
    Row("32", "one_for_all", "all identities change; budget ends it", T),
    Row("33", "one_for_all_escalation", "sibling's failing restart escalates", T),
    Row(
        "34",
        "one_for_all_other_child_fails_restart",
        "sibling fails mid-restart: the restarted one is stopped, then all retried",
        T,
    ),
    Row("35", "simple_one_for_one", "pool: only the crashed member changes; budget is shared", T),
    Row(
        "36",
        "simple_one_for_one_shutdown",
        "pool stop is concurrent: total time between one grace and the slowest member",
        T,
    ),
    Row("37", "simple_one_for_one_extra", "extra value survives auto-restart of a pool member", T),
    Row("38", "simple_one_for_one_escalation", "one failing member ends the pool", T),
    Row("39", "simple_one_for_one_corruption", "start arguments of temporaries are not retained (heap check)", T),
    Row("40", "rest_for_one", "earlier sibling keeps identity, later ones change", T),
    Row("41", "rest_for_one_escalation", "later sibling failing escalates", T),
    Row(
        "42",
        "rest_for_one_other_child_fails_restart",
        "retry begins at the sibling that failed, not at the original",
        T,
    ),
    Row("43", "permanent_normal", "a normal end: restarted", T),
    Row("44", "transient_normal", "a normal end: kept stopped", T),
    Row("45", "temporary_normal", "a normal end: forgotten", T),
    Row("46", "permanent_shutdown", "a deliberate stop, with or without a detail: restarted", T),
    Row("47", "transient_shutdown", "a deliberate stop, with or without a detail: kept stopped", T),
    Row("48", "temporary_shutdown", "a deliberate stop, with or without a detail: forgotten", T),
    Row("49", "faulty_application_shutdown", "the root cause and its stack reach the top-level start error", T),
    Row("50", "permanent_abnormal", "a crash: restarted", T),
    Row("51", "transient_abnormal", "a crash: restarted", T),
    Row("52", "temporary_abnormal", "a crash: forgotten", T),
    Row(
        "53",
        "child_unlink",
        "a child that cuts its link cannot hang a terminate",
        A,
        "a child that swallows cancellation is the nearest thing: it is abandoned",
    ),
    Row(
        "54",
        "tree",
        "nested: only the dead worker restarts; escalation restarts sub-supervisors: no dynamic ones, all static ones",
        T,
    ),
    Row("55", "nonsignificant_temporary", "no auto-shutdown in any of 3 modes x 4 kinds of end", T),
    Row("56", "nonsignificant_transient", "same, with restart on abnormal end", T),
    Row(
        "57", "significant_temporary", "any: each own end triggers, operator terminate does not; all: only the last", T
    ),
    Row("58", "significant_transient", "crash restarts and does not trigger; a normal end does", T),
    Row("59", "significant_simple", "any and all in a pool", T),
    Row(
        "60",
        "significant_bystander",
        "a significant sibling stopped by a strategy does not trigger (3 strategies x 2 modes)",
        T,
    ),
    Row("61", "significant_escalation", "auto-shutdown climbs only through significant supervisors", T),
    Row(
        "62",
        "significant_upgrade_never_any",
        "auto_shutdown changed while running",
        NONE,
        "nothing is reconfigured while it runs: a new process has the new settings",
    ),
    Row(
        "63",
        "significant_upgrade_any_never",
        "auto_shutdown changed while running",
        NONE,
        "nothing is reconfigured while it runs: a new process has the new settings",
    ),
    Row(
        "64",
        "significant_upgrade_never_all",
        "auto_shutdown changed while running",
        NONE,
        "nothing is reconfigured while it runs: a new process has the new settings",
    ),
    Row(
        "65",
        "significant_upgrade_all_never",
        "auto_shutdown changed while running",
        NONE,
        "nothing is reconfigured while it runs: a new process has the new settings",
    ),
    Row(
        "66",
        "significant_upgrade_any_all",
        "auto_shutdown changed while running",
        NONE,
        "nothing is reconfigured while it runs: a new process has the new settings",
    ),
    Row(
        "67",
        "significant_upgrade_all_any",
        "auto_shutdown changed while running",
        NONE,
        "nothing is reconfigured while it runs: a new process has the new settings",
    ),
    Row(
        "68",
        "significant_upgrade_child",
        "flag flipped on a running child, refused when mode is never",
        NONE,
        "nothing is reconfigured while it runs: a new process has the new settings",
    ),
    Row("69", "count_children", "1,000 and 2,000 members: stable counts, all gone after kill", T),
    Row("70", "count_children_supervisor", "counted as supervisors", T),
    Row(
        "71",
        "count_restarting_children",
        "in backoff: counted as spec, not as active; recovers; terminate lowers both",
        T,
    ),
    Row("72", "get_callback_module", "release-handler detail", NONE, "code is not replaced in a running process"),
    Row("73", "do_not_save_start_parameters_for_temporary_children", "memory, 4 strategies", T),
    Row(
        "74",
        "do_not_save_child_specs_for_temporary_children",
        "spec kept or not: 3 classes x 4 ways of ending x 3 strategies",
        T,
    ),
    Row(
        "75",
        "simple_one_for_one_scale_many_temporary_children",
        "terminating 10,000 costs less than 50x what 1,000 costs",
        T,
    ),
    Row("76", "temporary_bystander", "a temporary killed by a strategy is not restarted and costs no budget", T),
    Row(
        "77",
        "simple_global_supervisor",
        "killing supervisor or worker brings both back under the same name",
        A,
        "a path in the tree takes the place of a registered name",
    ),
    Row(
        "78",
        "hanging_restart_loop",
        "during a hanging restart: queries answer 'restarting', delete refused, terminate and stop work",
        T,
    ),
    Row("79", "hanging_restart_loop_rest_for_one", "later siblings show as stopped, earlier still run", T),
    Row("80", "hanging_restart_loop_simple", "same in a pool", T),
    Row(
        "81",
        "code_change",
        "new flags and specs merged into a running supervisor",
        NONE,
        "nothing is reconfigured while it runs: a new process has the new settings",
    ),
    Row(
        "82",
        "code_change_map",
        "new flags and specs merged into a running supervisor",
        NONE,
        "nothing is reconfigured while it runs: a new process has the new settings",
    ),
    Row(
        "83",
        "code_change_simple",
        "new flags and specs merged into a running supervisor",
        NONE,
        "nothing is reconfigured while it runs: a new process has the new settings",
    ),
    Row(
        "84",
        "code_change_simple_map",
        "new flags and specs merged into a running supervisor",
        NONE,
        "nothing is reconfigured while it runs: a new process has the new settings",
    ),
    Row("85", "order_of_children", "start in given order, stop in reverse, also for a rest_for_one part", T),
    Row("86", "scale_start_stop_many_children", "1,000 → 100,000 start and stop stay within 10x of linear", T),
    Row(
        "87",
        "format_log_1",
        "report formatting with depth limit",
        A,
        "the stack of a report is text that is limited when it is made",
    ),
    Row("88", "format_log_2", "single line, size limit, offender summary", A, "one line, cut at a limit"),
    Row("P1", "silent_return", "child returns without saying ready → start error, nothing left behind", P),
    Row(
        "P2",
        "stop_while_starting",
        "group cancelled while a child is still initialising → it is stopped after it becomes ready, no leak",
        P,
    ),
    Row("P3", "start_deadline", "start deadline expires → only that child goes", P),
    Row("P4", "foreign_cancellation", "library-raised `CancelledError` in a child → crash, reported, restarted", P),
    Row(
        "P5",
        "exception_groups",
        "child ends in an ExceptionGroup → leaves listed; a group of clean stops is not a crash",
        P,
    ),
    Row("P6", "clean_up_error", "error raised in clean-up while being stopped → stop error, no restart", P),
    Row(
        "P7",
        "clean_up_outlives_grace",
        "clean-up outlives its grace → abandoned, named in health, next child still stopped",
        P,
    ),
    Row(
        "P8",
        "swallowed_cancellation",
        "child swallows cancellation → detected, abandoned; the supervisor still answers",
        P,
    ),
    Row("P9", "blocking_thread", "blocking thread in a child → stop bounded in time, thread named in the report", P),
    Row(
        "P10",
        "system_exit",
        "`SystemExit` / `KeyboardInterrupt` in a child → whole tree stops in order, exit code kept",
        P,
    ),
    Row(
        "P11",
        "impatient_stop",
        "second SIGTERM shortens the grace; third ends the process",
        P,
        "signals belong to the process, which calls `request_stop` again, or exits",
    ),
    Row(
        "P12",
        "restart_after_clean_up",
        "restart never begins before the previous incarnation's `finally` has ended (port still bound otherwise)",
        P,
    ),
    Row(
        "P13", "start_context", "restart asked for from an HTTP handler does not inherit that handler's Eliot action", P
    ),
    Row("P14", "incarnation_context", "two incarnations never share an action; incarnation number rises by one", P),
    Row("P15", "jitter", "jitter is reproducible from a seed; delay never leaves [0, cap] (property)", P),
    Row("P16", "backoff_reset", "backoff resets after `reset_after` up, not before", P),
    Row("P17", "quarantine", "quarantined child: others unaffected, reset works, budget not consumed", P),
    Row("P18", "reading_in_a_storm", "health snapshot readable 1,000 times/s during a restart storm, never blocks", P),
    Row("P19", "no_growth", "10,000 restarts: no growth in tasks, file descriptors, or retained tracebacks", P),
    Row("P20", "raising_hook", "supervisor's own bug (raising hook) fails loudly and stops children in order", P),
    Row(
        "R1",
        "test_supervision_panic_in_supervisor_handle",
        "supervisor crash while handling a child's crash ends the children",
        R,
    ),
    Row("R2", "linked_spawn_rejects_a_draining_supervisor", "a draining supervisor refuses new children", R),
    Row(
        "R3",
        "terminating_a_deep_supervision_tree_is_iterative",
        "a very deep tree stops without recursion: 2,048 levels on a small stack",
        R,
        "256 levels on a stack of 120 frames",
    ),
    Row("R4", "test_supervision_panic_in_post_stop", "failure in a child's stop hook is reported as a failure", R),
)

BY_ID: Final = {row.id: row for row in ROWS}
TESTS: Final[dict[str, list[str]]] = {}

_Test = TypeVar("_Test", bound=Callable[..., object])


def row(*ids: str) -> Callable[[_Test], _Test]:
    """Say which rows a test proves."""

    def remember(test: _Test) -> _Test:
        for one in ids:
            if BY_ID[one].taken == NONE:
                raise ValueError(f"row {one} is listed as one that does not apply")
            TESTS.setdefault(one, []).append(f"{test.__module__.rpartition('.')[2]}.{test.__name__}")
        return test

    return remember
