// A plan in words and tables: what would be hit, when, by which command, and how it is undone.

import { element, table } from "./element.js";
import { seconds, words } from "./wording.js";

/** The parts of a plan, in the order a person decides by. */
export function planView(plan) {
  const targets = Object.entries(plan.targets).map(([name, found]) => [name, found.map((one) => one.name).join(", ")]);
  const faults = plan.faults.map((fault) => [
    fault.round > 1 ? `${fault.phase}, round ${fault.round}` : fault.phase, words(fault.type), fault.target,
    seconds(fault.at_s), fault.lasts_s === null ? "to the end of the phase" : seconds(fault.lasts_s),
    `${fault.mechanism}; undo: ${fault.undo_text}`,
  ]);
  return [
    ...plan.refusals.map((text) => element("p", { class: "note bad", role: "alert" }, `Refused: ${text}`)),
    ...plan.warnings.map((text) => element("p", { class: "note warn" }, text)),
    element("h3", {}, "Targets"),
    table("Targets of the plan", ["Target", "Containers"], targets, "It has no targets."),
    element("h3", {}, "Faults"),
    table("Faults of the plan", ["Phase", "Fault", "Target", "After", "Lasts", "How"], faults, "It breaks nothing."),
    element(
      "details", {}, element("summary", {}, "Commands"),
      element("pre", { tabindex: "0" }, plan.faults.flatMap(commands).join("\n") || "none"),
    ),
    element("p", { class: "quiet" },
      `Plan ${plan.hash}, seed ${plan.seed}; undoing all takes about ${seconds(plan.estimated_undo_s)}.`),
  ];
}

function commands(fault) {
  return fault.plan.targets.flatMap((target) => [
    `${target.name}`,
    `  inject  ${line(target.inject)}`,
    `  undo    ${target.undo ? line(target.undo.command) : "none"}`,
  ]);
}

function line(command) {
  return command?.argv ? `docker ${command.argv.join(" ")}` : JSON.stringify(command);
}
