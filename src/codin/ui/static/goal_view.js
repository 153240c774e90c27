// Where a goal is given.

import { agents, submit } from "./api.js";
import { fill, h } from "./dom.js";

export class GoalView {
  #box = h("textarea", {
    id: "goal", name: "goal", rows: 4, required: true, placeholder: "Which region had the highest revenue, and by how much? Write a short report.",
    onkeydown: (event) => this.#key(event),
  });
  #send = h("button", { type: "submit", class: "button" }, "Run");
  #problem = h("p", { class: "notice bad", role: "alert", hidden: true });
  #team = h("ul", { class: "team" });
  #started;

  constructor(started) {
    this.#started = started;
    this.element = h(
      "section",
      { class: "ask", "aria-label": "New goal" },
      h("h1", {}, "What is to be done?"),
      h("p", { class: "reason" }, "Say it in words. It is planned, given to the agents that fit, and what they do is shown here as it happens."),
      h(
        "form",
        { onsubmit: (event) => this.#submit(event) },
        h("label", { class: "unseen", htmlFor: "goal" }, "Goal"),
        this.#box,
        h("div", { class: "bar" }, h("span", { class: "time" }, "Enter runs it, Shift+Enter makes a new line"), this.#send),
      ),
      this.#problem,
      h("section", { "aria-label": "Agents" }, h("h2", {}, "Agents"), this.#team),
    );
    this.#showTeam();
  }

  focus() {
    this.#box.focus({ preventScroll: true });
  }

  close() {}

  async #showTeam() {
    try {
      const { agents: team } = await agents();
      fill(this.#team, team.map(member));
    } catch (error) {
      fill(this.#team, h("li", {}, error.message));
    }
  }

  #key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.element.querySelector("form").requestSubmit();
  }

  async #submit(event) {
    event.preventDefault();
    this.#problem.hidden = true;
    this.#send.disabled = true;
    try {
      this.#started((await submit(this.#box.value)).task_id);
    } catch (error) {
      this.#problem.textContent = error.message;
      this.#problem.hidden = false;
    } finally {
      this.#send.disabled = false;
    }
  }
}

function member(agent) {
  const framework = [agent.framework, agent.version].filter(Boolean).join(" ");
  const environment = agent.environment === "current" ? null : agent.environment;
  const state = agent.state === "ready" ? null : agent.state;
  const sandbox = { host: "own sandbox", container: "own container" }[agent.isolation];
  const kind = [framework, environment, agent.trusted ? "trusted" : null, sandbox, state];
  return h(
    "li",
    {},
    h("b", {}, agent.name || agent.id),
    h("span", { class: "time" }, kind.filter(Boolean).join(" · ")),
    h("p", {}, agent.description),
  );
}
