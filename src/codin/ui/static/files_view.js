// What was made: pictures are shown, texts can be read, everything can be taken.

import { fileUrl } from "./api.js";
import { fill, h } from "./dom.js";
import { bytes, json } from "./format.js";
import { rendered } from "./markdown.js";

const IMAGES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"]);
const MAX_SHOWN = 100_000;

export class FilesView {
  element = h("ul", { class: "files" });
  #drawn = "";

  draw(run) {
    const files = [...run.files.values()];
    const drawn = JSON.stringify(files.map((file) => [file.name, file.raw?.length, file.text?.length]));
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    fill(this.element, files.map((file) => row(run.id, file)));
  }
}

function row(taskId, file) {
  return h(
    "li",
    { class: "file" },
    h("div", { class: "head" }, h("b", {}, file.name), h("span", { class: "time" }, bytes(size(file))), download(taskId, file)),
    preview(taskId, file),
  );
}

/** A file too large to travel in its event is told by its path. */
const isReference = (file) => file.data?.path === file.name && typeof file.data.size === "number";

function size(file) {
  if (isReference(file)) return file.data.size;
  if (file.raw) return Math.floor((file.raw.length * 3) / 4) - (file.raw.match(/=*$/)[0].length);
  return file.text === null ? Number.NaN : new Blob([file.text]).size;
}

function download(taskId, file) {
  const name = file.name.split("/").pop();
  return h("a", { class: "button small", href: fileUrl(taskId, file.name), download: name, "aria-label": `Download ${file.name}` }, "Download");
}

function preview(taskId, file) {
  if (IMAGES.has(file.mediaType)) {
    const inline = file.raw ? `data:${file.mediaType};base64,${file.raw}` : fileUrl(taskId, file.name);
    return h("img", { src: inline, alt: `Picture ${file.name}`, loading: "lazy" });
  }
  const text = content(file);
  if (text === null) return null;
  const shown = text.slice(0, MAX_SHOWN);
  const prose = /\.(md|markdown)$/i.test(file.name);
  const body = prose ? h("div", { class: "prose" }, rendered(shown)) : h("pre", { tabIndex: 0, "aria-label": file.name }, shown);
  return h("details", { open: prose }, h("summary", {}, "Show"), body);
}

function content(file) {
  if (file.text !== null) return file.text;
  if (isReference(file)) return null;
  if (file.data !== undefined) return json(file.data);
  const readable = file.mediaType.startsWith("text/") || file.mediaType === "application/json";
  if (!file.raw || !readable) return null;
  const raw = Uint8Array.from(atob(file.raw), (char) => char.charCodeAt(0));
  return new TextDecoder().decode(raw);
}
