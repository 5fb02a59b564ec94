// The parts of the running process as a tree, with their health, and what an operator may do to one.

import { badge, button, element, fill, section } from "./element.js";
import { confirmed } from "./question.js";
import { repeat } from "./repetition.js";
import { meaning, when, words } from "./wording.js";

const EVERY_S = 2;
const RESETTABLE = ["quarantined", "backoff"];

export async function actors(place, { api, signal, failed, state, announce }) {
  const tree = element("div");
  fill(place, section("Actor tree", tree));
  const act = async (actor, verb) => {
    try {
      await api.post(`/actors/${encodeURIComponent(actor.id)}/${verb}`);
      announce(`${actor.id}: ${verb} done.`);
      await look();
    } catch (error) {
      if (!signal.aborted) failed(error);
    }
  };
  const restart = async (actor) => {
    const text = actor.critical ? `${actor.id} is critical: while it restarts, the coordinator is not healthy.`
      : `${actor.id} is stopped and started; the others go on.`;
    if (await confirmed(`Restart ${actor.id}?`, text, "Restart")) await act(actor, "restart");
  };
  const item = (actor) => {
    const trouble = actor.degraded ?? (actor.state === "running" ? null : actor.last_error);
    return element(
      "li", {},
      element(
        "div", { class: "row" },
        element("strong", {}, actor.id),
        badge(words(actor.state), meaning(actor.state)),
        actor.critical ? badge("critical") : null,
        element("span", { class: "quiet" }, `${actor.restarts} restarts, since ${when(actor.since)}`),
        button("Restart", () => restart(actor), { key: `restart ${actor.path}`, "aria-label": `Restart ${actor.id}` }),
        RESETTABLE.includes(actor.state)
          ? button("Reset", () => act(actor, "reset"), { key: `reset ${actor.path}`, "aria-label": `Reset ${actor.id}` })
          : null,
      ),
      trouble ? element("p", { class: "note warn" }, trouble) : null,
      actor.children.length > 0 ? element("ul", {}, ...actor.children.map(item)) : null,
    );
  };
  let last = "";
  const look = async () => {
    const { items } = await api.get("/actors", signal);
    const now = JSON.stringify(items);
    if (now === last) return;
    last = now;
    fill(tree, element("ul", { class: "tree" }, ...items.map(item)));
  };
  await repeat(EVERY_S, signal, state("actors"), look).catch(failed);
}
