// Server-Sent Events read by fetch, since an EventSource cannot send the token. Resumes where it was cut.

import { Problem } from "./api.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
// The server sends a comment every 15 s: a connection that is silent for longer is dead.
const SILENCE_MS = 40_000;

/** All events of a stream, each once, until its `end`. `state` is told "connected", or why it is not. */
export async function* events(api, path, signal, state) {
  let last = "";
  let wait = FIRST_WAIT_MS;
  while (!signal.aborted) {
    try {
      for await (const event of connection(api, path, last, signal, state)) {
        if (event.name === "end") return;
        last = event.id;
        wait = FIRST_WAIT_MS;
        yield event;
      }
    } catch (error) {
      if (signal.aborted) return;
      // What the server says for good, as an unknown id, is no reason to ask again.
      if (error instanceof Problem && error.status < 500) throw error;
      if (!(error instanceof Problem || error instanceof TypeError || error instanceof DOMException)) throw error;
    }
    if (signal.aborted) return;
    state(`Disconnected: trying again in ${Math.round(wait / 100) / 10} s.`);
    await pause(wait, signal);
    wait = Math.min(2 * wait, LONGEST_WAIT_MS);
  }
}

async function* connection(api, path, last, signal, state) {
  const silence = new AbortController();
  const either = AbortSignal.any([signal, silence.signal]);
  const headers = last === "" ? {} : { "Last-Event-ID": last };
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const response = await api.ask("GET", path, { headers, signal: either });
    state("connected");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = parsed(block);
        if (event !== null) yield event;
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

/** The event of one block; null for a comment. */
export function parsed(block) {
  const event = { id: "", name: "message", data: "" };
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    const name = line.slice(0, at);
    const value = line.slice(at + 1).replace(/^ /, "");
    if (name === "id") event.id = value;
    if (name === "event") event.name = value;
    if (name === "data") event.data += value;
  }
  return event.data === "" ? null : event;
}

function pause(milliseconds, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
  });
}
