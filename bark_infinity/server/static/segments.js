// The table of segments: a row for each, made once and patched; a text that is being edited is never rewritten.

import { ofJob, send } from "./api.js";
import { $, copy, during, icon, mark, say, toast } from "./dom.js";
import { player } from "./player.js";
import { state } from "./state.js";
import { clock, t } from "./words.js";

const CHUNK_MS = 8, CHUNK = 40; // for which rows are made in one go, and how many at most, so that the page never stops for long
const list = $("segments");
const rows = new Map(); // by index
let clip = 0; // whose segments are shown
let building = 0;
let hasSpeakers = false;
let couldChange = false; // when rows were last patched
let current = null; // the row of the segment that is played or chosen

const numberOf = segment => segment.index - firstOf(segment.clip) + 1;
const firstOf = of => state.segments.findIndex(segment => segment?.clip === of);

/** Whether segments can be changed: when all clips of the job are finished. */
const canChange = () => Boolean(state.open?.clips.every(one => one.files.length > 0));

function hasFaults(segment) {
  return segment.faults.length > 0 || segment.state === "failed" || segment.state === "silent";
}

function make(segment) {
  const row = copy("t-segment"), n = numberOf(segment);
  row.dataset.index = segment.index;
  say(row.querySelector(".seg-number"), String(n));
  for (const button of row.querySelectorAll("button")) button.setAttribute("aria-label", t(`segments.${button.dataset.do}`, { n }));
  const before = state.segments[segment.index - 1];
  if (segment.chapter && !(before?.clip === segment.clip && before.chapter === segment.chapter)) {
    row.querySelector(".chapter").hidden = false;
    say(row.querySelector(".chapter"), segment.chapter);
  }
  patch(row, segment);
  return row;
}

function lineOf(segment) {
  return [
    hasSpeakers && (segment.speaker ?? t("segments.narrator")),
    segment.start !== null && clock(segment.start),
    segment.seconds !== null && t("segments.seconds", { n: segment.seconds.toFixed(1) }),
    segment.takes > 1 && t("segments.take_of", { n: segment.chosen + 1, of: segment.takes }),
    segment.word_errors > 0 && t("segments.word_errors", { n: Math.round(100 * segment.word_errors) }),
    t(`segments.state.${segment.state}`),
  ].filter(Boolean);
}

function patch(row, segment) {
  row.dataset.state = segment.state;
  say(row.querySelector(".seg-text"), segment.text || t("segments.wordless"));
  const line = row.querySelector(".seg-line"), words = lineOf(segment), signature = JSON.stringify([words, segment.faults]);
  if (line.dataset.signature !== signature) {
    line.dataset.signature = signature;
    line.replaceChildren(...words.map(word => Object.assign(document.createElement("span"), { textContent: word })), ...segment.faults.map(fault));
  }
  row.querySelector("[data-do=play]").disabled = segment.state !== "made";
  row.querySelector("[data-do=takes]").hidden = segment.takes < 2;
  const takes = row.querySelector(".takes");
  if (takes) fillTakes(takes, segment);
  row.classList.toggle("faulty", hasFaults(segment));
  row.querySelector(".seg-tools").classList.toggle("later", !canChange());
}

function fault(words) {
  const node = copy("t-fault");
  node.append(words);
  return node;
}

function removeFrom(index) {
  for (const [own, row] of rows) {
    if (own < index) continue;
    row.remove();
    rows.delete(own);
  }
}

/** Show the segments of a clip: all rows are made anew. */
export function showClip(index) {
  clip = index;
  $("only-faulty").checked = false;
  list.classList.remove("only-faulty");
  removeFrom(0);
  current = null;
  list.replaceChildren();
  showSegments();
}

/** Make the rows that are missing, some at a time, and patch those whose segments have changed (all, if not said). */
export function showSegments(changed = state.segments) {
  const n = state.open?.n_segments;
  if (n && state.segments.length > n) {
    state.segments.length = n;
    removeFrom(n);
  }
  const before = `${hasSpeakers} ${couldChange}`;
  hasSpeakers = state.segments.some(segment => segment?.speaker);
  couldChange = canChange();
  for (const segment of before === `${hasSpeakers} ${couldChange}` ? changed : state.segments) {
    const row = segment && rows.get(segment.index);
    if (row) patch(row, segment);
  }
  if (!building) build();
  showFaults();
}

function build() {
  building = 0;
  const batch = document.createDocumentFragment();
  const end = performance.now() + CHUNK_MS;
  let n = 0;
  for (const segment of state.segments) {
    if (!segment || segment.clip !== clip || rows.has(segment.index)) continue;
    if (n === CHUNK || (n && performance.now() > end)) {
      building = requestAnimationFrame(build);
      break;
    }
    const row = make(segment);
    rows.set(segment.index, row);
    batch.append(row);
    n++;
  }
  if (n) list.append(batch);
  $("job-about").hidden = building !== 0; // below the rows, which would push it down
  showCurrent();
}

function showFaults() {
  const own = state.segments.filter(segment => segment?.clip === clip), n = own.filter(hasFaults).length;
  say($("faulty-count"), n ? t("segments.faulty", { n }) : "");
  $("faulty-label").hidden = !n && !$("only-faulty").checked;
  $("segments-none").hidden = n > 0 || !$("only-faulty").checked;
}

/** Mark the row of the segment that is played or chosen. */
export function showCurrent(withFocus = false) {
  const row = rows.get(player.index) ?? null;
  if (row !== current && current) {
    mark(current, "aria-current", null);
    showPlaying(current, false);
  }
  const before = current;
  current = row;
  if (!row) return;
  mark(row, "aria-current", "true");
  showPlaying(row, player.isPlaying);
  if (withFocus) row.focus({ preventScroll: true });
  if (row !== before && (withFocus || isSeen(before))) row.scrollIntoView({ block: "nearest" });
}

function showPlaying(row, isPlaying) {
  const button = row.querySelector("[data-do=play]"), segment = state.segments[row.dataset.index];
  icon(button, isPlaying ? "pause" : "play");
  if (segment) mark(button, "aria-label", t(isPlaying ? "segments.pause" : "segments.play", { n: numberOf(segment) }));
}

function isSeen(row) {
  if (!row) return false;
  const { top, bottom } = row.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}

// ---- what is done with a segment ------------------------------------------------------------------------------------

export function edit(index) {
  const row = rows.get(index), segment = state.segments[index];
  if (!row || !segment.text || !canChange()) return;
  if (row.querySelector(".seg-edit")) return row.querySelector("textarea").focus();
  const form = copy("t-edit"), area = form.querySelector("textarea"), body = row.querySelector(".seg-body");
  area.value = segment.text;
  area.placeholder = t("segments.leave_out");
  area.setAttribute("aria-label", t("segments.text", { n: numberOf(segment) }));
  body.hidden = true;
  row.querySelector(".seg-tools").hidden = true;
  body.after(form);
  area.focus();
  area.setSelectionRange(area.value.length, area.value.length);
  form.addEventListener("submit", event => {
    event.preventDefault();
    save(row, form, area, index);
  });
  area.addEventListener("keydown", event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    if (event.key === "Escape") discard(row);
  });
}

function discard(row) {
  row.querySelector(".seg-edit")?.remove();
  row.querySelector(".seg-body").hidden = row.querySelector(".seg-tools").hidden = false;
  row.querySelector("[data-do=edit]").focus();
}

async function save(row, form, area, index) {
  const text = area.value.trim(), problem = form.querySelector(".notice");
  if (text === state.segments[index].text) return discard(row);
  const button = form.querySelector(".primary");
  button.disabled = true;
  try {
    state.accept(await send("PUT", ofJob(state.openId, "texts"), { texts: { [index]: text } }));
    discard(row);
    toast(t("segments.edited", { n: numberOf(state.segments[index]) }));
  } catch (error) {
    button.disabled = false;
    problem.hidden = false;
    say(problem, error.message);
  }
}

export function again(index) {
  const button = rows.get(index)?.querySelector("[data-do=again]");
  if (!button || !canChange()) return undefined;
  return during(button, async () => {
    state.accept(await send("PUT", ofJob(state.openId, "again"), { segments: [index] }));
    toast(t("segments.asked_again", { n: numberOf(state.segments[index]) }));
  });
}

function toggleTakes(row, index) {
  const open = row.querySelector(".takes"), button = row.querySelector("[data-do=takes]");
  mark(button, "aria-expanded", String(!open));
  if (open) return open.remove();
  const takes = document.createElement("ul");
  takes.className = "takes rows";
  row.append(takes);
  fillTakes(takes, state.segments[index]);
}

function fillTakes(takes, segment) {
  while (takes.children.length > segment.takes) takes.lastElementChild.remove();
  for (let take = 0; take < segment.takes; take++) {
    const line = takes.children[take] ?? takes.appendChild(copy("t-take"));
    line.dataset.take = take;
    mark(line.querySelector("[data-do=play-take]"), "aria-label", t("segments.play_take", { n: take + 1, of: numberOf(segment) }));
    say(line.querySelector(".grow"), t("segments.take", { n: take + 1 }));
    const use = line.querySelector("[data-do=use-take]");
    use.ariaDisabled = take === segment.chosen || !canChange() ? "true" : null;
    mark(use, "aria-pressed", String(take === segment.chosen));
    say(use, t(take === segment.chosen ? "segments.in_use" : "segments.use_take"));
  }
}

function useTake(button, index, take) {
  return during(button, async () => {
    state.accept(await send("PUT", ofJob(state.openId, "segments", index, "take"), { take }));
    toast(t("segments.take_used", { n: take + 1, of: numberOf(state.segments[index]) }));
  });
}

export function startSegments() {
  list.addEventListener("click", event => {
    const row = event.target.closest(".segment"), button = event.target.closest("[data-do]");
    if (!row) return;
    const index = Number(row.dataset.index), take = Number(event.target.closest("[data-take]")?.dataset.take);
    if (!button) {
      if (!event.target.closest(".seg-edit") && getSelection().isCollapsed) player.choose(index);
      return;
    }
    const acts = {
      play: () => (player.isPlaying && player.index === index ? player.pause() : player.play(index, { only: true, at: 0 })),
      edit: () => edit(index),
      again: () => again(index),
      takes: () => toggleTakes(row, index),
      discard: () => discard(row),
      "play-take": () => player.play(index, { only: true, at: 0, take }),
      "use-take": () => useTake(button, index, take),
    };
    acts[button.dataset.do]();
  });
  $("only-faulty").addEventListener("change", () => {
    list.classList.toggle("only-faulty", $("only-faulty").checked);
    showFaults();
  });
}
