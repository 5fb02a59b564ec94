// What happened in an execution, line by line as it happens; told aloud to whoever listens.

import { element } from "./element.js";
import { events } from "./stream.js";
import { words } from "./wording.js";

export class Timeline {
  #list = element("ol");

  constructor() {
    this.element = element(
      "div", { class: "timeline", role: "log", "aria-label": "Timeline", "aria-live": "polite", tabindex: "0" },
      this.#list,
    );
  }

  /** Show events until the last one has come. */
  async follow(api, path, signal, state) {
    for await (const { data } of events(api, `${path}/events`, signal, state)) this.#add(JSON.parse(data));
    state("connected");
  }

  #add(entry) {
    const text = [entry.phase, entry.target, entry.text].filter(Boolean).join(" · ");
    const box = this.element;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 8;
    this.#list.append(element(
      "li", {}, element("span", { class: "at" }, `${entry.offset_s.toFixed(1)} s`),
      element("span", {}, element("strong", {}, words(entry.event)), text ? ` ${text}` : ""),
    ));
    // Whoever has scrolled back to read is left there.
    if (atEnd) box.scrollTop = box.scrollHeight;
  }
}
