// Elements, made without any markup: what others wrote is only ever set as text.

/** An element with attributes, listeners (`on`) and children; null children are left out, others become text. */
export function element(name, attributes = {}, ...children) {
  return furnish(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function drawing(name, attributes = {}, ...children) {
  return furnish(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

/** Put other children into a place; the focus stays on what has the same `data-key`. */
export function fill(place, ...children) {
  const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  place.replaceChildren(...present(children));
  if (key !== undefined) place.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

/** A section under its own heading. */
export function section(title, ...children) {
  const heading = element("h2", { id: `heading-${title.toLowerCase().replaceAll(/\W+/g, "-")}` }, title);
  return element("section", { "aria-labelledby": heading.id }, heading, ...children);
}

/** A table with headers, or a sentence where there are no rows. Rows are lists of texts and elements. */
export function table(caption, headers, rows, empty) {
  if (rows.length === 0) return element("p", { class: "quiet" }, empty);
  const head = element("tr", {}, ...headers.map((text) => element("th", { scope: "col" }, text)));
  const body = rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell))));
  return element(
    "div", { class: "scroll", role: "group", "aria-label": caption, tabindex: "0" },
    element("table", {}, element("caption", { class: "unseen" }, caption), element("thead", {}, head),
      element("tbody", {}, ...body)),
  );
}

/** A button. `key` keeps the focus on it when its surroundings are made anew. */
export function button(text, press, { key = text, ...attributes } = {}) {
  return element("button", { type: "button", "data-key": key, ...attributes, on: { click: press } }, text);
}

/** A word with the colour of its meaning; the colour never says more than the word. */
export function badge(text, meaning = "") {
  return element("span", { class: `badge ${meaning}` }, text);
}

function furnish(made, { on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  for (const [name, listener] of Object.entries(on)) made.addEventListener(name, listener);
  made.append(...present(children));
  return made;
}

function present(children) {
  return children.filter((child) => child !== null && child !== undefined)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}
