// A probe's latency as a curve, its failures as marks, and the time in which a fault was on as a shade.

import { drawing, element, fill } from "./element.js";
import { milliseconds, seconds } from "./wording.js";

const WIDTH = 600;
const HEIGHT = 100;
const MARK = 10;

export class Chart {
  #name;
  #svg = drawing("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  #summary = element("figcaption");
  #axis = element("div", { class: "axis" });

  constructor(name) {
    this.#name = name;
    this.element = element("figure", { class: "chart" }, this.#summary, this.#svg, this.#axis);
  }

  /** Samples are `[offset_s, ok, latency_s, value]`, windows `[from_s, to_s]`. */
  draw(samples, windows) {
    if (samples.length === 0) return;
    const [from, to] = [samples[0][0], Math.max(samples.at(-1)[0], samples[0][0] + 1)];
    const highest = Math.max(0.001, ...samples.map(([, ok, latency]) => (ok && latency !== null ? latency : 0)));
    const x = (offset) => round(((Math.min(Math.max(offset, from), to) - from) / (to - from)) * WIDTH);
    const y = (latency) => round(HEIGHT - MARK - (latency / highest) * (HEIGHT - 2 * MARK));
    const misses = columns(samples.filter(([, ok]) => !ok), x);
    const shown = windows.filter(([begin, end]) => end >= from && begin <= to);
    fill(
      this.#svg,
      ...shown.map(([begin, end]) => drawing("rect", {
        class: "fault", x: x(begin), y: 0, width: Math.max(1, round(x(end) - x(begin))), height: HEIGHT,
      })),
      drawing("path", { class: "curve", d: curve(samples, x, y) }),
      drawing("path", { class: "miss", d: misses.map((at) => `M${at} ${HEIGHT - MARK}V${HEIGHT}`).join("") }),
    );
    const good = samples.filter(([, ok]) => ok).length;
    const text = `${good} of ${samples.length} good, up to ${milliseconds(highest)}`;
    this.#svg.setAttribute("aria-label", `${this.#name}: ${text}`);
    fill(this.#summary, element("strong", {}, this.#name), ` ${text}`);
    fill(this.#axis, element("span", {}, seconds(from)), element("span", {}, seconds(to)));
  }
}

// The highest latency of each column of pixels; a failure breaks the curve.
function curve(samples, x, y) {
  const path = [];
  let pen = "M";
  let column = null;
  for (const [offset, ok, latency] of samples) {
    if (!ok || latency === null) {
      pen = "M";
      column = null;
      continue;
    }
    const at = Math.floor(x(offset));
    if (column !== null && column.at === at) {
      column.latency = Math.max(column.latency, latency);
    } else {
      column = { at, latency, pen };
      path.push(column);
      pen = "L";
    }
  }
  return path.map(({ at, latency, pen: move }) => `${move}${at} ${y(latency)}`).join("");
}

function columns(samples, x) {
  return [...new Set(samples.map(([offset]) => Math.floor(x(offset))))];
}

function round(value) {
  return Math.round(10 * value) / 10;
}
