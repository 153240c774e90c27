// The few marks that reports use, as elements: headings, lists, tables, code, emphasis.
// Links show where they go and are followed only to http and https; pictures stay words.

import { h } from "./dom.js";

const BULLET = /^\s*[-*+]\s+/;
const NUMBER = /^\s*\d{1,9}[.)]\s+/;
const RULE = /^\s*\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?\s*$/;
const INLINE = /(`[^`\n]+`)|(\*\*[^*\n]+\*\*)|(?<![\w*])(\*[^*\s][^*\n]*\*)(?![\w*])|!?\[([^\]\n]*)\]\(([^)\s]+)\)/g;

/** `text` as nodes. */
export function rendered(text) {
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  const nodes = [];
  for (let at = 0; at < lines.length; ) {
    const [node, next] = block(lines, at);
    if (node) nodes.push(node);
    at = next;
  }
  return nodes;
}

function block(lines, at) {
  const line = lines[at];
  if (!line.trim()) return [null, at + 1];
  if (line.trimStart().startsWith("```")) return fenced(lines, at);
  const heading = /^(#{1,6})\s+(.*)$/.exec(line);
  if (heading) return [h(`h${Math.min(heading[1].length + 2, 6)}`, {}, inline(heading[2])), at + 1];
  if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) return [h("hr"), at + 1];
  if (line.includes("|") && RULE.test(lines[at + 1] ?? "")) return table(lines, at);
  if (BULLET.test(line)) return list(lines, at, "ul", BULLET);
  if (NUMBER.test(line)) return list(lines, at, "ol", NUMBER);
  if (line.startsWith(">")) return quote(lines, at);
  return paragraph(lines, at);
}

function fenced(lines, at) {
  let end = at + 1;
  while (end < lines.length && !lines[end].trimStart().startsWith("```")) end += 1;
  return [h("pre", { tabIndex: 0 }, h("code", {}, lines.slice(at + 1, end).join("\n"))), end + 1];
}

function list(lines, at, tag, mark) {
  const start = Number.parseInt(lines[at], 10);
  const element = h(tag, tag === "ol" && start > 1 ? { start } : {});
  while (at < lines.length && mark.test(lines[at])) {
    element.append(h("li", {}, inline(lines[at].replace(mark, ""))));
    at += 1;
  }
  return [element, at];
}

function quote(lines, at) {
  const inside = [];
  while (at < lines.length && lines[at].startsWith(">")) inside.push(lines[at++].replace(/^>\s?/, ""));
  return [h("blockquote", {}, inline(inside.join("\n"))), at];
}

function table(lines, at) {
  const head = cells(lines[at]);
  const body = [];
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|")) body.push(cells(lines[end++]));
  const row = (tag) => (values) => h("tr", {}, values.map((value) => h(tag, {}, inline(value))));
  return [
    h("div", { class: "scroll", tabIndex: 0 }, h("table", {}, h("thead", {}, row("th")(head)), h("tbody", {}, body.map(row("td"))))),
    end,
  ];
}

function cells(line) {
  return line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
}

function paragraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && !begins(lines, end)) end += 1;
  return [h("p", {}, inline(lines.slice(at, end).join("\n"))), end];
}

function begins(lines, at) {
  const line = lines[at];
  return !line.trim() || /^(#{1,6}\s|>|\s*```)/.test(line) || BULLET.test(line) || NUMBER.test(line)
    || (line.includes("|") && RULE.test(lines[at + 1] ?? ""));
}

function inline(text) {
  const nodes = [];
  let last = 0;
  for (const match of text.matchAll(INLINE)) {
    nodes.push(text.slice(last, match.index), mark(match));
    last = match.index + match[0].length;
  }
  return [...nodes, text.slice(last)];
}

function mark([whole, code, strong, em, label, target]) {
  if (code) return h("code", {}, code.slice(1, -1));
  if (strong) return h("strong", {}, strong.slice(2, -2));
  if (em) return h("em", {}, em.slice(1, -1));
  if (whole.startsWith("!")) return `${label || "picture"} (${target})`;
  if (!/^https?:\/\//i.test(target)) return `${label} (${target})`;
  return h("a", { href: target, rel: "noopener noreferrer nofollow", target: "_blank", title: target }, label || target);
}
