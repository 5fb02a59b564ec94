// The engine's containers, and why each may or may not be a target.

import { badge, element, fill, table } from "./element.js";
import { repeat } from "./repetition.js";

const EVERY_S = 5;

export async function containers(place, { api, signal, failed, state }) {
  const shown = element("div");
  fill(place, shown);
  let last = "";
  await repeat(EVERY_S, signal, state("containers"), async () => {
    const { items } = await api.get("/containers", signal);
    const now = JSON.stringify(items);
    if (now === last) return;
    last = now;
    const rows = items.map(({ container, why_not: whyNot }) => [
      container.name, container.image, container.health ? `${container.state} (${container.health})` : container.state,
      whyNot === null ? badge("yes", "good") : badge("no"), whyNot ?? "nothing is against it",
    ]);
    fill(shown, table(
      "Containers", ["Name", "Image", "State", "May be a target", "Why"], rows, "The engine has no containers.",
    ));
  }).catch(failed);
}
