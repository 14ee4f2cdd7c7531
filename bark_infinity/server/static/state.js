// What the page knows of jobs, kept up to date by asking the server every second, or every ten while nobody looks.

import { get, ofJob } from "./api.js";

const VISIBLE_MS = 1000, HIDDEN_MS = 10000;

/** Events: "jobs" (some have changed), "segments" (detail: those of the open job that have changed), "online" (detail: whether). */
class State extends EventTarget {
  jobs = new Map();
  order = [];
  segments = []; // of the open job, by index
  openId = null;
  missing = false; // whether the open job is not in the list
  #revision = 0;
  #seen = 0; // the highest revision of the open job's segments
  #timer = 0;
  #failures = 0;
  #asking = false;
  #again = false;

  start() {
    document.addEventListener("visibilitychange", () => this.ask());
    this.ask();
  }

  get open() {
    return this.jobs.get(this.openId);
  }

  /** Open a job, whose segments are then kept up to date too; null for none. */
  async show(id) {
    this.openId = id;
    this.segments = [];
    this.#seen = 0;
    this.missing = false;
    if (id === null) return;
    try {
      const { job, segments } = await get(ofJob(id));
      if (this.openId !== id) return;
      this.jobs.set(job.id, job);
      this.#take(segments);
    } catch (error) {
      if (this.openId !== id || error.status !== 404) return;
      this.missing = true;
    }
    this.#tell("jobs");
  }

  /** Ask the server now. */
  async ask() {
    clearTimeout(this.#timer);
    if (this.#asking) {
      this.#again = true;
      return;
    }
    this.#asking = true;
    this.#again = false;
    try {
      await this.#poll();
      this.#tell("online", true);
      this.#failures = 0;
    } catch {
      if (++this.#failures > 1) this.#tell("online", false);
    }
    this.#asking = false;
    this.#timer = setTimeout(() => this.ask(), this.#again ? 0 : document.hidden ? HIDDEN_MS : VISIBLE_MS);
  }

  async #poll() {
    const id = this.openId;
    const asked = new URLSearchParams({ since: this.#revision });
    if (id !== null) {
      asked.set("job", id);
      asked.set("segments", this.#seen);
    }
    const news = await get(`/api/state?${asked}`);
    if (news === null) return;
    this.#revision = news.revision;
    for (const job of news.jobs) this.jobs.set(job.id, job);
    this.order = news.order;
    const listed = new Set(news.order);
    for (const known of this.jobs.keys()) if (!listed.has(known)) this.jobs.delete(known);
    if (id !== null && id === this.openId) {
      this.missing = !listed.has(id);
      if (news.segments) this.#take(news.segments);
    }
    this.#tell("jobs");
  }

  #take(segments) {
    if (!segments.length) return;
    for (const segment of segments) {
      this.segments[segment.index] = segment;
      this.#seen = Math.max(this.#seen, segment.revision);
    }
    this.#tell("segments", segments);
  }

  /** Take in a job as an answer of the server has it. */
  accept(job) {
    this.jobs.set(job.id, job);
    if (!this.order.includes(job.id)) this.order = [job.id, ...this.order];
    this.#tell("jobs");
    this.ask();
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

export const state = new State();
