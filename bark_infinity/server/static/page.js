// The page: which part of it is shown, the side with the jobs, dialogs and keys.

import { $, copyText, during, mark } from "./dom.js";
import { openJob, startJob } from "./job.js";
import { startJobs } from "./jobs_list.js";
import { startNew } from "./new_job.js";
import { player } from "./player.js";
import { again, edit, showCurrent } from "./segments.js";
import { state } from "./state.js";
import { t } from "./words.js";

// ---- addresses ------------------------------------------------------------------------------------------------------

/** Show what the address names. */
async function show() {
  const id = /^\/jobs\/([^/]+)$/.exec(location.pathname)?.[1];
  closeSide();
  $("new").hidden = id !== undefined;
  if (id !== undefined) {
    await openJob(decodeURIComponent(id));
    return;
  }
  $("job").hidden = $("missing").hidden = true;
  player.clear();
  await state.show(null);
  document.title = t("name");
}

/** Go to an address of the page, and put the focus on its title. */
async function go(path, withFocus = true) {
  if (path !== location.pathname) history.pushState(null, "", path);
  await show();
  state.dispatchEvent(new CustomEvent("jobs")); // the list marks the open one
  scrollTo(0, 0);
  if (withFocus) $(location.pathname === "/" ? "new-title" : "job-title").focus({ preventScroll: true });
}

// ---- the side, where there is no room for it ------------------------------------------------------------------------

function openSide() {
  $("side").classList.add("open");
  mark($("side-open"), "aria-expanded", "true");
  document.querySelector(".page").inert = true;
  const scrim = Object.assign(document.createElement("button"), { className: "scrim", ariaLabel: t("nav.close"), tabIndex: -1 });
  scrim.addEventListener("click", closeSide);
  document.body.append(scrim);
  $("side-close").focus();
}

function closeSide() {
  if (!$("side").classList.contains("open")) return;
  $("side").classList.remove("open");
  mark($("side-open"), "aria-expanded", "false");
  document.querySelector(".page").inert = false;
  document.querySelector(".scrim")?.remove();
  $("side-open").focus();
}

// ---- keys -----------------------------------------------------------------------------------------------------------

const TYPES = "input, textarea, select, [contenteditable]", PRESSES = "button, a, summary, [role=button]";

function onKey(event) {
  if (event.key === "Escape") closeSide();
  const { target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || target.closest(`dialog, ${TYPES}`)) return;
  if (event.key === "?") return $("help").showModal();
  if ($("job").hidden) return;
  if (event.key === " " && target.closest(PRESSES)) return;
  const acts = {
    " ": () => player.toggle(),
    j: () => step(1),
    k: () => step(-1),
    e: () => player.index !== null && edit(player.index),
    r: () => player.index !== null && again(player.index),
  };
  const act = acts[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

function step(by) {
  player.step(by);
  showCurrent(true);
}

document.addEventListener("click", event => {
  const link = event.target.closest("a[data-link]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    go(link.getAttribute("href"));
  }
  const button = event.target.closest("[data-copy]");
  if (button) during(button, () => copyText(button));
});
document.addEventListener("keydown", onKey);
addEventListener("popstate", () => show().then(() => state.dispatchEvent(new CustomEvent("jobs"))));
$("side-open").addEventListener("click", openSide);
$("side-close").addEventListener("click", closeSide);
$("help-open").addEventListener("click", () => $("help").showModal());
state.addEventListener("online", event => ($("offline").hidden = event.detail));

startJobs();
startJob(() => go("/"));
startNew(id => go(`/jobs/${encodeURIComponent(id)}`));
show();
state.start();
