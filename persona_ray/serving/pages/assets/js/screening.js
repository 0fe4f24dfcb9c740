// What the pages of screening share: standings, categories, numbers and reasons in words.

import { h, s } from "./dom.js";
import { date, language, word, wordOr } from "./i18n.js";

export const STANDINGS = ["illegal", "abnormal", "normal"];
// Told apart without their colours, too.
const SHAPES = {
  illegal: "M30 4h40l26 26v40L70 96H30L4 70V30z",
  abnormal: "M50 6 96 92H4z",
  normal: "M50 4a46 46 0 1 0 0 92a46 46 0 1 0 0-92z",
};

/** A chip with the shape and colour of a standing; without one, a plain chip. */
export function chip(standing, text) {
  if (!standing) return h("span", { class: "chip plain" }, text);
  return h("span", { class: `chip ${standing}` },
    s("svg", { class: "mark", viewBox: "0 0 100 100", width: 11, height: 11, "aria-hidden": "true" }, s("path", { d: SHAPES[standing] })),
    h("span", { class: "only-read" }, `${word(`standing.${standing}`)}: `), text);
}

export function category(name) {
  return name ? wordOr(`category.${name}`, name) : word("category.none");
}

/** +8613800138000 -> +86 138 0013 8000 */
export function numberText(number) {
  if (!number) return word("number.withheld");
  const mobile = /^\+86(1\d\d)(\d{4})(\d{4})$/.exec(number);
  return mobile ? `+86 ${mobile[1]} ${mobile[2]} ${mobile[3]}` : number;
}

export function until(expiry) {
  return expiry ? word("until", { date: date(expiry) }) : word("until.never");
}

const lower = (key, otherwise) => (language() === "en" ? wordOr(key, otherwise).toLowerCase() : wordOr(key, otherwise));
// Values of a reason as the page says them.
function said({ standing = "", category: name = "", parts = "", score = 0, margin = 0, probability = 0 }) {
  return {
    standing: standing && lower(`standing.${standing}`, standing),
    category: category(name),
    about: name && word("reason.about", { category: category(name) }),
    parts: parts.split(", ").map((part) => wordOr(`part.missing.${part}`, part)).join(word("reason.list")),
    score: Number(score).toFixed(2),
    margin: Number(margin).toFixed(2),
    percent: Math.round(100 * probability),
  };
}

/** What a decision or a verdict rests on, in the language of the page. Of an older release there are
    no codes: then as it was said. */
export function reason({ reasons = [], reason: sentence = "" }) {
  if (!reasons.length) return sentence;
  return reasons.map(({ code, values }) => word(`reason.${code}`, said(values))).join(word("reason.and"));
}

/** Radio buttons as a row of choices: [[value, text], ...]. */
export function choices(box, name, rows, chosen, choose) {
  for (const old of box.querySelectorAll("label")) old.remove();
  box.append(...rows.map(([value, text]) => h("label", {},
    h("input", { type: "radio", name, value, checked: value === chosen, onchange: () => choose(value) }), h("span", {}, text))));
}

/** Options of a <select> by standing: {category: standing}. */
export function categoryOptions(categories, chosen) {
  return STANDINGS.map((standing) => h("optgroup", { label: word(`standing.${standing}`) },
    Object.keys(categories).filter((name) => categories[name] === standing)
      .map((name) => h("option", { value: name, selected: name === chosen }, category(name)))));
}

/** A button that asks once more before it acts. */
export function twice(text, sure, act) {
  let timer = null;
  const button = h("button", { type: "button", class: "quiet" }, text);
  const calm = () => { clearTimeout(timer); timer = null; button.textContent = text; button.classList.remove("stop"); };
  button.addEventListener("blur", () => { if (timer) calm(); });
  button.addEventListener("click", () => {
    if (timer) { calm(); act(); return; }
    button.textContent = sure;
    button.classList.add("stop");
    timer = setTimeout(calm, 6000);
  });
  return button;
}

export function history(items) {
  return h("ol", { class: "changes" }, [...items].reverse().map((item) => h("li", {},
    h("p", {}, h("b", {}, wordOr(`done.${item.action}`, item.action)), item.entry && ` · ${word(`standing.${item.entry.standing}`)}`,
      item.entry?.category && ` · ${category(item.entry.category)}`),
    h("small", {}, [date(item.at), actor(item.actor)].join(" · ")),
    item.reason && !MACHINES.includes(item.actor) && h("p", { class: "muted small" }, item.reason))));
}

// What these do is said by what was done and by whom; reasons of persons stand as they wrote them.
const MACHINES = ["reports", "verdict", "expiry"];

const actor = (name) => wordOr(`actor.${name}`, name);
