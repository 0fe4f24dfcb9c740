// What is said, both sides, with the mood of each of the customer's sentences.

import { h, show } from "./dom.js";
import { clock, word, wordOr } from "./i18n.js";
import { toldLine } from "./assist-push.js";
import { course, ink, marked, mood } from "./moods.js";

// Who reads further up is not taken away from there.
const NEAR_PX = 90;

export function drawTalk(box, call) {
  const follows = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX;
  if (!call.rows.length) show(box, h("li", { class: "aside" }, word("assist.nothing_said")));
  else show(box, call.rows.map(row));
  if (follows) box.scrollTop = box.scrollHeight;
}

export function drawCourse(box, call) {
  show(box, call.moods.length > 0 && course(call.moods));
}

function row(entry) {
  if (entry.kind === "turn") return turn(entry.turn);
  if (entry.kind === "push") return h("li", { class: "aside pushed" }, toldLine(entry.push));
  if (entry.kind === "none") return h("li", { class: "aside" }, wordOr(`none.${entry.reason}`, entry.reason));
  if (entry.kind === "failed") return h("li", { class: "aside problem" }, word("unheard.failed", { why: wordOr(`error.${entry.error.code}`, entry.error.message) }));
  return h("li", { class: "aside" }, word(`unheard.${entry.reason}`));
}

function turn({ speaker, text, start_s: start, emotion, valence, relation, keywords }) {
  const time = h("span", { class: "time" }, clock(start));
  if (speaker === "agent") {
    return h("li", { class: "agent" }, h("p", { lang: "zh-CN" }, text), h("div", { class: "row small muted" }, h("span", {}, word("side.agent")), time));
  }
  return h("li", { class: "customer", style: { "--c": ink(emotion) } }, h("p", { lang: "zh-CN" }, marked(text, keywords)),
    h("div", { class: "row small muted" }, emotion ? mood(emotion, valence) : h("span", {}, word("side.customer")),
      relation && relation !== "statement" && h("span", {}, word(`relation.${relation}`)), time));
}
