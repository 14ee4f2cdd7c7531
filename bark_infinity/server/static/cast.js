// The speakers of a script: who speaks with which voice.

import { $, copy, say } from "./dom.js";
import { voicesForSpeakers } from "./voices.js";
import { clock, t } from "./words.js";

const own = new Map(); // the voices that the user chose, by speaker
let changed = () => {};

/** The chosen voices as --cast takes them. */
export function castOption() {
  return [...own].map(([name, voice]) => `${name}=${voice}`).join(",");
}

function options(select, voice) {
  const known = voicesForSpeakers(), isKnown = known.some(([value]) => value === voice);
  const others = voice && !isKnown ? [[voice, voice]] : [];
  select.replaceChildren(...[["", t("cast.job_voice")], ...others, ...known].map(([value, name]) => new Option(name, value, false, value === (voice ?? ""))));
}

function row({ name }) {
  const node = copy("t-speaker"), select = node.querySelector("select");
  say(node.children[0], name ?? t("cast.narrator"));
  node.dataset.name = name ?? "";
  select.hidden = name === null;
  select.setAttribute("aria-label", t("cast.voice_of", { name: name ?? t("cast.narrator") }));
  return node;
}

/** Show the cast of a plan; null: there is nothing to plan. */
export function showCast(plan) {
  const cast = plan?.cast ?? [], alike = plan?.look_alikes ?? [], list = $("cast-list");
  if (!plan) own.clear();
  $("cast").hidden = !cast.length && !alike.length;
  const names = cast.map(one => one.name ?? "");
  if ([...list.children].map(node => node.dataset.name).join("\n") !== names.join("\n") || list.children.length !== names.length) {
    list.replaceChildren(...cast.map(row));
  }
  for (const [k, speaker] of cast.entries()) {
    const node = list.children[k], select = node.querySelector("select");
    if (document.activeElement !== select) options(select, own.get(speaker.name) ?? speaker.voice);
    say(node.children[1], `${t("segments_n", { n: speaker.segments })} · ${clock(speaker.seconds)}`);
  }
  $("look-alikes").hidden = !alike.length;
  const places = new Map();
  for (const { name, line } of alike) if (!places.has(name)) places.set(name, line);
  $("look-alikes-list").replaceChildren(
    ...[...places].map(([name, line]) => {
      const item = document.createElement("li"), button = document.createElement("button");
      Object.assign(button, { type: "button", className: "button small", textContent: `${t("cast.add", { name })} (${t("cast.line", { line })})` });
      button.dataset.name = name;
      item.append(button);
      return item;
    }),
  );
}

/** `change` is called when a speaker gets another voice. */
export function startCast(change) {
  changed = change;
  $("cast-list").addEventListener("change", event => {
    const { name } = event.target.closest(".speaker").dataset;
    if (event.target.value) own.set(name, event.target.value);
    else own.delete(name);
    changed();
  });
  $("look-alikes-list").addEventListener("click", event => {
    const name = event.target.closest("button")?.dataset.name, [voice] = voicesForSpeakers();
    if (!name || !voice) return;
    own.set(name, voice[0]);
    changed();
  });
}
