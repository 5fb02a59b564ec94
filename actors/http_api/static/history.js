// All executions, newest first, a page at a time.

import { badge, button, element, fill, table } from "./element.js";
import { meaning, when, words } from "./wording.js";

const LIMIT = 50;
const CHOICES = [["", "all"], ["queued,preparing,steady_state,running,undoing", "under way"], ["finished", "finished"]];

export const EXECUTION_HEADERS = ["Scenario", "Started", "State", "Verdict", "Undo"];

export function executionRows(items) {
  return items.map((one) => [
    element("a", { href: `#/executions/${one.id}`, "data-key": one.id }, one.scenario),
    when(one.started_at ?? one.created_at),
    one.phase ? `${words(one.state)} (${one.phase})` : words(one.state),
    one.verdict === null ? "" : badge(words(one.verdict), meaning(one.verdict)),
    badge(one.undo, meaning(one.undo)),
  ]);
}

export async function history(place, { api, signal, failed }) {
  const found = [];
  const shown = element("div");
  const choice = element(
    "select", { id: "state", on: { change: () => load(null) } },
    ...CHOICES.map(([value, text]) => element("option", { value }, text)),
  );
  fill(place, element("p", { class: "row" }, element("label", { for: "state" }, "Show"), choice), shown);
  let asked = 0;
  const load = async (after) => {
    const turn = ++asked;
    const query = new URLSearchParams({ limit: LIMIT });
    if (choice.value) query.set("state", choice.value);
    if (after) query.set("after", after);
    try {
      const page = await api.get(`/executions?${query}`, signal);
      // The choice was changed while the answer was on its way.
      if (turn !== asked) return;
      if (!after) found.length = 0;
      found.push(...page.items);
      fill(
        shown, table("Executions", EXECUTION_HEADERS, executionRows(found), "None."),
        page.next ? button("Show older ones", () => load(page.next)) : null,
      );
    } catch (error) {
      if (!signal.aborted) failed(error);
    }
  };
  await load(null);
}
