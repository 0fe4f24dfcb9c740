// Words in the language of whoever looks at the page.

import { EN_ASSIST } from "./words-en-assist.js";
import { EN_SCREENING } from "./words-en-screening.js";
import { EN_SCRIPTS } from "./words-en-scripts.js";
import { EN as EN_COLOURS } from "./words-en.js";
import { ZH_ASSIST } from "./words-zh-assist.js";
import { ZH_SCREENING } from "./words-zh-screening.js";
import { ZH_SCRIPTS } from "./words-zh-scripts.js";
import { ZH } from "./words-zh.js";

const EN = { ...EN_COLOURS, ...EN_SCREENING, ...EN_ASSIST, ...EN_SCRIPTS };
const WORDS = { en: EN, zh: { ...ZH, ...ZH_SCREENING, ...ZH_ASSIST, ...ZH_SCRIPTS } };
const KEPT = "persona-ray.language";
const listeners = new Set();
let current = chosen();

function chosen() {
  const kept = localStorage.getItem(KEPT);
  if (kept in WORDS) return kept;
  return (navigator.languages ?? [navigator.language]).some((name) => name.toLowerCase().startsWith("zh")) ? "zh" : "en";
}

export function language() {
  return current;
}

export function setLanguage(name) {
  current = name;
  localStorage.setItem(KEPT, name);
  translate();
  for (const listener of listeners) listener();
}

/** `listener` draws what was drawn in the other language. */
export function onLanguage(listener) {
  listeners.add(listener);
}

/** word("said.count", {n: 3}): the text of a key, with {n} put in. */
export function word(key, values = {}) {
  const text = WORDS[current][key] ?? EN[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** word() where the key may be missing. */
export function wordOr(key, otherwise) {
  return key in WORDS[current] ? WORDS[current][key] : otherwise;
}

/** Put words into what the HTML brought. */
export function translate(root = document) {
  document.documentElement.lang = current === "zh" ? "zh-CN" : "en";
  for (const element of root.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const element of root.querySelectorAll("[data-word-label]")) {
    element.setAttribute("aria-label", word(element.dataset.wordLabel));
  }
}

export function percent(value, digits = 0) {
  return value == null ? "–" : `${(100 * value).toFixed(digits)} %`;
}

/** 75.3 -> 1:15 */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export function date(text) {
  const time = new Date(text);
  return time.toLocaleString(current === "zh" ? "zh-CN" : "en-GB", { dateStyle: "medium", timeStyle: "short" });
}

export function count(value) {
  return value.toLocaleString(current === "zh" ? "zh-CN" : "en-GB");
}
