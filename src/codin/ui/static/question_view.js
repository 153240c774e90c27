// What a task asks, and how it is answered: buttons for a call to be approved, what fits for others.

import { fill, h } from "./dom.js";
import { json, visible } from "./format.js";

const MAX_BUTTONS = 6;
/** Whether numbers are shown as they are, however large: else only the prompt has them exactly. */
const EXACT = typeof JSON.rawJSON === "function";

export class QuestionView {
  element = h("section", { class: "question", "aria-label": "Question", hidden: true });
  #answer;
  #shown = null;
  #answering = false;

  /** `answer(text, question)` sends an answer to the question of that id; it gives whether that was taken. */
  constructor(answer) {
    this.#answer = answer;
  }

  /** Show `question`, or nothing; gives whether the reader stood in one that is gone now. */
  draw(question) {
    if (question === this.#shown) return false;
    const left = this.#answering || this.element.contains(document.activeElement);
    this.#shown = question;
    this.#answering = false;
    this.element.hidden = !question;
    fill(this.element, question ? [told(question), this.#controls(question)] : []);
    return left;
  }

  #controls(question) {
    if (question.kind === "approval") return this.#approval();
    const words = choices(question.schema);
    if (!words) return this.#words();
    return words.length > MAX_BUTTONS ? this.#select(words) : this.#buttons(words);
  }

  #approval() {
    const why = h("input", { name: "why", autocomplete: "off", "aria-label": "Why not (optional)", placeholder: "Why not (optional)" });
    // Enter in the field denies: nothing is approved but by its own button
    return this.#form(
      () => (why.value.trim() ? `no: ${why.value.trim()}` : "no"),
      h("button", { type: "button", class: "button", onclick: (event) => this.#click(event, "yes") }, "Approve"),
      h("button", { type: "submit", class: "danger" }, "Deny"),
      why,
    );
  }

  #buttons(words) {
    return this.#form(null, words.map((word) => this.#button(word)));
  }

  #button(word) {
    const shown = word === "yes" ? "Yes" : word === "no" ? "No" : visible(word);
    return h("button", { type: "button", class: "choice", onclick: (event) => this.#click(event, word) }, shown);
  }

  #select(words) {
    const select = h("select", { name: "choice", "aria-label": "Your answer" }, words.map((word) => h("option", { value: word }, visible(word))));
    return this.#form(() => select.value, select, h("button", { type: "submit", class: "button" }, "Send"));
  }

  #words() {
    const text = h("input", { name: "text", required: true, autocomplete: "off", "aria-label": "Your answer", placeholder: "Your answer" });
    return this.#form(() => text.value, text, h("button", { type: "submit", class: "button" }, "Send"));
  }

  #form(value, ...children) {
    const submit = (event) => {
      event.preventDefault();
      if (value) this.#give(value());
    };
    return h("form", { class: "reply", onsubmit: submit }, children);
  }

  #click(event, text) {
    // the second click of two is not meant for the question that may have come in between
    if (event.detail < 2) this.#give(text);
  }

  async #give(text) {
    const controls = [...this.element.querySelectorAll("button, input, select")];
    const used = document.activeElement; // what is disabled loses the keyboard
    for (const control of controls) control.disabled = true;
    this.#answering = true;
    if (await this.#answer(text, this.#shown.id)) return; // they stay so until the question goes
    this.#answering = false;
    for (const control of controls) control.disabled = false;
    used?.focus();
  }
}

/** Who asks what; the call that it is about, exactly; and why it is asked. */
function told({ prompt, call, reason }) {
  const short = call && reason && EXACT;
  return [
    h("p", { class: "lead", role: "alert" }, visible(short ? prompt.split("\n", 1)[0] : prompt)),
    call ? h("p", { class: "tool" }, "Tool ", h("code", {}, visible(call.name))) : null,
    call ? h("pre", { tabIndex: 0, role: "group", "aria-label": "Arguments of the call" }, visible(json(call.arguments))) : null,
    short ? h("p", { class: "why" }, visible(reason)) : null,
  ];
}

/** The answers that `schema` allows, when they are few words. */
function choices(schema) {
  if (schema?.type === "boolean") return ["yes", "no"];
  const words = schema?.enum;
  return Array.isArray(words) && words.length && words.every((word) => typeof word === "string" && word) ? words : null;
}
