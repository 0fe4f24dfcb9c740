// What all pages share: language, light and dark, the key, short messages.

import { byId, h } from "./dom.js";
import { language, onLanguage, setLanguage, translate, word } from "./i18n.js";
import { forget, key } from "./keys.js";

const KEPT = "persona-ray.theme";
const THEMES = ["auto", "light", "dark"];

function theme() {
  const kept = localStorage.getItem(KEPT);
  return THEMES.includes(kept) ? kept : "auto";
}

function apply() {
  document.documentElement.style.colorScheme = theme() === "auto" ? "light dark" : theme();
}

function label() {
  document.title = `${word(`nav.${document.body.dataset.page}`)} · persona-ray`;
  byId("theme-button").textContent = word(`theme.${theme()}`);
  byId("theme-button").setAttribute("aria-label", `${word("theme")}: ${word(`theme.${theme()}`)}`);
  byId("language-button").textContent = language() === "zh" ? "English" : "中文";
  byId("language-button").lang = language() === "zh" ? "en" : "zh-CN";
  byId("key-button").textContent = word("key.forget");
  byId("key-button").hidden = !key();
}

/** A short message that goes away by itself; of good news only the last one stays. */
export function toast(text, kind = "") {
  const box = h("div", { class: `toast ${kind}` }, text);
  if (!kind) for (const old of byId("toasts").querySelectorAll(".toast:not(.bad)")) old.remove();
  byId("toasts").append(box);
  setTimeout(() => box.remove(), kind ? 8000 : 2500);
}

/** What went wrong, and how to mend it. */
export function failed(error) {
  toast([error.message, error.fix].filter(Boolean).join(" — "), "bad");
}

/** Do it and say `said`, or what went wrong; whether it was done. */
export async function act(does, said) {
  try {
    await does();
    if (said) toast(said);
    return true;
  } catch (error) {
    failed(error);
    return false;
  }
}

apply();
translate();
label();
onLanguage(label);
document.addEventListener("keychange", label);
byId("language-button").addEventListener("click", () => setLanguage(language() === "zh" ? "en" : "zh"));
byId("theme-button").addEventListener("click", () => {
  localStorage.setItem(KEPT, THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length]);
  apply();
  label();
  document.dispatchEvent(new Event("themechange"));
});
byId("key-button").addEventListener("click", () => {
  forget();
  location.reload();
});
