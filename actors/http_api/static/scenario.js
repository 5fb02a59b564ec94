// One scenario: a form for its variables, then the plan, and only then the button that runs exactly this plan.

import { button, element, fill, section } from "./element.js";
import { planView } from "./plan.js";

export async function scenario(place, { api, signal, failed, announce, heading, name }) {
  heading.textContent = name;
  let details;
  try {
    details = await api.get(`/scenarios/${encodeURIComponent(name)}`, signal);
  } catch (error) {
    if (!signal.aborted) failed(error);
    return;
  }
  const planned = element("div");
  const hints = commentsOf(details.source);
  const fields = Object.entries(details.variables).map(([key, value]) => field(key, value, hints.get(key)));
  const seed = field("seed", "", "Whole number; the same one draws the same targets. Empty: a new one.", true);
  const values = () => Object.fromEntries(fields.map(({ key, input }) => [key, input.value]));
  let turn = 0;
  // A plan is of the values it was made with: with others it is gone.
  const clear = () => {
    turn += 1;
    fill(planned);
  };
  const plan = async (event) => {
    event.preventDefault();
    clear();
    place.querySelector(":scope > .failure")?.remove();
    const mine = turn;
    const body = { scenario: name, variables: values(), ...seedOf(seed.input.value) };
    try {
      const found = await api.post("/executions", { ...body, dry_run: true });
      if (mine !== turn || signal.aborted) return;
      show(found, body);
    } catch (error) {
      if (mine === turn) failed(error);
    }
  };
  const show = (found, body) => {
    const title = element("h2", { tabindex: "-1", id: "plan" }, "Plan");
    const run = button("Run this plan", () => start(found, body, run), { class: "primary" });
    run.disabled = found.refusals.length > 0;
    fill(planned, element("section", { "aria-labelledby": "plan" }, title, ...planView(found), run));
    title.focus();
    announce(found.refusals.length > 0 ? "The plan is refused." : "The plan is ready.");
  };
  const start = async (found, body, run) => {
    run.disabled = true;
    const key = [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, "0")).join("");
    try {
      const begun = await api.post(
        "/executions", { ...body, seed: found.seed, expect_plan: found.hash }, { "Idempotency-Key": key },
      );
      location.hash = `#/executions/${begun.id}`;
    } catch (error) {
      clear();
      failed(error);
    }
  };
  const form = element(
    "form", { on: { submit: plan, input: clear } },
    ...fields.map(({ row }) => row), seed.row,
    element("button", { type: "submit", class: "primary" }, "Show the plan"),
  );
  fill(
    place, element("p", {}, details.description), section("Variables", form), planned,
    section("Text", element("details", {}, element("summary", {}, "The scenario as it is written"),
      element("pre", { tabindex: "0" }, details.source))),
  );
}

function field(key, value, hint, number = false) {
  const id = `variable-${key}`;
  const numeric = number || /^\d+$/.test(value);
  const input = element("input", {
    id, value, type: "text", autocomplete: "off", spellcheck: "false", inputmode: numeric ? "numeric" : null,
    pattern: number ? "-?[0-9]{1,15}" : null, title: number ? "A whole number of up to 15 digits" : null,
    "aria-describedby": hint ? `${id}-hint` : null,
  });
  const row = element(
    "div", { class: "field" }, element("label", { for: id }, key), input,
    hint ? element("p", { class: "hint", id: `${id}-hint` }, hint) : null,
  );
  return { key, input, row };
}

function seedOf(text) {
  return text.trim() === "" ? {} : { seed: Number(text) };
}

/** What is written behind each variable in the scenario's text. */
export function commentsOf(source) {
  const found = new Map();
  let inside = false;
  for (const line of source.split("\n")) {
    if (/^\S/.test(line) && !line.startsWith("#")) inside = /^variables:/.test(line);
    const match = inside ? /^\s+([\w-]+):.*?\s#\s+(.+)$/.exec(line) : null;
    if (match) found.set(match[1], match[2]);
  }
  return found;
}
