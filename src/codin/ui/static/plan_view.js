// The plan: steps side by side where they can run together, one below the other where they wait.

import { fill, h } from "./dom.js";
import { brief, duration, stateWord } from "./format.js";

export class PlanView {
  element = h("ol", { class: "plan", "aria-label": "Steps" });
  #cards = new Map();
  #shape = "";

  draw(run, now) {
    const steps = run.plan?.steps ?? [];
    const shape = JSON.stringify(steps.map((step) => [step.id, step.needs]));
    if (shape !== this.#shape) this.#build(steps);
    this.#shape = shape;
    for (const step of steps) this.#update(step, run.steps.get(step.id), now);
  }

  #build(steps) {
    this.#cards = new Map(steps.map((step) => [step.id, card(step)]));
    const rows = layers(steps).map((row) =>
      h("li", { class: "row" }, h("ol", { class: "steps" }, row.map((step) => this.#cards.get(step.id).element))),
    );
    fill(this.element, rows);
  }

  #update(step, status, now) {
    const { element, state, time, error } = this.#cards.get(step.id);
    element.dataset.state = status.state;
    const items = status.items === undefined ? "" : `, ${status.done.size} of ${status.items} items`;
    state.textContent = stateWord(status.state) + (status.attempt > 1 ? ` (attempt ${status.attempt})` : "") + items;
    time.textContent = status.start ? duration((status.end || now) - status.start) : "";
    error.textContent = brief(status.error, 300);
    error.hidden = !status.error;
  }
}

function card(step) {
  const state = h("span", { class: "state" });
  const time = h("span", { class: "time" });
  const error = h("p", { class: "error", hidden: true });
  const needs = (step.needs ?? []).length ? h("p", { class: "needs" }, `after ${step.needs.join(", ")}`) : null;
  const element = h(
    "li",
    { class: "step" },
    h("div", { class: "head" }, h("span", { class: "dot", "aria-hidden": "true" }), h("strong", {}, step.agent), time),
    h("p", { class: "what", title: step.instruction }, brief(step.title || step.instruction, 220)),
    h("div", { class: "foot" }, state, needs),
    error,
  );
  return { element, state, time, error };
}

/** Steps by how many steps lie before them. A plan has no circles: the platform checked. */
function layers(steps) {
  const byId = new Map(steps.map((step) => [step.id, step]));
  const depths = new Map();
  const depth = (id) => {
    if (!depths.has(id)) {
      depths.set(id, 0); // so that even a circle ends
      const before = (byId.get(id)?.needs ?? []).filter((need) => byId.has(need)).map(depth);
      depths.set(id, before.length ? Math.max(...before) + 1 : 0);
    }
    return depths.get(id);
  };
  const rows = [];
  for (const step of steps) (rows[depth(step.id)] ??= []).push(step);
  return rows.filter(Boolean);
}
