// A job: its progress, its sound while it is made, what can be done with it, and its files.

import { get, ofJob, send } from "./api.js";
import { $, during, icon, mark, say, toast, whisper } from "./dom.js";
import { player } from "./player.js";
import { showClip, showCurrent, showSegments, startSegments } from "./segments.js";
import { state } from "./state.js";
import { drawHeard, drawWave } from "./waveform.js";
import { clock, roughly, t } from "./words.js";

const ACTIONS = { // that make sense in each state
  waiting: ["pause", "move_up", "cancel"],
  running: ["pause", "move_up", "cancel"],
  paused: ["go_on", "cancel"],
  finished: ["remove"],
  failed: ["retry", "remove"],
  cancelled: ["retry", "remove"],
};
const PEAKS_MS = 3000; // between two requests for the drawing, while a clip is made

let clip = 0; // the index of the clip that is shown
let shownClips = 0;
let drawn = ""; // what the drawing is of
let drawnAt = 0;
let leave = () => {};

const clipOf = job => job.clips.find(one => one.index === clip) ?? job.clips[0];

/** Show another job; the page has its address already. */
export async function openJob(id) {
  [clip, shownClips, drawn] = [0, 0, ""];
  player.clear();
  drawWave([], 0);
  $("other-format").value = "";
  delete $("downloads").dataset.signature;
  const known = state.jobs.get(id);
  await Promise.all([state.show(id), known && Promise.resolve().then(show)]);
  showClip(0);
}

function show() {
  const job = state.open;
  $("missing").hidden = !state.missing;
  $("job").hidden = !job || state.missing;
  if (!job) return;
  document.title = `${job.name} · ${t("name")}`;
  say($("job-title"), job.name);
  say($("job-state"), job.position ? t("job.position", { n: job.position }) : t(`job.state.${job.state}`));
  mark($("job-state"), "data-state", job.state);
  say($("job-origin"), `${t(`job.origin.${job.origin}`)} · ${new Date(1000 * job.created).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })}`);
  for (const button of document.querySelectorAll("[data-action]")) {
    const isOurs = job.origin !== "command line" || !["waiting", "running", "paused"].includes(job.state);
    const isPossible = isOurs && ACTIONS[job.state].includes(button.dataset.action) && !(button.dataset.action === "move_up" && job.position === 1);
    if (!isPossible && button === document.activeElement) $("job-title").focus();
    button.hidden = !isPossible;
  }
  showNotes(job);
  showProgress(job);
  showClips(job);
  showDownloads(job);
  showPlayer();
  say($("job-command"), job.command);
  askPeaks(job);
}

function showNotes(job) {
  for (const [id, text] of [["job-error", job.error], ["job-note", job.note]]) {
    $(id).hidden = !text;
    say($(id), text ?? "");
  }
}

function showProgress(job) {
  const bar = $("job-progress"), isPlanned = job.n_segments > 0;
  if (!isPlanned && job.state === "running") bar.removeAttribute("value");
  else bar.value = isPlanned ? job.n_done / job.n_segments : 0;
  $("job-progress").hidden = job.state === "finished";
  const words = isPlanned
    ? [job.state === "finished" ? t("segments_n", { n: job.n_segments }) : t("job.done_of", { n: job.n_done, of: job.n_segments.toLocaleString("en") }), t("job.sound", { time: clock(job.seconds) })]
    : [job.state === "running" ? t("job.planning") : ""];
  if (job.state === "running" && job.left_s !== null) words.push(t("job.left", { time: roughly(job.left_s) }));
  say($("job-progress-text"), words.join(" · "));
}

function showClips(job) {
  if (job.clips.length === shownClips) return;
  shownClips = job.clips.length;
  $("clip").hidden = job.clips.length < 2;
  $("clip").replaceChildren(...job.clips.map(one => new Option(one.name, one.index, false, one.index === clip)));
}

// ---- the player -----------------------------------------------------------------------------------------------------

/** Seconds of the shown clip that can be heard. */
function heardSeconds() {
  const last = state.segments.findLast(segment => segment?.clip === clip && segment.start !== null && segment.seconds !== null);
  return last ? last.start + last.seconds : 0;
}

function showPlayer() {
  const isPlaying = player.isPlaying, segment = player.segment;
  icon($("play"), isPlaying ? "pause" : "play");
  mark($("play"), "aria-label", t(isPlaying ? "player.pause" : "player.play"));
  const total = heardSeconds();
  const number = segment ? segment.index - state.segments.findIndex(one => one?.clip === segment.clip) + 1 : 0;
  const words = player.isWaiting ? t("player.waiting", { n: number }) : segment ? `${t("player.now", { n: number })} · ${segment.text}` : total ? "" : t("player.nothing");
  say($("now"), ["finished", "running", "paused", "waiting"].includes(state.open?.state) || total ? words : "");
  $("play").disabled = !total && !isPlaying;
  showTime();
}

function showTime() {
  const total = heardSeconds(), now = Math.min(player.time, total);
  say($("time"), `${clock(now)} / ${clock(total)}`);
  const seek = $("seek");
  if (seek.max !== String(total)) seek.max = total;
  if (document.activeElement !== seek || player.isPlaying) seek.value = now;
  mark(seek, "aria-valuetext", `${clock(now)} / ${clock(total)}`);
  drawHeard(total ? now / total : 0);
}

/** Ask for the drawing of the clip, if there is more to draw than before. */
async function askPeaks(job) {
  const own = clipOf(job);
  if (!own || !own.n_done) return;
  const changes = state.segments.reduce((sum, segment) => sum + (segment?.clip === own.index && segment.state === "made" ? segment.revision : 0), 0);
  const wanted = `${job.id} ${own.index} ${own.n_done} ${changes}`;
  const isNew = !drawn.startsWith(`${job.id} ${own.index} `);
  if (wanted === drawn || (!isNew && own.n_done < own.n_segments && Date.now() - drawnAt < PEAKS_MS)) return;
  [drawn, drawnAt] = [wanted, Date.now()];
  try {
    const peaks = await get(ofJob(job.id, "clips", own.index, "peaks"));
    if (state.openId === job.id && clip === own.index) drawWave(peaks, own.n_segments ? own.n_done / own.n_segments : 1);
  } catch {
    drawn = `${job.id} ${own.index} `; // tried again with the next change
  }
}

// ---- files ----------------------------------------------------------------------------------------------------------

const SUBTITLES = ["srt", "vtt", "ass", "lrc"];

function labelOf(name) {
  const ending = name.split(".").pop().toLowerCase();
  if (name.endsWith(".segments.npz")) return t("downloads.tokens");
  if (name.endsWith(".subtitles.json") || SUBTITLES.includes(ending)) return t("downloads.subtitles", { format: ending });
  return { npz: t("downloads.voice"), json: t("downloads.manifest"), m3u8: t("downloads.playlist"), jpg: t("downloads.cover"), png: t("downloads.cover") }[ending] ?? ending.toUpperCase();
}

function link(address, words, name) {
  const node = document.createElement("a");
  node.className = "button small";
  node.href = address;
  node.download = name;
  node.append($("t-take").content.querySelector("svg").cloneNode(true), words);
  node.querySelector("use").setAttribute("href", "#i-down");
  return node;
}

function showDownloads(job) {
  const own = clipOf(job), files = (own?.files ?? []).filter(name => !name.includes("/"));
  const signature = JSON.stringify([job.id, clip, files]);
  if ($("downloads").dataset.signature === signature) return;
  $("downloads").dataset.signature = signature;
  $("other-format").hidden = !files.length;
  say($("downloads-note"), files.length ? "" : t("downloads.later"));
  if (!files.length) return $("downloads-list").replaceChildren();
  const shown = files.filter(name => !name.endsWith(".json") && !name.endsWith(".segments.npz") || name.endsWith(".subtitles.json"));
  const links = shown.map(name => {
    const address = new URLSearchParams({ clip, file: name });
    return link(`/v1/jobs/${encodeURIComponent(job.id)}/result?${address}`, labelOf(name), name);
  });
  const stem = files[0].replace(/\.\w+$/, "");
  if (!files[0].endsWith(".m4b")) {
    const m4b = link(ofJob(job.id, "clips", clip, "exports", "m4b"), "M4B", `${stem}.m4b`);
    m4b.dataset.format = "m4b";
    links.splice(1, 0, m4b);
  }
  links.push(link(`${ofJob(job.id, "zip")}?name=${encodeURIComponent(stem)}`, t("downloads.zip"), `${stem}.zip`));
  $("downloads-list").replaceChildren(...links);
  for (const option of $("other-format").options) option.hidden = option.disabled = files[0].endsWith(`.${option.value}`) && option.value !== "";
}

/** Have the clip encoded in another format, and download it. */
async function download(format) {
  const job = state.open, address = ofJob(job.id, "clips", clip, "exports", format);
  say($("downloads-note"), t("downloads.preparing", { format }));
  try {
    await send("PUT", address);
    say($("downloads-note"), t("downloads.ready", { format }));
    const stem = clipOf(job).files[0].replace(/\.\w+$/, "");
    link(address, "", `${stem}.${format}`).click();
  } catch (error) {
    say($("downloads-note"), "");
    throw error;
  }
}

// ---- actions --------------------------------------------------------------------------------------------------------

async function act(action) {
  const { id } = state.open;
  if (action !== "remove") return state.accept(await send("POST", ofJob(id, action)));
  const dialog = $("confirm");
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise(done => dialog.addEventListener("close", done, { once: true }));
  if (dialog.returnValue !== "yes") return undefined;
  await send("DELETE", ofJob(id));
  return leave();
}

/** Tell when a job ends, also one that is not shown. */
function tellEnds() {
  const before = new Map();
  return () => {
    for (const job of state.jobs.values()) {
      const was = before.get(job.id);
      before.set(job.id, job.state);
      if (was !== "running" || job.state === was) continue;
      if (job.state === "finished") (job.id === state.openId ? whisper : toast)(t("job.finished_now", { name: job.name }));
      if (job.state === "failed") toast(t("job.failed_now", { name: job.name, error: job.error ?? "" }), true);
    }
  };
}

/** `toNew`: leaves the job, after it was removed. */
export function startJob(toNew) {
  leave = toNew;
  startSegments();
  state.addEventListener("jobs", tellEnds());
  state.addEventListener("jobs", () => {
    if (state.openId === null) return;
    show();
    showSegments([]);
  });
  state.addEventListener("segments", event => {
    showSegments(event.detail);
    if (state.open) {
      showPlayer();
      askPeaks(state.open);
    }
  });
  player.addEventListener("change", () => {
    showPlayer();
    showCurrent();
  });
  player.addEventListener("time", showTime);
  player.addEventListener("failed", () => toast(t("player.failed"), true));
  $("play").addEventListener("click", () => player.toggle());
  $("previous").addEventListener("click", () => player.step(-1));
  $("next").addEventListener("click", () => player.step(1));
  $("seek").addEventListener("input", event => player.seek(Number(event.target.value)));
  $("clip").addEventListener("change", event => {
    clip = Number(event.target.value);
    player.clear(clip);
    drawWave([], 0);
    showClip(clip);
    show();
  });
  for (const button of document.querySelectorAll("[data-action]")) button.addEventListener("click", () => during(button, () => act(button.dataset.action)));
  $("downloads").addEventListener("click", event => {
    const node = event.target.closest("[data-format]");
    if (!node) return;
    event.preventDefault();
    during(node, () => download(node.dataset.format));
  });
  $("other-format").addEventListener("change", event => {
    const format = event.target.value;
    event.target.value = "";
    if (format) during(event.target, () => download(format));
  });
}
