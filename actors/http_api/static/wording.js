// How values are worded: times, durations, and which words are good news.

const MEANINGS = {
  good: ["healthy", "running", "passed", "complete", "undone", "yes", "ready"],
  bad: ["unhealthy", "failed", "error", "incomplete", "stuck", "quarantined", "abandoned"],
  warn: ["degraded", "aborted", "not_injected", "active", "fired", "armed", "undoing", "backoff", "pending"],
};

/** good, bad, warn or nothing. */
export function meaning(word) {
  return Object.keys(MEANINGS).find((name) => MEANINGS[name].includes(word)) ?? "";
}

export function words(name) {
  return name.replaceAll("_", " ");
}

/** A point in time in the watcher's own zone. */
export function when(stamp) {
  return stamp ? new Date(stamp).toLocaleString() : "";
}

export function seconds(value) {
  return value === null || value === undefined ? "" : `${Number(value.toFixed(value < 10 ? 2 : 1))} s`;
}

export function milliseconds(value) {
  return `${Number((1000 * value).toPrecision(3))} ms`;
}
