// The page: which view is shown, and what stands around it.

import { about } from "./api.js";
import { batched, fill } from "./dom.js";
import { GoalView } from "./goal_view.js";
import { HistoryView } from "./history_view.js";
import { RunView } from "./run_view.js";
import { ToolsView } from "./tools_view.js";

const REFRESH_MS = 15_000;
const TOOLS = "#/tools";
const LINKS = { live: "", lost: "Reconnecting…", closed: "" };

const $ = (id) => document.getElementById(id);
const past = new HistoryView($("history"), $("more"));
const refresh = batched(() => past.refresh());
let view = null;

function show() {
  const taskId = taskInUrl();
  view?.close();
  link("closed");
  menu(false);
  document.title = "codin";
  view = viewOf(taskId);
  fill($("main"), view.element);
  window.scrollTo(0, 0);
  if (!taskId) view.focus();
  past.mark(taskId);
  if (location.hash === TOOLS) $("tools").setAttribute("aria-current", "page");
  else $("tools").removeAttribute("aria-current");
}

function viewOf(taskId) {
  if (taskId) return new RunView(taskId, { link, model, changed: refresh });
  return location.hash === TOOLS ? new ToolsView() : new GoalView(open);
}

function taskInUrl() {
  const match = /^#\/task\/(.+)$/.exec(location.hash);
  if (!match) return null;
  try {
    return decodeURIComponent(match[1]);
  } catch {
    return match[1];
  }
}

function open(taskId) {
  location.hash = `#/task/${encodeURIComponent(taskId)}`;
  refresh();
}

function link(state) {
  $("link").textContent = LINKS[state];
  $("link").dataset.state = state;
}

function model(badge) {
  $("model").hidden = !badge?.label;
  $("model").textContent = badge?.label ?? "";
  $("model").dataset.basic = String(Boolean(badge?.basic));
}

function menu(open) {
  $("side").classList.toggle("open", open);
  $("menu").setAttribute("aria-expanded", String(open));
}

$("menu").addEventListener("click", () => menu(!$("side").classList.contains("open")));
document.addEventListener("keydown", (event) => event.key === "Escape" && menu(false));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names the goal that is shown
  $("main").focus();
});
window.addEventListener("hashchange", show);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
setInterval(() => document.hidden || refresh(), REFRESH_MS);
about().then((told) => model(told.model)).catch(() => {});
show();
refresh();
