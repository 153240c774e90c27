// One goal: its state, plan, answer, files and events.

import { answer as send, cancel } from "./api.js";
import { batched, fill, h } from "./dom.js";
import { FilesView } from "./files_view.js";
import { duration, stateWord } from "./format.js";
import { rendered } from "./markdown.js";
import { PlanView } from "./plan_view.js";
import { QuestionView } from "./question_view.js";
import { Run } from "./run.js";
import { EventStream } from "./stream.js";
import { TimelineView } from "./timeline_view.js";

export class RunView {
  #run;
  #hooks;
  #stream;
  #ticker;
  #offset = 0;
  #answer = "";
  #refusal = "";
  #question = new QuestionView((text, question) => this.#ask(() => send(this.#run.id, text, question)));
  #plan = new PlanView();
  #files = new FilesView();
  #timeline = new TimelineView();
  #parts;

  /** `hooks`: link(state), model(badge), changed() when the goal's state does. */
  constructor(taskId, hooks) {
    this.#run = new Run(taskId);
    this.#hooks = hooks;
    this.#parts = this.#build();
    const draw = batched(() => this.#draw());
    this.#stream = new EventStream(taskId, {
      event: (entry) => {
        this.#take(entry);
        draw();
      },
      done: draw,
      link: hooks.link,
      failed: (error) => this.#failed(error),
    });
    this.#ticker = setInterval(draw, 1000);
  }

  get element() {
    return this.#parts.element;
  }

  close() {
    clearInterval(this.#ticker);
    this.#stream.close();
  }

  #build() {
    const goal = h("h1", { class: "goal", tabIndex: -1 }, "…");
    const state = h("span", { class: "chip", role: "status" });
    const meta = h("span", { class: "time" });
    const stop = h("button", { type: "button", class: "danger", onclick: () => this.#cancel() }, "Cancel");
    const notice = h("p", { class: "notice bad", role: "alert", hidden: true });
    const reason = h("p", { class: "reason" });
    const answer = h("div", { class: "prose answer", "aria-live": "off" });
    const plan = section("Plan", reason, this.#plan.element);
    const answered = section("Answer", answer);
    const files = section("Files", this.#files.element);
    const events = section("Events", this.#timeline.element);
    const head = h("div", { class: "runhead" }, goal, h("div", { class: "bar" }, state, meta, stop));
    const element = h("article", { class: "run" }, head, notice, this.#question.element, plan, answered, files, events);
    return { element, goal, state, meta, stop, notice, reason, answer, plan, answered, files, events };
  }

  #take(entry) {
    const before = this.#run.state;
    this.#offset = Math.max(this.#offset, entry.time - Date.now() / 1000);
    this.#run.apply(entry);
    if (this.#run.model) this.#hooks.model(this.#run.model);
    if (this.#run.state !== before) this.#hooks.changed();
  }

  #draw() {
    const run = this.#run;
    const parts = this.#parts;
    const now = run.ended ? run.changed : Date.now() / 1000 + Math.max(0, this.#offset);
    parts.goal.textContent = run.goal || "…";
    parts.element.dataset.state = run.state;
    if (parts.state.textContent !== stateWord(run.state)) parts.state.textContent = stateWord(run.state);
    parts.state.dataset.state = run.state;
    parts.meta.textContent = facts(run, now);
    parts.stop.hidden = run.ended;
    this.#notice(run.problem || this.#refusal);
    if (this.#question.draw(run.question)) parts.goal.focus(); // else the keyboard would start anew
    parts.reason.textContent = run.plan ? run.plan.reason : run.ended ? "" : "Planning…";
    parts.plan.hidden = !run.plan && run.ended;
    this.#plan.draw(run, now);
    this.#drawAnswer(run);
    this.#files.draw(run);
    parts.files.hidden = !run.files.size;
    this.#timeline.draw(run);
    parts.events.hidden = !run.items.length;
    document.title = `${run.ended ? "" : "… "}${run.goal || "Goal"} · codin`;
  }

  #drawAnswer(run) {
    const { text, draft } = run.answer;
    const { answer, answered } = this.#parts;
    answered.hidden = !text;
    answer.dataset.draft = String(draft && !run.ended);
    const drawn = `${run.ended}${draft}${text}`;
    if (drawn === this.#answer) return;
    this.#answer = drawn;
    // while it streams, plain text: marks are made once the whole is there
    fill(answer, run.ended || !draft ? rendered(text) : h("p", { class: "plain" }, text));
  }

  async #cancel() {
    const { stop } = this.#parts;
    stop.disabled = true;
    await this.#ask(() => cancel(this.#run.id));
    stop.disabled = false;
  }

  /** Ask something of the gateway; gives whether it was done, and what is refused is said. */
  async #ask(request) {
    try {
      await request();
      this.#refusal = "";
    } catch (error) {
      this.#refusal = error.message;
    }
    this.#draw();
    return !this.#refusal;
  }

  #notice(text) {
    const { notice } = this.#parts;
    notice.hidden = !text;
    if (notice.textContent !== text) notice.textContent = text;
  }

  #failed(error) {
    clearInterval(this.#ticker);
    const message = error.status === 404 ? "There is no such goal here." : error.message;
    fill(this.#parts.element, h("p", { class: "notice bad", role: "alert" }, message));
  }
}

function section(title, ...children) {
  return h("section", { "aria-label": title }, h("h2", {}, title), children);
}

function facts(run, now) {
  const told = [duration(now - run.started)];
  const steps = (run.plan?.steps ?? []).map((step) => run.steps.get(step.id));
  const done = steps.filter((step) => step.state === "completed").length;
  if (steps.length) told.push(`${done} of ${steps.length} steps`);
  if (run.tokens) told.push(`${run.tokens.toLocaleString()} tokens`);
  return told.filter(Boolean).join(" · ");
}
