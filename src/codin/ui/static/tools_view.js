// The tools that agents can be given: all of them, or those that fit some words.

import { tools } from "./api.js";
import { fill, h } from "./dom.js";
import { brief, json } from "./format.js";

const PAUSE_MS = 200;

export class ToolsView {
  #box = h("input", {
    id: "search", type: "search", maxLength: 1000, autocomplete: "off", spellcheck: false,
    placeholder: "Search: add a comment to an issue", oninput: () => this.#soon(),
  });
  #count = h("p", { role: "status" });
  #problem = h("p", { class: "notice bad", role: "alert", hidden: true });
  #list = h("ul", { "aria-label": "Tools" });
  #more = h("button", { type: "button", class: "quiet wide", hidden: true, onclick: () => this.#ask(this.#next) }, "More tools");
  #asked = "";
  #next = "";
  #turn = 0;
  #timer = 0;

  constructor() {
    this.element = h(
      "section",
      { class: "tools", "aria-label": "Tools of the platform" },
      h("h1", {}, "Tools"),
      h("label", { class: "unseen", htmlFor: "search" }, "Search tools"),
      this.#box, this.#count, this.#problem, this.#list, this.#more,
    );
    this.#ask();
  }

  focus() {
    this.#box.focus({ preventScroll: true });
  }

  close() {
    clearTimeout(this.#timer);
    this.#turn += 1;
  }

  #soon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#box.value.trim() === this.#asked || this.#ask(), PAUSE_MS);
  }

  /** Show the first page for the words in the box, or add the page `next` to what is shown. */
  async #ask(next = "") {
    const turn = ++this.#turn; // an answer that comes after the next question is nobody's
    const words = next ? this.#asked : this.#box.value.trim();
    this.#asked = words;
    try {
      const page = await tools(words, next);
      if (turn !== this.#turn) return;
      this.#problem.hidden = true;
      this.#draw(page, words, Boolean(next));
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#problem.textContent = error.message;
      this.#problem.hidden = false;
    }
  }

  #draw(page, words, added) {
    const rows = page.tools.map(row);
    if (added) this.#list.append(...rows);
    else fill(this.#list, rows);
    this.#next = page.next;
    this.#more.hidden = !page.next;
    this.#count.textContent = counted(this.#list.children.length, page.total, words);
  }
}

function counted(shown, total, words) {
  if (!total) return words ? `No tool fits “${brief(words, 60)}”.` : "There are no tools.";
  const all = `${total.toLocaleString("en")} ${total === 1 ? "tool" : "tools"}`;
  const some = shown.toLocaleString("en");
  // one common word in it makes a tool fit: how many do says little
  if (shown < total) return words ? `The ${some} that fit best` : `${all}, the first ${some} are shown`;
  return words ? `${all} with these words, the best first` : all;
}

function row(tool) {
  const [first, ...more] = tool.description.split("\n");
  const kind = [tool.origin, tool.version === "1" ? null : `version ${tool.version}`, tool.trusted ? "trusted" : null];
  const rest = more.join("\n").trim();
  return h(
    "li",
    {},
    h("div", { class: "head" }, h("b", {}, tool.name), h("span", { class: "time" }, kind.filter(Boolean).join(" · "))),
    h("p", {}, first),
    h(
      "details",
      {},
      h("summary", {}, named(tool.input_schema)),
      rest ? h("p", { class: "plain" }, rest) : null,
      h("pre", { tabIndex: 0, "aria-label": `Arguments of ${tool.name}` }, json(tool.input_schema)),
    ),
  );
}

/** The names of the arguments; those that may be left out with a question mark. */
function named(schema) {
  const required = new Set(schema.required ?? []);
  const names = Object.keys(schema.properties ?? {}).map((name) => (required.has(name) ? name : `${name}?`));
  return names.length ? brief(names.join(", "), 120) : "no arguments";
}
