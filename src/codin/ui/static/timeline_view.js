// What happened, in order: steps, texts, tool calls with arguments, output and results.

import { h } from "./dom.js";
import { brief, clock, duration, json, stateWord } from "./format.js";
import { rendered } from "./markdown.js";

const MAX_SHOWN = 20_000;

export class TimelineView {
  element = h("ol", { class: "timeline" });
  #rows = new Map();

  draw(run) {
    for (const key of run.dirty) {
      const item = run.items.find((one) => one.key === key);
      if (item) this.#put(item);
    }
    run.dirty.clear();
  }

  #put(item) {
    const old = this.#rows.get(item.key);
    const chosen = [...(old?.querySelectorAll("details[data-chosen]") ?? [])];
    const kept = new Map(chosen.map((details) => [details.dataset.part, details.open]));
    const row = h(
      "li",
      { class: `item is-${item.type}`, "data-state": itemState(item) },
      h("time", { dateTime: new Date(item.time * 1000).toISOString() }, clock(item.time)),
      h("div", { class: "what" }, item.agent ? h("span", { class: "agent" }, item.agent) : null, BODIES[item.type](item)),
    );
    for (const details of row.querySelectorAll("details")) {
      if (!kept.has(details.dataset.part)) continue;
      details.open = kept.get(details.dataset.part);
      details.dataset.chosen = "";
    }
    if (old) old.replaceWith(row);
    else this.element.append(row);
    this.#rows.set(item.key, row);
  }
}

function itemState(item) {
  if (item.type === "tool") return item.failed || item.cut ? "failed" : item.done ? "completed" : "working";
  if (item.type === "error") return "failed";
  return item.state;
}

const BODIES = {
  step: (item) => [
    h("span", { class: "said" }, `${stateWord(item.state)}${item.attempt > 1 ? `, attempt ${item.attempt}` : ""}`),
    item.text ? h("p", { class: "error" }, item.text) : null,
  ],
  text: (item) => h("div", { class: "prose" }, item.live ? h("p", { class: "plain" }, item.text) : rendered(cut(item.text))),
  thought: (item) => folded("thought", `Thought: ${brief(item.text)}`, h("p", { class: "plain" }, cut(item.text))),
  note: (item) => h("span", { class: "said" }, item.text),
  error: (item) => h("p", { class: "error" }, item.text),
  made: (item) => h("span", { class: "said" }, "made ", h("b", {}, item.name)),
  data: (item) => folded("data", item.name, block(json(item.data))),
  tool: toolBody,
};

function toolBody(item) {
  const took = item.end ? duration(item.end - item.time) : "";
  const word = item.cut ? "stopped" : item.failed ? "failed" : item.done ? took : item.waits ? "waits for an answer" : "running…";
  return [
    h("div", { class: "call" }, h("code", { class: "name" }, item.name || "tool"), h("span", { class: "time" }, word)),
    item.arguments ? argumentsBlock(item.arguments) : null,
    item.output ? folded("output", "Output", block(item.output, "Sandbox output"), !item.done) : null,
    item.result === undefined ? null : resultBlock(item),
  ];
}

function argumentsBlock(given) {
  const entries = Object.entries(given);
  if (!entries.length) return null;
  if (entries.length === 1 && typeof entries[0][1] === "string") {
    const [name, value] = entries[0];
    if (!value.includes("\n") && value.length < 80) return h("p", { class: "args" }, `${name}: `, h("code", {}, value));
    return folded("arguments", name, block(value, name), true);
  }
  return folded("arguments", `Arguments: ${brief(entries.map(([k, v]) => `${k}: ${json(v)}`).join(", "), 70)}`, block(json(given), "Arguments"));
}

function resultBlock(item) {
  const text = json(item.result);
  const title = item.failed ? `Error: ${brief(text)}` : `Result: ${brief(text, 70)}`;
  return folded("result", title, block(text, "Result"), item.failed);
}

function folded(part, title, content, open = false) {
  // what the reader opened or closed stays so while the item changes
  const choose = (event) => (event.currentTarget.parentElement.dataset.chosen = "");
  return h("details", { open, "data-part": part }, h("summary", { onclick: choose }, title), content);
}

function block(text, label = "") {
  return h("pre", { tabIndex: 0, "aria-label": label || undefined }, cut(text));
}

function cut(text) {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}\n… ${text.length - MAX_SHOWN} more characters` : text;
}
