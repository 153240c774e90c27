// How values are written.

const SECOND = 1000;

export function duration(seconds) {
  if (!(seconds >= 0)) return "";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}

export function clock(seconds) {
  return new Date(seconds * SECOND).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
}

export function ago(seconds, now = Date.now()) {
  if (!(seconds > 0)) return "";
  const then = seconds * SECOND;
  const minutes = Math.floor((now - then) / (60 * SECOND));
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return new Date(then).toLocaleDateString();
}

export function bytes(size) {
  if (!(size >= 0)) return "";
  if (size < 1024) return `${size} B`;
  if (size < 1024 * 1024) return `${(size / 1024).toFixed(1)} KB`;
  return `${(size / 1024 / 1024).toFixed(1)} MB`;
}

export function json(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2) ?? "";
}

// Controls, marks of direction, and what has no shape: only the mark that makes a sign an emoji stays.
const UNSEEN = /(?![\n\t]|(?<=\p{Extended_Pictographic})\ufe0f)[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** `text` with JSON's escapes in the place of what would not be seen. */
export function visible(text) {
  const escaped = (char) => char.split("").map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");
  return String(text).replace(UNSEEN, escaped);
}

/** The start of `text` on one line. */
export function brief(text, length = 90) {
  const line = String(text).replace(/\s+/g, " ").trim();
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}

const WORDS = {
  submitted: "Submitted", working: "Working", completed: "Done", failed: "Failed", canceled: "Canceled",
  rejected: "Rejected", waiting: "Waiting", skipped: "Skipped", "input-required": "Needs an answer",
  "auth-required": "Needs a sign-in",
};

export const stateWord = (state) => WORDS[state] ?? state;
