// The chapters of a book: which of them are spoken.

import { $, copy, say } from "./dom.js";
import { clock, t } from "./words.js";

let chapters = []; // as planned
let own = null; // the numbers that the user chose; null: what is suggested
let changed = () => {};

/** The chosen chapters as --chapters takes them ("1,3-7"); null for those that are suggested, "" for none. */
export function chosenChapters() {
  if (!chapters.length || own === null) return null;
  const runs = [];
  for (const number of [...own].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
}

const isChosen = chapter => (own ? own.has(chapter.number) : chapter.skipped === null);

function row(chapter) {
  const node = copy("t-chapter"), [words, time] = node.querySelectorAll(".quiet");
  const title = chapter.title || t("chapters.untitled", { n: chapter.number });
  say(node.querySelector(".grow"), chapter.skipped ? `${title} (${t("chapters.skipped", { why: chapter.skipped })})` : title);
  node.classList.toggle("skipped", chapter.skipped !== null);
  node.querySelector("input").value = chapter.number;
  say(words, t("chapters.words", { n: chapter.words }));
  say(time, clock(chapter.seconds));
  return node;
}

function showChosen() {
  for (const [k, node] of [...$("chapters-list").children].entries()) node.querySelector("input").checked = isChosen(chapters[k]);
  say($("chapters-chosen"), t("chapters.chosen", { n: chapters.filter(isChosen).length, of: chapters.length }));
}

/** Show the chapters of a plan; null: there is nothing to plan. */
export function showChapters(plan) {
  const before = JSON.stringify(chapters.map(chapter => chapter.title));
  chapters = plan?.chapters ?? [];
  $("chapters").hidden = !chapters.length;
  say($("chapters-book"), plan?.author ? t("chapters.by", plan) : plan?.title ?? "");
  if (JSON.stringify(chapters.map(chapter => chapter.title)) !== before || chapters.length !== $("chapters-list").children.length) {
    own = null;
    $("chapters-list").replaceChildren(...chapters.map(row));
  }
  showChosen();
}

/** `change` is called when others are chosen. */
export function startChapters(change) {
  changed = change;
  $("chapters-list").addEventListener("change", event => {
    own ??= new Set(chapters.filter(isChosen).map(chapter => chapter.number));
    if (event.target.checked) own.add(Number(event.target.value));
    else own.delete(Number(event.target.value));
    showChosen();
    changed();
  });
  $("chapters").addEventListener("click", event => {
    const which = event.target.closest("[data-choose]")?.dataset.choose;
    if (!which) return;
    own = which === "usual" ? null : new Set(which === "all" ? chapters.map(chapter => chapter.number) : []);
    showChosen();
    changed();
  });
}
