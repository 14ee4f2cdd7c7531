// The gallery of voices: search, language, samples, and voices that the user adds.

import { get, upload } from "./api.js";
import { $, copy, during, icon, mark, say, toast } from "./dom.js";
import { player } from "./player.js";
import { t } from "./words.js";

let voices = [];
let cards = []; // [voice, card] in order
let chosen = "";
let playing = null; // the button of the sample that is heard
let tell = () => {};
const sample = new Audio();

/** The chosen voice as options have it. */
export function chosenVoice() {
  const voice = voices.find(own => own.value === chosen);
  if (!voice || chosen === "") return {};
  return voice.recording ? { audio_file_as_history_prompt: chosen } : { history_prompt: chosen };
}

/** All voices that can be given to a speaker: [value, name]. */
export function voicesForSpeakers() {
  return voices.filter(voice => voice.value && voice.value !== "random" && !voice.recording).map(voice => [voice.value, voice.name]);
}

function lineOf(voice) {
  if (voice.hint) return voice.hint;
  const words = [voice.language_name, voice.seconds === null ? "" : t("voices.seconds", { n: voice.seconds.toFixed(1) })];
  if (voice.kind) words.push(t(`voices.${voice.kind}`));
  return words.filter(Boolean).join(" · ");
}

function card(voice, k) {
  const node = copy("t-voice");
  const [radio, label, button] = [node.querySelector("input"), node.querySelector("label"), node.querySelector("button")];
  radio.id = `voice-${k}`;
  radio.value = voice.value;
  radio.checked = voice.value === chosen;
  radio.autocomplete = "off";
  label.htmlFor = radio.id;
  say(label.children[0], voice.name);
  say(label.children[1], lineOf(voice));
  label.title = voice.name;
  if (voice.sample) mark(button, "aria-label", t("voices.play", { name: voice.name }));
  else button.remove();
  return node;
}

function filter() {
  const words = $("voices-search").value.trim().toLowerCase(), language = $("voices-language").value;
  let shown = 0;
  for (const [voice, node] of cards) {
    const fits = !language || voice.language === language || voice.value === chosen;
    node.hidden = !(fits && `${voice.name} ${lineOf(voice)}`.toLowerCase().includes(words));
    shown += !node.hidden;
  }
  $("voices-none").hidden = shown > 0;
}

/** Ask for the voices, and show them. */
export async function loadVoices() {
  const content = await get("/api/voices");
  const first = [
    { value: "", name: content.default ?? t("voices.any"), hint: content.default ? "" : t("voices.any_hint"), seconds: null, language: "" },
    { value: "random", name: t("voices.random"), hint: t("voices.random_hint"), seconds: null, language: "" },
  ];
  voices = [...first, ...content.voices];
  cards = voices.map((voice, k) => [voice, card(voice, k)]);
  $("voices").replaceChildren(...cards.map(([, node]) => node));
  for (const option of [...$("voices-language").options].slice(1)) {
    option.hidden = option.disabled = !voices.some(voice => voice.language === option.value);
  }
  filter();
}

function choose(value) {
  chosen = value;
  const node = cards.find(([voice]) => voice.value === value)?.[1];
  if (node) node.querySelector("input").checked = true;
  node?.scrollIntoView({ block: "nearest" });
  tell();
}

function stopSample() {
  sample.pause();
  if (!playing) return;
  icon(playing, "play");
  mark(playing, "aria-label", t("voices.play", { name: playing.parentElement.querySelector(".voice-name").textContent }));
  playing = null;
}

async function playSample(button, value) {
  const again = playing === button;
  stopSample();
  if (again) return;
  player.pause();
  playing = button;
  icon(button, "pause");
  mark(button, "aria-label", t("voices.stop", { name: button.parentElement.querySelector(".voice-name").textContent }));
  sample.src = `/api/voices/sample?name=${encodeURIComponent(value)}`;
  try {
    await sample.play();
  } catch (error) {
    if (error.name !== "AbortError") toast(t("player.failed"), true);
    if (playing === button) stopSample();
  }
}

async function add(file) {
  toast(t("voices.adding", { name: file.name }));
  await takeVoice(await upload(file));
}

/** Show and choose a voice or recording that was uploaded. */
export async function takeVoice(added) {
  await loadVoices();
  choose(added.id);
  toast(t("voices.added", { name: added.name }));
}

/** `changed` is called when another voice is chosen. */
export function startVoices(changed) {
  tell = changed;
  sample.preload = "none";
  sample.addEventListener("ended", stopSample);
  $("voices").addEventListener("change", event => choose(event.target.value));
  $("voices").addEventListener("click", event => {
    const button = event.target.closest("button");
    if (button) playSample(button, button.parentElement.querySelector("input").value);
  });
  $("voices-search").addEventListener("input", filter);
  $("voices-language").addEventListener("change", filter);
  $("voices-add").addEventListener("click", () => $("voices-file").click());
  $("voices-file").addEventListener("change", () => {
    const [file] = $("voices-file").files;
    if (file) during($("voices-add"), () => add(file));
    $("voices-file").value = "";
  });
  return loadVoices();
}
