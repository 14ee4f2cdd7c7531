// Small helpers on the document: nodes are made once from the page's templates, and patched only where they change.

import { t } from "./words.js";

export const $ = id => document.getElementById(id);

/** A copy of the first element in a template. */
export function copy(template) {
  return $(template).content.firstElementChild.cloneNode(true);
}

/** Set the text of an element, if it is another one: what is selected in it stays. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set or remove an attribute, if it changes. */
export function mark(element, name, value) {
  if (value === null || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Show another icon in a button. */
export function icon(button, name) {
  mark(button.querySelector("use"), "href", `#i-${name}`);
}

/** Call `act` once, `ms` after the last call. */
export function soon(act, ms) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), ms);
  };
}

/** Tell something in passing, to eyes and to screen readers. */
export function toast(text, isBad = false) {
  const line = document.createElement("p");
  line.textContent = text;
  line.classList.toggle("bad", isBad);
  $("toasts").append(line);
  while ($("toasts").children.length > 3) $("toasts").firstElementChild.remove();
  setTimeout(() => line.remove(), isBad ? 9000 : 4000);
}

/** Tell something to screen readers alone, where eyes see it anyway. */
export function whisper(text) {
  say($("live"), text);
}

/** Run what a button asks for; while it runs the button waits, and an error is told. */
export async function during(button, act) {
  if (button.ariaDisabled === "true") return undefined;
  button.ariaDisabled = "true";
  try {
    return await act();
  } catch (error) {
    toast(t("failed", { error: error.message }), true);
    return undefined;
  } finally {
    button.ariaDisabled = null;
  }
}

/** Copy the text of the element that a [data-copy] button names. */
export async function copyText(button) {
  await navigator.clipboard.writeText($(button.dataset.copy).textContent);
  say(button, t("command.copied"));
  setTimeout(() => say(button, t("command.copy")), 2000);
}
