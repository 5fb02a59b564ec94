// The library: every scenario that has a name.

import { badge, element, fill, table } from "./element.js";

export async function scenarios(place, { api, signal, failed }) {
  try {
    const { items } = await api.get("/scenarios", signal);
    const rows = items.map((one) => [
      one.valid ? element("a", { href: `#/scenarios/${encodeURIComponent(one.name)}` }, one.name) : one.name,
      one.valid ? one.description : badge("cannot be run", "bad"), one.tags.join(", "), one.built_in ? "built in" : "kept here",
    ]);
    fill(place, table("Scenarios", ["Name", "What it shows", "Tags", "From"], rows, "There are none."));
  } catch (error) {
    if (!signal.aborted) failed(error);
  }
}
