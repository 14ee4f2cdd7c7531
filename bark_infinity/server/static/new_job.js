// A new job: the text or file, what is planned of it while it is written, and its start.

import { send, upload } from "./api.js";
import { chosenChapters, showChapters, startChapters } from "./chapters.js";
import { castOption, showCast, startCast } from "./cast.js";
import { $, during, mark, say, soon, toast, whisper } from "./dom.js";
import { changedSettings, startSettings } from "./settings.js";
import { state } from "./state.js";
import { chosenVoice, startVoices, takeVoice } from "./voices.js";
import { roughly, t } from "./words.js";

const DRAFT = "bark-draft", MOST_DRAFT = 200000; // characters that are kept over a reload

let file = null; // what the server says of the uploaded file
let asked = null; // the request for the preview that is under way
let started = () => {};

function settings() {
  const chapters = chosenChapters(), cast = castOption();
  return { ...chosenVoice(), ...(cast ? { cast } : {}), ...(chapters === null ? {} : { chapters }), ...changedSettings() };
}

function request() {
  return { text: file ? null : $("text").value, upload: file?.id ?? null, options: settings() };
}

function hasText() {
  return file !== null || $("text").value.trim() !== "";
}

// ---- what is planned ------------------------------------------------------------------------------------------------

function showProblem(message) {
  $("problem").hidden = !message;
  say($("problem-text"), message ? message[0].toUpperCase() + message.slice(1) : "");
  mark($("text"), "aria-invalid", message ? "true" : null);
  const place = /line (\d+), column (\d+)/.exec(message ?? "");
  $("problem-go").hidden = !place || file !== null;
  if (place) {
    say($("problem-go"), t("new.go_to", { line: place[1] }));
    [$("problem-go").dataset.line, $("problem-go").dataset.column] = [place[1], place[2]];
  }
}

/** Put the cursor at a place of the text, counted from 1. */
function goTo(line, column) {
  const lines = $("text").value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0) + column - 1;
  const end = start + Math.max(1, (lines[line - 1] ?? "").length - column + 1);
  $("text").focus();
  $("text").setSelectionRange(start, end);
}

function showPlan(plan) {
  showProblem(null);
  say($("command-text"), plan.command);
  showChapters(plan);
  showCast(plan);
  const segments = t("segments_n", { n: plan.segments }), sound = roughly(plan.seconds);
  say($("estimate"), plan.making_s === null ? t("new.estimate", { segments, sound }) : t("new.estimate_made", { segments, sound, time: roughly(plan.making_s) }));
  $("notes").hidden = !plan.notes.length;
  $("notes").replaceChildren(...plan.notes.map(item));
  const clips = plan.clips.length > 1 ? `${t("preview.clips", { n: plan.clips.length })} · ` : "";
  say($("preview-count"), clips + segments);
  const rest = plan.segments - plan.texts.length;
  $("preview-list").replaceChildren(
    ...plan.texts.map(({ text, speaker }) => item(speaker ? `${speaker}: ${text}` : text || t("segments.wordless"))),
    ...(rest > 0 ? [item(t("preview.more", { n: rest }))] : []),
  );
}

function item(text) {
  return Object.assign(document.createElement("li"), { textContent: text });
}

function showNothing() {
  showProblem(null);
  showChapters(null);
  showCast(null);
  $("preview-list").replaceChildren();
  $("notes").hidden = true;
  say($("preview-count"), "");
  say($("command-text"), "");
  say($("estimate"), t("new.estimate_empty"));
}

async function plan() {
  asked?.abort();
  asked = null;
  if (!hasText()) return showNothing();
  const own = (asked = new AbortController());
  try {
    const result = await send("POST", "/api/preview", request(), own.signal);
    if (asked !== own) return;
    if (result.problem) {
      showProblem(result.problem);
      say($("command-text"), "");
      say($("estimate"), "");
    } else showPlan(result);
  } catch (error) {
    if (error.name === "AbortError" || asked !== own) return;
    showProblem(error.message);
    say($("estimate"), "");
  }
}

const soonPlan = soon(plan, 500);

function changed() {
  if (hasText()) say($("estimate"), t("new.checking"));
  soonPlan();
}

// ---- the text or file -----------------------------------------------------------------------------------------------

function keepDraft() {
  const text = $("text").value;
  try {
    sessionStorage.setItem(DRAFT, text.length <= MOST_DRAFT ? text : "");
  } catch {
    // a browser that keeps nothing
  }
}

function showFile() {
  $("composer").classList.toggle("has-file", file !== null);
  $("file-chip").hidden = file === null;
  say($("file-name"), file?.name ?? "");
  if (file) mark($("file-remove"), "aria-label", t("new.remove_file", { name: file.name }));
}

async function take(given) {
  say($("estimate"), t("new.reading", { name: given.name }));
  showProblem(null);
  try {
    const uploaded = await upload(given);
    if (["voice", "recording"].includes(uploaded.kind)) return await takeVoice(uploaded);
    file = uploaded;
    showFile();
    whisper(t("new.file_ready", { name: file.name }));
    return changed();
  } catch (error) {
    say($("estimate"), "");
    return showProblem(error.message);
  }
}

function startFiles() {
  const composer = $("composer");
  $("file-choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    const [given] = $("file").files;
    if (given) take(given);
    $("file").value = "";
  });
  $("file-remove").addEventListener("click", () => {
    file = null;
    showFile();
    $("text").focus();
    changed();
  });
  let depth = 0; // of the elements that the file is dragged over
  addEventListener("dragenter", event => {
    if (!event.dataTransfer.types.includes("Files") || $("new").hidden) return;
    depth++;
    composer.classList.add("dragging");
  });
  addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    if (!depth) composer.classList.remove("dragging");
  });
  addEventListener("dragover", event => event.preventDefault());
  addEventListener("drop", event => {
    event.preventDefault();
    depth = 0;
    composer.classList.remove("dragging");
    const [given] = event.dataTransfer.files;
    if (given && !$("new").hidden) take(given);
  });
}

async function start() {
  if (!hasText()) {
    showProblem(t("new.empty"));
    return $("text").focus();
  }
  if (chosenChapters() === "") return showProblem(t("chapters.choose"));
  const button = $("start");
  say(button, t("new.starting"));
  try {
    const job = await send("POST", "/api/jobs", request());
    showProblem(null);
    file = null;
    showFile();
    $("text").value = "";
    keepDraft();
    showNothing();
    state.accept(job);
    return started(job.id);
  } catch (error) {
    showProblem(error.message);
    $("problem").scrollIntoView({ block: "nearest" });
    return undefined;
  } finally {
    say(button, t("new.start"));
  }
}

/** `toJob` is called with the id of a job that was started. */
export function startNew(toJob) {
  started = toJob;
  try {
    $("text").value ||= sessionStorage.getItem(DRAFT) ?? "";
  } catch {
    // a browser that keeps nothing
  }
  startFiles();
  startChapters(changed);
  startCast(changed);
  startSettings(changed);
  $("text").addEventListener("input", () => {
    keepDraft();
    changed();
  });
  $("problem-go").addEventListener("click", event => goTo(Number(event.target.dataset.line), Number(event.target.dataset.column)));
  $("new-form").addEventListener("submit", event => {
    event.preventDefault();
    during($("start"), start);
  });
  startVoices(changed)
    .catch(error => toast(t("failed", { error: error.message }), true))
    .finally(plan);
}
