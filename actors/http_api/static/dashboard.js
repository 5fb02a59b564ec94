// The page as a whole: which view the address asks for, who is asked, and what is said to whoever watches.

import { actors } from "./actors.js";
import { Api, sentence } from "./api.js";
import { containers } from "./containers.js";
import { element, fill } from "./element.js";
import { execution } from "./execution.js";
import { history } from "./history.js";
import { overview } from "./overview.js";
import { confirmed } from "./question.js";
import { repeat } from "./repetition.js";
import { scenario } from "./scenario.js";
import { scenarios } from "./scenarios.js";
import { token, tokenForm } from "./token.js";
import { meaning } from "./wording.js";

const HEALTH_EVERY_S = 5;
const VIEWS = [
  [/^#\/$/, overview, "Overview"],
  [/^#\/scenarios$/, scenarios, "Scenarios"],
  [/^#\/scenarios\/([^/]+)$/, scenario, "Scenario"],
  [/^#\/executions$/, history, "History"],
  [/^#\/executions\/([^/]+)$/, execution, "Execution"],
  [/^#\/containers$/, containers, "Containers"],
  [/^#\/actors$/, actors, "Actors"],
];

const instance = document.title;
const main = document.querySelector("#main");
const connection = document.querySelector("#connection");
const announcement = document.querySelector("#announcement");
const red = document.querySelector("#red");
const forget = document.querySelector("#forget");
let leaving = new AbortController();

/** Say something to whoever listens, without moving the focus. */
function announce(text) {
  announcement.textContent = text;
}

function ask(why) {
  leave();
  red.hidden = true;
  forget.hidden = true;
  fill(main, tokenForm(why, (given) => {
    token.keep(given);
    show();
  }));
  main.querySelector("input").focus();
}

function leave() {
  leaving.abort();
  leaving = new AbortController();
  connection.textContent = "";
}

function makeApi() {
  return new Api(token.get(), () => {
    token.forget();
    ask("This is not the token: the coordinator did not take it. Look it up and try again.");
  });
}

async function show() {
  const address = location.hash || "#/";
  // The link that skips to the content is not a place of its own.
  if (!address.startsWith("#/")) return;
  if (token.get() === null) {
    ask("");
    return;
  }
  leave();
  red.hidden = false;
  forget.hidden = false;
  const signal = leaving.signal;
  const found = VIEWS.map(([pattern, view, title]) => ({ match: pattern.exec(address), view, title }))
    .find(({ match }) => match !== null) ?? { match: [], view: overview, title: "Overview" };
  mark(address);
  const heading = element("h1", { tabindex: "-1" }, found.title);
  const place = element("div");
  fill(main, heading, place);
  heading.focus({ preventScroll: true });
  scrollTo(0, 0);
  document.title = `${found.title}: ${instance}`;
  const states = new Map();
  await found.view(place, {
    api: makeApi(),
    signal,
    announce,
    heading,
    name: found.match[1] === undefined ? "" : decodeURIComponent(found.match[1]),
    failed: (error) => fail(place, error, signal),
    // Each source of a view tells how it is; the first that is not connected is shown.
    state: (source) => (text) => {
      if (signal.aborted) return;
      states.set(source, text);
      connection.textContent = [...states.values()].find((one) => one !== "connected") ?? "";
    },
  });
}

/** Say what went wrong, above what is there. */
function fail(place, error, signal) {
  if (signal.aborted) return;
  const text = sentence(error);
  place.querySelector(":scope > .failure")?.remove();
  place.prepend(element("p", { class: "note bad failure", role: "alert" }, text));
}

function mark(address) {
  for (const link of document.querySelectorAll("nav a")) {
    const own = link.getAttribute("href");
    if (own === "#/" ? address === own : address.startsWith(own)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

async function pressRed() {
  const sure = await confirmed(
    "Stop everything?",
    "All executions are stopped and all outstanding faults are undone, now.",
    "Stop everything, undo all",
  );
  if (!sure) {
    red.focus();
    return;
  }
  red.disabled = true;
  announce("Stopping and undoing.");
  try {
    const { undone, failed } = await makeApi().delete("/faults");
    const left = Object.entries(failed);
    const text = `Undone: ${undone.length}. Could not be undone: ${left.length}.`;
    const lines = [text, ...left.map(([id, why]) => `${id}: ${why}`)].join("\n");
    main.querySelector(".pressed")?.remove();
    main.prepend(element("p", { class: `note pressed ${left.length > 0 ? "bad" : "good"}`, role: "alert" }, lines));
  } catch (error) {
    fail(main, error, leaving.signal);
  } finally {
    red.disabled = false;
  }
}

async function watchHealth() {
  const badge = document.querySelector("#health");
  const told = (text) => {
    if (badge.textContent === text) return;
    badge.textContent = text;
    badge.className = `badge ${meaning(text)}`;
  };
  const never = new AbortController().signal;
  await repeat(HEALTH_EVERY_S, never, (text) => { if (text !== "connected") told("no answer"); }, async () => {
    // Unhealthy is answered with 503, and is an answer.
    const response = await fetch("/api/v1/health", { cache: "no-store", credentials: "omit" });
    told((await response.json()).status);
  });
}

red.addEventListener("click", pressRed);
forget.addEventListener("click", () => {
  token.forget();
  ask("");
  announce("The token is forgotten.");
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", show);
show();
watchHealth();
