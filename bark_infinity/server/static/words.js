// The texts of the page, and numbers and times in words.

const texts = JSON.parse(document.getElementById("texts").textContent);
const plurals = new Intl.PluralRules("en");

/** The text at a path such as "new.start", with {names} replaced; for one with plural forms, `n` chooses. */
export function t(path, values = {}) {
  let text = path.split(".").reduce((part, key) => part[key], texts);
  if (typeof text === "object") text = text[plurals.select(values.n)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (_, name) => (name === "n" && typeof values.n === "number" ? values.n.toLocaleString("en") : values[name] ?? ""));
}

/** Seconds as 1:34 or 1:02:03. */
export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [h, min, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = number => String(number).padStart(2, "0");
  return h ? `${h}:${two(min)}:${two(s)}` : `${min}:${two(s)}`;
}

/** Seconds as people say them: 40 s, 3 min, 2 h 5 min. */
export function roughly(seconds) {
  if (seconds < 55) return t("time.s", { n: Math.max(5, Math.ceil(seconds / 5) * 5) });
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return t("time.min", { n: Math.max(1, minutes) });
  return t("time.h", { h: Math.floor(minutes / 60), min: minutes % 60 });
}
