// The form of flags: what was changed in it, and its search.

import { upload } from "./api.js";
import { $, mark, say, toast } from "./dom.js";
import { t } from "./words.js";

const fields = [...document.querySelectorAll(".field")];

/** The control of a field, and its value as it is sent; "" is the default of a text or number. */
const controlOf = field => field.querySelector("input, select");

function valueOf(field) {
  const control = controlOf(field);
  if (field.dataset.control === "file") return control.dataset.name ?? "";
  return field.dataset.control === "switch" ? String(control.checked) : control.value.trim();
}

function isChanged(field) {
  const value = valueOf(field);
  if (["switch", "choice"].includes(field.dataset.control)) return value !== field.dataset.default;
  return value !== "" && value !== field.dataset.default;
}

/** The flags that were changed, by name. */
export function changedSettings() {
  return Object.fromEntries(
    fields.filter(isChanged).map(field => [field.dataset.name, field.dataset.control === "switch" ? controlOf(field).checked : valueOf(field) || "none"]),
  );
}

function reset(field) {
  const control = controlOf(field);
  if (field.dataset.control === "switch") control.checked = field.dataset.default === "true";
  else control.value = field.dataset.control === "choice" ? field.dataset.default : "";
  delete control.dataset.name;
}

/** Upload the file that was chosen for a flag; the flag then has its name. */
async function take(control) {
  delete control.dataset.name;
  const [file] = control.files;
  if (!file) return;
  try {
    control.dataset.name = (await upload(file)).name;
  } catch (error) {
    control.value = "";
    toast(t("failed", { error: error.message }), true);
  }
}

function showChanged() {
  let n = 0;
  for (const field of fields) {
    const changed = isChanged(field);
    n += changed;
    field.classList.toggle("changed", changed);
    field.querySelector(".reset").hidden = !changed;
  }
  for (const group of document.querySelectorAll("[data-group]")) {
    const own = group.querySelectorAll(".field.changed").length;
    const badge = group.querySelector("[data-badge]");
    badge.hidden = !own;
    say(badge, String(own));
  }
  say($("settings-count"), n ? t("settings.changed", { n }) : t("settings.usual"));
  $("settings-reset").disabled = !n;
}

function search() {
  const words = $("settings-search").value.trim().toLowerCase().split(/[\s_-]+/).filter(Boolean);
  let found = 0;
  for (const group of document.querySelectorAll("[data-group]")) {
    let own = 0;
    for (const field of group.querySelectorAll(".field")) {
      const text = `${field.dataset.name.replaceAll("_", " ")} ${field.textContent}`.toLowerCase();
      field.hidden = !words.every(word => text.includes(word));
      own += !field.hidden;
    }
    group.hidden = !own;
    if (words.length) group.open = own > 0;
    else group.open = false;
    found += own;
  }
  $("settings-none").hidden = found > 0;
}

/** `changed` is called after every change. */
export function startSettings(changed) {
  $("settings").addEventListener("input", async event => {
    if (event.target === $("settings-search")) return search();
    const control = event.target;
    if (control.type === "file") await take(control);
    mark(control, "aria-invalid", control.checkValidity() ? null : "true");
    showChanged();
    changed();
  });
  $("settings").addEventListener("click", event => {
    const button = event.target.closest(".reset");
    if (!button && event.target !== $("settings-reset")) return;
    if (button) {
      const field = button.closest(".field");
      reset(field);
      controlOf(field).focus();
    } else {
      fields.forEach(reset);
      $("settings-search").focus();
    }
    showChanged();
    changed();
  });
  showChanged();
}
