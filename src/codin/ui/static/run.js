// What is known of a goal, from its events alone: the same events always give the same picture.

const MAX_TEXT = 200_000;

const WAITING = /-required$/;
export const ENDED = new Set(["completed", "failed", "canceled", "rejected"]);

/** A2A's state name as the page says it: TASK_STATE_INPUT_REQUIRED is "input-required". */
export function plainState(name) {
  return String(name ?? "").replace(/^TASK_STATE_/, "").toLowerCase().replaceAll("_", "-") || "submitted";
}

export class Run {
  goal = "";
  state = "submitted";
  problem = "";
  /** What is asked of the reader: prompt, kind, schema, call, reason; the same object while it is asked. */
  question = null;
  started = 0;
  changed = 0;
  model = null;
  plan = null;
  steps = new Map();
  texts = new Map();
  files = new Map();
  items = [];
  tokens = 0;
  /** Keys of the timeline's items that are to be drawn again. */
  dirty = new Set();
  #byKey = new Map();

  constructor(id) {
    this.id = id;
  }

  get ended() {
    return ENDED.has(this.state);
  }

  /** The answer so far: the goal's own text, or what the last step is writing. */
  get answer() {
    const own = [...this.texts.values()].join("\n\n");
    if (own) return { text: own, draft: false };
    const sinks = this.sinks();
    const item = this.items.findLast((one) => one.type === "text" && sinks.has(one.step));
    return { text: item?.text ?? "", draft: true };
  }

  sinks() {
    const needed = new Set((this.plan?.steps ?? []).flatMap((step) => step.needs ?? []));
    return new Set((this.plan?.steps ?? []).map((step) => step.id).filter((id) => !needed.has(id)));
  }

  apply(entry) {
    this.started ||= entry.time;
    this.changed = entry.time;
    const at = { time: entry.time, seq: entry.seq, step: null, agent: null, task: entry.task_id };
    if (entry.kind === "child") this.#child(entry.body, at);
    else this.#own(entry.kind, entry.body, at);
  }

  #own(kind, body, at) {
    if (kind === "task") {
      this.goal = (body.history ?? []).filter((m) => m.role === "ROLE_USER").map(textOf)[0] ?? "";
      this.state = plainState(body.status?.state);
    } else if (kind === "status") {
      this.#status(body.status ?? {}, at);
    } else if (kind === "message") {
      this.#item(`note:${at.seq}`, at, { type: "note", text: `You: ${textOf(body)}` });
    } else if (kind === "artifact") {
      const artifact = body.artifact ?? {};
      if (isText(artifact)) this.#text(this.texts, artifact.artifactId, artifact, body.append);
      else this.#file(artifact, at);
    }
  }

  #status(status, at) {
    this.state = plainState(status.state);
    const said = textOf(status.message);
    if (this.state === "failed" || this.state === "rejected") this.problem = said;
    this.question = this.state.endsWith("-required") ? asked(status.message, said) : null;
    if (this.ended) this.#settle(at.time);
    this.#parts(status.message, at);
  }

  #child(body, at) {
    const inside = { ...at, step: body.step, agent: body.agent, task: body.task_id };
    if (body.kind === "artifact") this.#childArtifact(body.body, inside);
    else if (body.kind === "status") this.#childStatus(body.body.status ?? {}, inside);
    else if (body.kind === "call") this.#record(body.body, inside);
    else if (body.kind === "child") this.#child(body.body, at); // an agent that it called
  }

  #childArtifact(update, at) {
    const artifact = update.artifact ?? {};
    if (!isText(artifact)) {
      this.#item(`made:${at.task}:${artifact.artifactId}`, at, { type: "made", name: nameOf(artifact) });
      return;
    }
    const key = `text:${at.task}:${artifact.artifactId}`;
    const item = this.#item(key, at, { type: "text", text: "" });
    item.text = grown(item.text, partsText(artifact.parts), update.append);
    item.live = !update.lastChunk;
  }

  #childStatus(status, at) {
    const state = plainState(status.state);
    const parts = status.message?.parts ?? [];
    const typed = parts.some((part) => dataOf(part)?.type);
    const step = this.steps.get(at.step);
    if (step && WAITING.test(state)) step.state = state;
    else if (step && WAITING.test(step.state)) step.state = "working";
    if (ENDED.has(state)) this.#endItems(at.task);
    if (!typed && ENDED.has(state) && state !== "completed" && textOf(status.message)) {
      this.#item(`end:${at.seq}`, at, { type: "error", text: textOf(status.message) });
    }
    this.#parts(status.message, at);
  }

  #parts(message, at) {
    if (message?.metadata?.type === "thought") {
      this.#item(`thought:${at.seq}`, at, { type: "thought", text: textOf(message) });
      return;
    }
    for (const part of message?.parts ?? []) {
      const data = dataOf(part);
      if (data?.type) this.#data(data, at);
    }
  }

  #data(data, at) {
    const known = {
      plan: () => this.#planned(data.plan),
      step: () => this.#stepped(data, at),
      map: () => this.#mapped(data),
      model: () => (this.model = { label: String(data.label ?? ""), basic: Boolean(data.basic) }),
      tool_call: () => this.#called(data, at, "agent"),
      tool_output: () => this.#output(data, at),
      tool_result: () => this.#returned(data, at, { result: data.content ?? null, failed: Boolean(data.is_error) }),
      usage: () => (this.tokens += (data.input_tokens ?? 0) + (data.output_tokens ?? 0)),
      error: () => this.#error(data, at),
      paused: () => this.#item(`note:${at.seq}`, at, { type: "note", text: "paused" }),
      attempt: () => this.#item(`note:${at.seq}`, at, { type: "note", text: `goes on in another process (attempt ${Number(data.attempt)})` }),
      handoff: () => this.#item(`note:${at.seq}`, at, { type: "note", text: `${data.from_agent} hands over to ${data.to_agent}` }),
      input_request: () => at.step && this.#item(`note:${at.seq}`, at, { type: "note", text: String(data.prompt ?? "") }),
    };
    const take = Object.hasOwn(known, data.type) ? known[data.type] : null;
    if (take) take();
    else this.#item(`data:${at.seq}`, at, { type: "data", name: String(data.type), data });
  }

  #planned(plan) {
    this.plan = { reason: String(plan?.reason ?? ""), steps: plan?.steps ?? [] };
    for (const step of this.plan.steps) {
      if (!this.steps.has(step.id)) this.steps.set(step.id, { state: "waiting", attempt: 0, start: 0, end: 0, error: "" });
    }
  }

  /** Over how many items a step's map is; those that are done are counted as they end. */
  #mapped(data) {
    const step = this.steps.get(data.id);
    if (step && data.items !== undefined) Object.assign(step, { items: data.items, done: step.done ?? new Set() });
  }

  #stepped(data, at) {
    const above = this.steps.get(data.of);
    if (above?.done && data.state === "completed") above.done.add(data.id);
    const step = this.steps.get(data.id) ?? { attempt: 0, start: 0, end: 0 };
    this.steps.set(data.id, step);
    step.state = String(data.state);
    step.attempt = data.attempt ?? step.attempt;
    step.error = data.error ? String(data.error) : "";
    if (step.state === "working") step.start ||= at.time;
    else if (step.state !== "waiting" && step.start) step.end = at.time;
    if (step.state === "waiting") return;
    this.#item(`step:${data.id}:${step.attempt}:${step.state}`, { ...at, step: data.id, agent: data.agent }, {
      type: "step", state: step.state, attempt: step.attempt, text: step.error,
    });
  }

  #error(data, at) {
    if (at.step) this.#item(`end:${at.seq}`, at, { type: "error", text: String(data.message ?? data.error_type ?? "") });
    else this.problem ||= String(data.message ?? "");
  }

  /** The platform's own record of a call: what an agent's framework may have kept to itself. */
  #record(call, at) {
    if (call.type === "started") {
      this.#called({ ...call, arguments: parsed(call.arguments) }, at, "record").waits = false;
      return;
    }
    if (call.error_type === "ApprovalNeeded") {
      // with the answer the run is made again, and this call with it
      const item = this.#tool(call, at);
      item.waits = true;
      item.sources?.delete("record");
      return;
    }
    const failed = Boolean(call.error_type);
    const result = failed ? `${call.error_type}: ${call.message ?? ""}` : call.value ?? null;
    this.#returned(call, at, { result, failed });
  }

  /** A call is told by its agent and recorded by the platform, and is one item all the same, also
   *  where the two do not know each other's id. */
  #called(call, at, source) {
    const key = `tool:${at.task}:${call.call_id}`;
    const given = call.arguments ?? {};
    if (!this.#byKey.has(key)) {
      const others = this.items.filter((one) => one.type === "tool" && one.task === at.task
        && one.name === call.name && one.sources && !one.sources.has(source));
      const same = others.find((one) => canonical(one.arguments) === canonical(given)) ?? others.find((one) => !one.done);
      if (same) this.#byKey.set(key, same);
    }
    const item = this.#tool(call, at);
    item.arguments ??= given;
    (item.sources ??= new Set()).add(source);
    return item;
  }

  #returned(call, at, outcome) {
    const item = this.#tool(call, at);
    const end = item.end ?? at.time;
    Object.assign(item, outcome, { done: true, end });
  }

  #output(data, at) {
    const item = this.#tool(data, at);
    item.output = grown(item.output, String(data.text ?? ""), true);
  }

  #tool(call, at) {
    const item = this.#item(`tool:${at.task}:${call.call_id}`, at, { type: "tool", output: "", done: false });
    item.name ||= String(call.name ?? "");
    return item;
  }

  #file(artifact, at) {
    const part = artifact.parts?.[0] ?? {};
    this.files.set(artifact.artifactId, {
      name: nameOf(artifact),
      mediaType: String(part.mediaType ?? ""),
      raw: part.raw ?? null,
      text: part.text ?? null,
      data: "data" in part ? dataOf(part) : undefined,
    });
    this.#item(`made:${at.task}:${artifact.artifactId}`, at, { type: "made", name: nameOf(artifact) });
  }

  #text(into, key, artifact, append) {
    into.set(key, grown(into.get(key) ?? "", partsText(artifact.parts), append));
  }

  /** What was under way when a task ended is not under way any more. */
  #endItems(task) {
    for (const item of this.items) {
      if (item.task !== task || !(item.live || (item.type === "tool" && !item.done))) continue;
      Object.assign(item, { live: false, done: true, cut: item.type === "tool" });
      this.dirty.add(item.key);
    }
  }

  #settle(time) {
    for (const task of new Set(this.items.map((item) => item.task))) this.#endItems(task);
    for (const step of this.steps.values()) if (step.state === "working") step.end ||= time;
  }

  #item(key, at, initial) {
    const found = this.#byKey.get(key);
    this.dirty.add(found?.key ?? key);
    if (found) return found;
    const item = { key, ...at, ...initial };
    this.#byKey.set(key, item);
    this.items.push(item);
    return item;
  }
}

/** The value of a data part. Fields that protobuf could not hold came as JSON text. */
export function dataOf(part) {
  const data = part?.data;
  const textual = part?.metadata?.codin_json;
  if (!Array.isArray(textual) || data === null || typeof data !== "object") return data;
  return Object.fromEntries(Object.entries(data).map(([k, v]) => [k, textual.includes(k) ? parsed(v) : v]));
}

/** What a status asks; foreign agents ask in words only. */
function asked(message, said) {
  const data = (message?.parts ?? []).map(dataOf).find((one) => one?.type === "input_request") ?? {};
  const call = data.call && typeof data.call === "object" ? data.call : null;
  return {
    id: String(data.request_id ?? ""),
    prompt: String(data.prompt || said || "The agent needs an answer."),
    kind: String(data.request_kind ?? "input"),
    schema: data.answer_schema ?? null,
    call: call && { name: String(call.name ?? ""), arguments: call.arguments ?? {} },
    reason: String(data.reason ?? ""),
  };
}

// numbers that JavaScript would round stay as they were written
const exactly = (_, value, context) =>
  typeof value === "number" && context?.source !== undefined && JSON.rawJSON && String(value) !== context.source
    ? JSON.rawJSON(context.source)
    : value;

function parsed(text) {
  try {
    return JSON.parse(text, exactly);
  } catch {
    return text;
  }
}

function canonical(value) {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical)}]`;
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`)}}`;
}

const isText = (artifact) => artifact.metadata?.codin?.type === "text";
const nameOf = (artifact) => String(artifact.name || artifact.parts?.[0]?.filename || artifact.artifactId || "file");
const partsText = (parts) => (parts ?? []).map((part) => part.text ?? "").join("");
const textOf = (message) => (message?.parts ?? []).map((part) => part.text).filter(Boolean).join("\n");
const grown = (before, more, append) => ((append ? before : "") + more).slice(-MAX_TEXT);
