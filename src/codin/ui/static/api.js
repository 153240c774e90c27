// The gateway's API.

/** What the gateway refused, with its own sentence. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { headers: { "content-type": "application/json" }, ...options });
  } catch {
    throw new ApiError(0, "The gateway does not answer. Is `codin up` still running?");
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new ApiError(response.status, body.error?.message ?? `HTTP ${response.status}`);
  return body;
}

const id = encodeURIComponent;

export const about = () => call("/api/about");
export const agents = () => call("/api/agents");
export const tools = (search = "", page = "", limit = 50) =>
  call(`/api/tools?search=${id(search)}&page=${id(page)}&limit=${limit}`);
export const tasks = (page = "") => call(`/api/tasks?page=${id(page)}`);
export const task = (taskId) => call(`/api/tasks/${id(taskId)}`);
export const cancel = (taskId) => call(`/api/tasks/${id(taskId)}/cancel`, { method: "POST", body: "{}" });
export const answer = (taskId, text, question) =>
  call(`/api/tasks/${id(taskId)}/answer`, { method: "POST", body: JSON.stringify({ text, question }) });
export const submit = (goal) => call("/api/goals", { method: "POST", body: JSON.stringify({ goal }) });
export const eventsUrl = (taskId, after) => `/api/tasks/${id(taskId)}/events${after ? `?after=${after}` : ""}`;
export const fileUrl = (taskId, path) => `/api/tasks/${id(taskId)}/files/${path.split("/").map(id).join("/")}`;
