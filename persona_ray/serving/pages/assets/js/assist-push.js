// What to say: a suggestion, large; why; what can be done with it, each by one key.

import { h, show } from "./dom.js";
import { word, wordOr } from "./i18n.js";
import { left, stateOf } from "./assist-call.js";

export const RATINGS = ["poor", "fair", "good", "excellent"];
const FIRST_RATING_KEY = 6;

/** A reason's codes as one line: `because` of the push, `words` by code. */
export function reasonLine(codes, words) {
  const said = Object.fromEntries(codes.map((code) => {
    const at = code.indexOf("=");
    return [code.slice(0, at), words[code] ?? code.slice(at + 1).replaceAll("_", " ")];
  }));
  const joined = (kinds, by) => kinds.map((kind) => said[kind]).filter(Boolean).join(word(by));
  const heard = [joined(["relation", "topic"], "because.colon"), said.emotion, said.colour].filter(Boolean).join(word("because.comma"));
  return [heard, joined(["style", "explored"], "because.comma")].filter(Boolean).join(word("because.semicolon"));
}

/** The text and its reason: what is read out to those who hear the page. */
export function drawTold(box, push, words) {
  if (push.drawn === box.dataset.push && box.lang === document.documentElement.lang) return;
  box.dataset.push = push.drawn = push.id;
  const [first] = push.scripts;
  show(box, h("p", { class: "because" }, reasonLine(push.because, words)), h("p", { class: "say", lang: "zh-CN" }, first.text));
}

/** `on.act(action, scriptNumber)`, `on.rate(rating)`, `on.words(text)`. */
export function drawActs(box, push, on) {
  const state = stateOf(push);
  show(box, fuse(push, state),
    h("div", { class: "row acts" },
      button("1", word("push.use"), () => on.act("used", 0), state === "used" && push.done.script === 0, "primary"),
      button("E", word("push.edited"), () => on.act("edited", chosen(push)), state === "edited"),
      button("X", word("push.dismissed"), () => on.act("dismissed", 0), state === "dismissed")),
    push.done && after(push, on),
    push.scripts.length > 1 && [h("h2", { class: "or" }, word("push.others")),
      h("ol", { class: "others" }, push.scripts.slice(1).map((script, at) => h("li", {}, other(push, script, at + 1, on))))]);
}

function chosen(push) {
  return push.done?.script ?? 0;
}

function button(key, text, act, pressed, kind = "") {
  return h("button", { type: "button", class: kind, "data-key": key, "aria-keyshortcuts": key, "aria-pressed": String(Boolean(pressed)), onclick: act }, h("kbd", {}, key), text);
}

function other(push, script, number, on) {
  const pressed = push.done?.script === number && push.done.action !== "dismissed";
  const key = String(number + 1);
  return h("button", { type: "button", class: "other", "data-key": key, "aria-keyshortcuts": key, "aria-pressed": String(pressed), onclick: () => on.act("used", number) },
    h("kbd", {}, key), h("span", { lang: "zh-CN" }, script.text));
}

/** The bar that runs out, or what became of it. */
function fuse(push, state) {
  if (state === "open") {
    return h("div", { class: "fuse" }, h("span", { class: "burning" }, h("i", { id: "burning", style: { transform: `scaleX(${left(push) / push.longest})` } })),
      h("span", { class: "small muted", id: "left" }, word("push.left", { n: Math.ceil(left(push)) })));
  }
  return h("p", { class: `state ${state}`, role: "status" }, word(push.sending ? "push.state.sending" : `push.state.${state}`));
}

/** As often as it moves; the rest of the page is left alone. */
export function burn(push) {
  const bar = document.getElementById("burning");
  if (!bar) return;
  bar.style.transform = `scaleX(${left(push) / push.longest})`;
  document.getElementById("left").textContent = word("push.left", { n: Math.ceil(left(push)) });
}

function after(push, on) {
  const rate = (rating, at) => button(String(FIRST_RATING_KEY + at), word(`rating.${rating}`), () => on.rate(rating), push.done.rating === rating);
  return h("div", { class: "after" },
    h("div", { class: "row", role: "group", "aria-label": word("push.rate") }, h("span", { class: "muted small" }, word("push.rate")), RATINGS.map(rate)),
    push.done.action === "edited" && h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); on.words(event.target.elements.words.value.trim()); } },
      h("label", { class: "field grow" }, h("span", {}, word("push.words")),
        h("input", { id: "words", name: "words", maxlength: 2000, autocomplete: "off", lang: "zh-CN", value: push.draft ?? push.scripts[push.done.script].text,
          oninput: (event) => { push.draft = event.target.value; } }))));
}

/** What the key does with the push; false where it does nothing. */
export function pressed(key, push, on) {
  const number = Number(key);
  if (key === "e" || key === "E") {
    if (push.done?.action === "edited") document.getElementById("words")?.select();
    else on.act("edited", chosen(push));
  } else if (key === "x" || key === "X") on.act("dismissed", 0);
  else if (number >= 1 && number <= push.scripts.length) on.act("used", number - 1);
  else if (push.done && RATINGS[number - FIRST_RATING_KEY]) on.rate(RATINGS[number - FIRST_RATING_KEY]);
  else return false;
  return true;
}

/** In the course of the talk: that it was suggested, and what became of it. */
export function toldLine(push) {
  const state = stateOf(push);
  const script = push.scripts[push.done?.script ?? 0];
  return [h("span", { class: `badge ${state}` }, wordOr(`push.told.${state}`, state)), h("span", { lang: "zh-CN" }, script.text)];
}
