// An execution's reports as files. They are downloaded, not opened: the token goes with the request, and what a page
// opens for itself would be bound by its own content policy.

import { PREFIX } from "./api.js";
import { button, element } from "./element.js";

const REPORT = `${PREFIX}/executions/{execution_id}/report`;
const ENDINGS = { markdown: "md", junit: "xml" };
const NAMES = { html: "HTML", json: "JSON", junit: "JUnit", markdown: "Markdown" };

/** A button for each format that this coordinator writes. */
export async function reports({ api, signal, failed, announce, name: id }, path) {
  const download = async (format) => {
    try {
      const response = await api.ask("GET", `${path}/report?format=${format}`, { signal });
      const address = URL.createObjectURL(await response.blob());
      element("a", { href: address, download: `report-${id}.${ENDINGS[format] ?? format}` }).click();
      URL.revokeObjectURL(address);
      announce(`The report is downloaded as ${NAMES[format] ?? format}.`);
    } catch (error) {
      if (!signal.aborted) failed(error);
    }
  };
  let formats = [];
  try {
    const document = await api.get("/openapi.json", signal);
    formats = document.paths[REPORT].get.parameters.find(({ name }) => name === "format").schema.enum;
  } catch (error) {
    if (!signal.aborted) failed(error);
  }
  return element("div", { class: "row" }, ...formats.map((format) => button(
    NAMES[format] ?? format, () => download(format), { "aria-label": `Download the report as ${NAMES[format] ?? format}` },
  )));
}
