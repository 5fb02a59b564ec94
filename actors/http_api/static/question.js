// A question before what cannot be taken back. Escape means no, and no has the focus.

import { element } from "./element.js";

/** Whether the person says yes. */
export function confirmed(title, text, yes) {
  return new Promise((answered) => {
    const dialog = element(
      "dialog", { "aria-labelledby": "question", "aria-describedby": "question-text" },
      element("h2", { id: "question" }, title),
      element("p", { id: "question-text" }, text),
      element(
        "form", { method: "dialog", class: "row" },
        element("button", { value: "no", autofocus: true }, "No, go back"),
        element("button", { value: "yes", class: "red" }, yes),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      answered(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
