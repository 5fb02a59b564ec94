// What is going on now: executions under way, faults that are outstanding, and what was last done.

import { badge, button, element, fill, section, table } from "./element.js";
import { executionRows, EXECUTION_HEADERS } from "./history.js";
import { repeat } from "./repetition.js";
import { meaning, when, words } from "./wording.js";

const EVERY_S = 2;
const RECENT = 5;

export async function overview(place, { api, signal, failed, state, announce }) {
  const faults = element("div");
  const executions = element("div");
  fill(
    place, section("Outstanding faults", faults), section("Latest executions", executions),
    element("p", {}, element("a", { href: "#/scenarios" }, "Choose a scenario and run it")),
  );
  const undo = async (fault) => {
    try {
      const answer = await api.delete(`/faults/${fault.id}`);
      const why = answer.failed[fault.id];
      announce(why ? `Could not be undone: ${why}` : `${words(fault.type)} is undone.`);
      await look();
    } catch (error) {
      failed(error);
    }
  };
  let shown = "";
  const look = async () => {
    const [outstanding, latest] = await Promise.all([
      api.get("/faults", signal), api.get(`/executions?limit=${RECENT}`, signal),
    ]);
    const now = JSON.stringify([outstanding, latest.items.map(({ id, state: at, phase }) => [id, at, phase])]);
    if (now === shown) return;
    shown = now;
    const rows = outstanding.items.map((fault) => [
      words(fault.type), fault.targets.map(({ name }) => name).join(", "), badge(words(fault.state), meaning(fault.state)),
      when(fault.fired_at ?? fault.armed_at),
      element("a", { href: `#/executions/${fault.execution_id}`, "data-key": `execution ${fault.id}` }, "execution"),
      button("Undo", () => undo(fault), {
        key: fault.id, "aria-label": `Undo ${words(fault.type)} on ${fault.targets.map(({ name }) => name).join(", ")}`,
      }),
    ]);
    fill(faults, table(
      "Outstanding faults", ["Fault", "Targets", "State", "Since", "Of", "Undo"], rows,
      "None: everything is as it was.",
    ));
    fill(executions, table("Latest executions", EXECUTION_HEADERS, executionRows(latest.items), "None yet."));
  };
  await repeat(EVERY_S, signal, state("overview"), look).catch(failed);
}
