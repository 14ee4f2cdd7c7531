// The list of jobs at the side, with its search.

import { $, copy, mark, say } from "./dom.js";
import { state } from "./state.js";
import { clock, roughly, t } from "./words.js";

const rows = new Map(); // of jobs, by id

function line(job) {
  const words = [job.position ? t("job.position", { n: job.position }) : t(`job.state.${job.state}`)];
  if (job.state === "running" && job.n_segments) words.push(`${Math.floor((100 * job.n_done) / job.n_segments)} %`);
  if (job.state === "running" && job.left_s !== null) words.push(t("job.left", { time: roughly(job.left_s) }));
  if (job.state === "finished") words.push(clock(job.seconds));
  return words.join(" · ");
}

function patch(row, job) {
  say(row.querySelector(".job-name"), job.name);
  say(row.querySelector(".job-line"), line(job));
  mark(row.querySelector(".job-line"), "data-state", job.state);
  const bar = row.querySelector("progress");
  bar.hidden = !["running", "paused"].includes(job.state);
  bar.value = job.n_segments ? job.n_done / job.n_segments : 0;
  mark(row.firstElementChild, "aria-current", job.id === state.openId ? "page" : null);
}

export function showJobs() {
  const wanted = $("jobs-search").value.trim().toLowerCase();
  const list = $("jobs");
  let shown = 0, place = list.firstElementChild;
  for (const id of state.order) {
    const job = state.jobs.get(id);
    if (!job) continue;
    if (!rows.has(id)) {
      rows.set(id, copy("t-job"));
      rows.get(id).firstElementChild.setAttribute("href", `/jobs/${encodeURIComponent(id)}`);
    }
    const row = rows.get(id);
    patch(row, job);
    row.hidden = !`${job.name} ${job.text}`.toLowerCase().includes(wanted);
    if (!row.hidden) shown++;
    if (row === place) place = place.nextElementSibling;
    else list.insertBefore(row, place); // only rows that are new or have moved: the focus stays
  }
  for (const [id, row] of rows) {
    if (state.jobs.has(id)) continue;
    row.remove();
    rows.delete(id);
  }
  $("jobs-none").hidden = shown > 0;
  say($("jobs-none"), t(state.order.length ? "nav.none_found" : "nav.empty"));
}

export function startJobs() {
  $("jobs-search").addEventListener("input", showJobs);
  state.addEventListener("jobs", showJobs);
}
