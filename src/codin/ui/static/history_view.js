// The goals so far.

import { tasks } from "./api.js";
import { h, fill } from "./dom.js";
import { ago, brief, stateWord } from "./format.js";
import { plainState } from "./run.js";

export class HistoryView {
  #list;
  #more;
  #rows = [];
  #next = "";
  #current = null;

  constructor(list, more) {
    this.#list = list;
    this.#more = more;
    more.addEventListener("click", () => this.#older());
  }

  mark(taskId) {
    this.#current = taskId;
    this.#draw();
  }

  async refresh() {
    try {
      const page = await tasks();
      const known = new Set(page.tasks.map((row) => row.id));
      const older = this.#rows.slice(page.tasks.length).filter((row) => !known.has(row.id));
      this.#rows = [...page.tasks, ...older];
      if (!older.length) this.#next = page.next;
    } catch {
      return; // the next refresh comes; the run itself shows that the link is lost
    }
    this.#draw();
  }

  async #older() {
    const page = await tasks(this.#next).catch(() => null);
    if (!page) return;
    const known = new Set(this.#rows.map((row) => row.id));
    this.#rows.push(...page.tasks.filter((row) => !known.has(row.id)));
    this.#next = page.next;
    this.#draw();
  }

  #draw() {
    const rows = this.#rows.map((row) => entry(row, row.id === this.#current));
    fill(this.#list, rows.length ? rows : h("li", { class: "none" }, "No goals yet."));
    this.#more.hidden = !this.#next;
  }
}

function entry(row, current) {
  const state = plainState(row.state);
  return h(
    "li",
    {},
    h(
      "a",
      { href: `#/task/${encodeURIComponent(row.id)}`, "aria-current": current ? "page" : undefined, title: row.goal },
      h("span", { class: "words" }, brief(row.goal, 80) || row.id),
      h("span", { class: "under" }, h("span", { class: "chip small", "data-state": state }, stateWord(state)), h("span", { class: "time" }, ago(row.updated))),
    ),
  );
}
