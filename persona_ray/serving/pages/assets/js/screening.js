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
// What the service says of a call, as patterns: it says it in English alone.
const REASONS = [
  [/^the number is not known$/, () => word("reason.unknown")],
  [/^the number is in (your own|the shared) (\w+) set(?: for (\w+))?$/, (whose, standing, name) =>
    word(whose === "your own" ? "reason.own_set" : "reason.shared_set", { standing: lower(`standing.${standing}`, standing) })
      + (name ? word("reason.for", { category: category(name) }) : "")],
  [/^the voice is a known (\w+) one \(([\w ]+)\): score ([\d.-]+), ([\d.-]+) above any other$/, (standing, name, score, margin) =>
    word("reason.voice", { standing: lower(`standing.${standing}`, standing), category: name === "no category" ? category("") : category(name), score, margin })],
  [/^what is said is (\w+) or another fraud with probability ([\d.]+)$/, (name, share) => word("reason.fraud", { category: category(name), percent: Math.round(100 * share) })],
  [/^what is said is (\w+) with probability ([\d.]+)$/, (name, share) => word("reason.words", { category: category(name), percent: Math.round(100 * share) })],
  [/^the user did not answer$/, () => word("reason.no_answer")],
  [/^the caller hung up$/, () => word("reason.left")],
  [/^the caller left a message$/, () => word("reason.message")],
  [/^the robot ended the call$/, () => word("reason.ended")],
  [/^the caller said nothing more$/, () => word("reason.silent")],
  [/^the longest time of a call was reached$/, () => word("reason.longest")],
  [/^nobody sent the caller's sound$/, () => word("reason.no_line")],
  [/^the line broke, and nobody went on with the call$/, () => word("reason.line_lost")],
  [/^without an answer from: (.+)$/, (parts) => word("reason.missing", { parts })],
];

/** A reason in the language of the page; what is not known stays as it was said. */
export function reason(text) {
  return text.split("; ").map(oneReason).join(language() === "zh" ? "；" : "; ");
}

function oneReason(text) {
  for (const [pattern, say] of REASONS) {
    const found = pattern.exec(text);
    if (found) return say(...found.slice(1));
  }
  return text;
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
    item.reason && h("p", { class: "muted small" }, item.reason))));
}

const actor = (name) => wordOr(`actor.${name}`, name);
