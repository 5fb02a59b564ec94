// One execution: live while it runs, and afterwards what it came to.

import { Chart } from "./chart.js";
import { badge, button, element, fill, section, table } from "./element.js";
import { confirmed } from "./question.js";
import { repeat } from "./repetition.js";
import { reports } from "./reports.js";
import { Timeline } from "./timeline.js";
import { meaning, seconds, when, words } from "./wording.js";

const EVERY_S = 1;
const KEPT = 3000;
// The last samples may yet be amended by an answer that comes late: they are asked for again.
const AMENDED_S = 15;

export async function execution(place, context) {
  const { api, signal, failed, state, heading, announce, name: id } = context;
  const path = `/executions/${encodeURIComponent(id)}`;
  const timeline = new Timeline();
  const probes = new Probes(api, path, signal);
  const parts = { facts: element("div"), faults: element("div"), assertions: element("div") };
  const stop = button("Stop and undo", () => stopIt(), { class: "red" });
  stop.hidden = true;
  const stopIt = async () => {
    const sure = await confirmed("Stop this execution?", "It ends now as aborted, and its faults are undone.", "Stop and undo");
    if (!sure) return;
    try {
      await api.delete(path);
      announce("It is being stopped.");
    } catch (error) {
      failed(error);
    }
  };
  fill(
    place,
    element("section", { "aria-label": "State" }, parts.facts, element("div", { class: "row" }, stop)),
    section("Probes", probes.element), section("Faults", parts.faults), section("Assertions", parts.assertions),
    section("Timeline", timeline.element), section("Reports", await reports(context, path)),
  );
  let ended = false;
  const look = async () => {
    const found = await api.get(path, signal);
    ended = found.state === "finished";
    heading.textContent = found.scenario;
    stop.hidden = ended;
    fill(parts.facts, facts(found), found.reason ? element("p", { class: "note warn" }, found.reason) : null);
    fill(parts.faults, faultTable(found));
    fill(parts.assertions, assertionTable(found));
    await probes.look(found);
    return ended;
  };
  const watching = repeat(EVERY_S, signal, state("execution"), look);
  const following = timeline.follow(api, path, signal, state("events"));
  await Promise.all([watching, following]).catch((error) => {
    if (!signal.aborted) failed(error);
  });
  if (ended && !signal.aborted) announce("The execution is finished.");
}

/** The charts of all probes, fed with what is new. */
class Probes {
  #api;
  #path;
  #signal;
  #charts = new Map();
  #samples = new Map();
  #list = element("div");
  #trouble = element("div");

  constructor(api, path, signal) {
    this.#api = api;
    this.#path = path;
    this.#signal = signal;
    this.element = element(
      "div", {},
      element("p", { class: "legend" }, "Curve: latency. Marks at the bottom: failures. Shaded: a fault was on."),
      this.#list, this.#trouble,
    );
  }

  async look(found) {
    const seen = Math.max(-1, ...[...this.#samples.values()].map((samples) => samples.at(-1)?.[0] ?? -1));
    const after = Math.max(-1, seen - AMENDED_S);
    const { probes } = await this.#api.get(`${this.#path}/samples?after_s=${after}&limit=${KEPT}`, this.#signal);
    const windows = windowsOf(found);
    for (const [name, { samples }] of Object.entries(probes)) {
      const older = (this.#samples.get(name) ?? []).filter(([offset]) => offset <= after);
      this.#samples.set(name, [...older, ...samples].slice(-KEPT));
      if (!this.#charts.has(name)) {
        this.#charts.set(name, new Chart(name));
        this.#list.append(this.#charts.get(name).element);
      }
      this.#charts.get(name).draw(this.#samples.get(name), windows);
    }
    const late = Object.entries(found.progress?.probes ?? {}).filter(([, one]) => one.last_error || one.late > 0);
    fill(this.#trouble, ...late.map(([name, one]) => element(
      "p", { class: "quiet" }, `${name}: ${one.late} late${one.last_error ? `; last error: ${one.last_error}` : ""}`,
    )));
  }
}

/** From when to when each fault was on, in seconds from the start. */
function windowsOf({ faults, timeline }) {
  if (timeline.length === 0) return [];
  const start = Date.parse(timeline[0].at) - 1000 * timeline[0].offset_s;
  const offset = (stamp) => (Date.parse(stamp) - start) / 1000;
  return faults.flatMap((fault) => fault.targets)
    .filter((target) => target.effective_at)
    .map((target) => [offset(target.effective_at), target.undone_at ? offset(target.undone_at) : Infinity]);
}

function facts(found) {
  const remaining = found.progress?.remaining_s;
  const shown = [
    ["State", badge(words(found.state), meaning(found.state))],
    ["Phase", found.state === "finished" ? "" : found.phase ?? ""],
    ["Left of the phase", remaining === null || remaining === undefined ? "" : `${Math.ceil(remaining)} s`],
    ["Verdict", found.verdict ? badge(words(found.verdict), meaning(found.verdict)) : ""],
    ["Undo", badge(found.undo, meaning(found.undo))],
    ["Started", when(found.started_at)], ["Finished", when(found.finished_at)], ["Seed", found.seed],
    ["Targets", Object.values(found.targets).flat().map(({ name }) => name).join(", ")],
  ].filter(([, value]) => value !== "");
  return element("dl", { class: "facts" }, ...shown.map(([name, value]) => element(
    "div", {}, element("dt", {}, name), element("dd", {}, value),
  )));
}

function faultTable({ faults, timeline }) {
  const start = timeline.length > 0 ? Date.parse(timeline[0].at) - 1000 * timeline[0].offset_s : null;
  const at = (stamp) => (stamp && start !== null ? seconds((Date.parse(stamp) - start) / 1000) : "");
  const rows = faults.flatMap((fault) => fault.targets.map((target) => [
    words(fault.type), target.name, badge(words(fault.state), meaning(fault.state)), at(fault.due_at),
    at(target.effective_at), at(target.undone_at), target.outcome,
  ]));
  return table("Faults", ["Fault", "Container", "State", "Due", "Effective", "Undone", "Outcome"], rows, "None yet.");
}

function assertionTable({ assertions }) {
  const rows = assertions.map((one) => [
    badge(one.passed ? "passed" : "failed", one.passed ? "good" : "bad"), one.phase, one.on, words(one.metric),
    one.expected, one.actual,
  ]);
  return table("Assertions", ["Result", "Phase", "On", "Metric", "Expected", "Actual"], rows, "None judged yet.");
}
