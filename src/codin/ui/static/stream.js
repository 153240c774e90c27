// A task's events, from the first to the last, however often the connection breaks.

import { ApiError, eventsUrl, task } from "./api.js";

const RETRY_MS = 2000;

export class EventStream {
  #taskId;
  #hooks;
  #source = null;
  #timer = 0;
  #last = 0;
  #closed = false;

  /** `hooks`: event(entry), done(), link("live" | "lost" | "closed"), failed(error). */
  constructor(taskId, hooks) {
    this.#taskId = taskId;
    this.#hooks = hooks;
    this.#open();
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#hooks.link("closed");
  }

  #open() {
    const source = new EventSource(eventsUrl(this.#taskId, this.#last));
    this.#source = source;
    source.onopen = () => this.#hooks.link("live");
    source.onmessage = (message) => this.#take(JSON.parse(message.data));
    source.addEventListener("done", () => {
      this.close(); // or the browser would come again for ever
      this.#hooks.done();
    });
    source.onerror = () => this.#lost();
  }

  #take(entry) {
    if (entry.seq <= this.#last) return;
    this.#last = entry.seq;
    this.#hooks.event(entry);
  }

  async #lost() {
    if (this.#closed) return;
    this.#hooks.link("lost");
    // while connecting, the browser itself tries again from the last id; an answer that is no
    // stream makes it give up
    if (this.#source.readyState !== EventSource.CLOSED) return;
    try {
      await task(this.#taskId);
    } catch (error) {
      if (error instanceof ApiError && error.status >= 400 && error.status < 500) {
        this.close();
        this.#hooks.failed(error);
        return;
      }
    }
    if (!this.#closed) this.#timer = setTimeout(() => this.#open(), RETRY_MS);
  }
}
