// The token: asked for once, kept until the tab is closed or it is forgotten, and never put into an address.

import { element } from "./element.js";

const KEY = "test-coordinator.token";

export const token = {
  get: () => sessionStorage.getItem(KEY),
  keep: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

/** The form that asks for it; `why` says what was wrong with the last one. */
export function tokenForm(why, given) {
  const input = element("input", {
    id: "token", type: "password", autocomplete: "off", required: true, spellcheck: "false",
    "aria-describedby": "token-hint",
  });
  const submit = (event) => {
    event.preventDefault();
    if (input.value.trim() !== "") given(input.value.trim());
  };
  return element(
    "section", { "aria-label": "Token" },
    element("h1", {}, "Which token?"),
    why ? element("p", { class: "note bad", role: "alert" }, why) : null,
    element(
      "form", { on: { submit } },
      element(
        "div", { class: "field" },
        element("label", { for: "token" }, "Token"),
        input,
        element("p", { class: "hint", id: "token-hint" },
          "It is in the file api-token in the coordinator's DATA_DIR, unless API_TOKEN was set. ",
          "This tab keeps it until it is closed."),
      ),
      element("button", { type: "submit", class: "primary" }, "Use this token"),
    ),
  );
}
