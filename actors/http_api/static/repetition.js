// Looking again and again: one look at a time, with a pause between, none while nobody watches.

import { Problem } from "./api.js";

const PATIENCE_MS = 5000;

/** Repeat a look until it returns true or the signal ends it. `state` is told "connected", or why it is not. */
export async function repeat(seconds, signal, state, look) {
  while (!signal.aborted) {
    let wait = seconds * 1000;
    try {
      if (!document.hidden) {
        const done = await look();
        if (signal.aborted) return;
        state("connected");
        if (done === true) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.status < 500) throw error;
      if (!(error instanceof Problem || error instanceof TypeError)) throw error;
      state(error instanceof Problem ? error.message : "Disconnected: the coordinator does not answer.");
      wait = Math.max(wait, PATIENCE_MS);
    }
    await new Promise((again) => {
      const timer = setTimeout(again, wait);
      signal.addEventListener("abort", () => { clearTimeout(timer); again(); }, { once: true });
    });
  }
}
