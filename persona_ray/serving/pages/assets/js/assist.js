// The agent's page: what is said and felt, what to say next, what became of it.

import { byId, h, refocus, show } from "./dom.js";
import { clock, language, onLanguage, percent, word, wordOr } from "./i18n.js";
import { getJson, request, settings } from "./http.js";
import { Call, left } from "./assist-call.js";
import { burn, drawActs, drawTold, pressed } from "./assist-push.js";
import { drawCourse, drawTalk } from "./assist-talk.js";
import { Notices } from "./notices.js";
import { choices } from "./screening.js";
import { act, failed, toast } from "./theme.js";
import { nobody, user, whose } from "./whose.js";

const OUTCOMES = ["agreed", "callback", "declined", "hung_up"];
const TICK_MS = 200;
const SCOPE = { scope: "assist" };
const reasons = {}; // by language: {code: words}
let steps = [];
let calls = new Map();
let current = null;
let notices = null;
let lineState = "";
let unanswered = new Map(); // push id -> feedback that is not acknowledged yet
let unseen = new Set(); // pushes that stood on the screen while there was no line

// What comes over the line.

function listen() {
  notices?.close();
  [calls, current, unanswered, unseen] = [new Map(), null, new Map(), new Set()];
  if (nobody()) return failed({ message: word("whose.nobody") });
  // A page that is loaded anew is told what went before, too.
  const line = { path: "/v1/assist/devices", scope: "assist", refused: "assist.agent",
    start: (last) => ({ type: "listen", agent_id: user(), after: last ?? 0 }) };
  notices = new Notices(line, { notice: noticed, other: answered, state: stateIs,
    failed: (error) => { lineState = "failed"; drawLine(); failed(error); } });
  return draw();
}

function stateIs(state) {
  lineState = state;
  drawLine();
  if (state !== "open") return;
  for (const id of unseen) if (notices.send({ type: "seen", push_id: id })) unseen.delete(id);
  for (const message of unanswered.values()) notices.send(message);
}

function noticed({ call_id: id, event }) {
  let call = calls.get(id);
  if (!call) calls.set(id, call = new Call(id));
  if (!call.take(event)) return;
  if (event.type === "began" || !current) current = call;
  if (call !== current) return;
  draw();
  if (event.type === "push") seenOnceDrawn(call.push);
}

/** Frames are not drawn where nobody can look: then it waits until somebody does. */
function seenOnceDrawn(push) {
  requestAnimationFrame(() => requestAnimationFrame(() => {
    if (push.seen || current?.push !== push) return;
    push.seen = true;
    if (!notices.send({ type: "seen", push_id: push.id })) unseen.add(push.id);
  }));
}

function answered(event) {
  const id = event.push_id;
  if (event.type === "error") {
    if (!event.closing) failed({ message: wordOr(`error.${event.error.code}`, event.error.message) });
    if (!id) return;
  }
  unanswered.delete(id);
  for (const call of calls.values()) {
    const push = call.find(id);
    if (push) push.sending = false;
    if (push && event.type === "error") push.done = null;
  }
  if (event.type === "feedback" && !event.counted) toast(word("push.uncounted"));
  draw();
}

// What the agent does.

const deeds = {
  act(action, number) {
    const push = current.aimed;
    push.done = { action, script: number, rating: push.done?.rating ?? null, text: "" };
    tell(push);
  },
  rate(rating) {
    current.push.done.rating = rating;
    tell(current.push);
  },
  words(text) {
    current.push.done.text = text;
    tell(current.push);
    document.activeElement?.blur();
    toast(word("push.words.sent"));
  },
};

function tell(push) {
  const { action, script, rating, text } = push.done;
  const message = { type: "feedback", push_id: push.id, action, script_id: push.scripts[script].script_id, rating, text };
  unanswered.set(push.id, message);
  push.sending = !notices.send(message);
  draw();
}

async function outcome(value) {
  const json = { outcome: value };
  const query = user() ? `?agent_id=${encodeURIComponent(user())}` : "";
  const path = `/v1/assist/calls/${encodeURIComponent(current.id)}/outcome${query}`;
  if (await act(() => request(path, { ...SCOPE, method: "POST", json }))) current.outcome = value;
  draw();
}

async function goTo(step) {
  const query = user() ? `?agent_id=${encodeURIComponent(user())}` : "";
  const path = `/v1/assist/calls/${encodeURIComponent(current.id)}/scene${query}`;
  if (await act(() => request(path, { ...SCOPE, method: "POST", json: { step } }))) current.scene = { ...current.scene, step };
  draw();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || !current) return;
  if (event.target.closest("input:not([type=radio]), textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const chosen = current.settled && OUTCOMES[Number(event.key) - 1];
  if (chosen) outcome(chosen);
  else if (!current.push || current.over || !pressed(event.key, current.push, deeds)) return;
  event.preventDefault();
});

// What is drawn.

function draw() {
  drawScene();
  drawSuggestion();
  if (current) {
    drawTalk(byId("talk"), current);
    drawCourse(byId("course"), current);
  } else {
    show(byId("talk"), h("li", { class: "aside" }, word("assist.nothing_said")));
    show(byId("course"));
  }
}

function drawLine() {
  byId("line").textContent = lineState && word(`line.${lineState}`);
  byId("line").dataset.state = lineState;
}

function drawScene() {
  byId("scene").hidden = !current;
  if (!current) return;
  const { scene, customer, over } = current;
  show(byId("about"), h("b", {}, customer ? word("assist.customer", { id: customer }) : word("assist.unknown")),
    scene.product && h("span", { class: "badge accent" }, wordOr(`product.${scene.product}`, scene.product)),
    scene.campaign && h("span", { class: "badge" }, word("assist.campaign", { name: scene.campaign })),
    h("span", { class: "muted small" }, over ? word("assist.over", { time: clock(over.duration_s) }) : word("assist.going")));
  const focused = document.activeElement?.name === "step";
  choices(byId("steps"), "step", steps.map((step) => [step, wordOr(`step.${step}`, step)]), scene.step, goTo);
  byId("steps").disabled = Boolean(over);
  if (focused) refocus(byId("steps").querySelector(":checked"));
}

function drawSuggestion() {
  const card = byId("suggestion");
  const push = current?.push;
  card.dataset.state = current?.over ? "over" : push ? (push.done ? "done" : push.missed ? "missed" : "open") : "none";
  if (current?.over) return drawOutcome();
  if (!push) {
    byId("told").dataset.push = "";
    show(byId("told"), h("p", { class: "nobody muted" }, word(current ? "assist.listening" : "assist.waiting")));
    return show(byId("acts"));
  }
  drawTold(byId("told"), push, reasons[language()] ?? {});
  const { key } = document.activeElement?.dataset ?? {};
  const writing = document.activeElement?.id === "words";
  drawActs(byId("acts"), push, deeds);
  if (writing) byId("words")?.focus();
  else if (key) refocus(byId("acts").querySelector(`[data-key="${key}"]`));
  return undefined;
}

function drawOutcome() {
  byId("told").dataset.push = "";
  show(byId("told"), h("p", { class: "say ask" }, current.outcome ? word("came.told", { outcome: word(`came.${current.outcome}`) }) : word("came.ask")));
  show(byId("acts"), h("div", { class: "row acts" }, OUTCOMES.map((value, at) => h("button", { type: "button", "data-key": String(at + 1), "aria-keyshortcuts": String(at + 1),
    "aria-pressed": String(current.outcome === value), onclick: () => outcome(value) }, h("kbd", {}, String(at + 1)), word(`came.${value}`)))));
}

setInterval(() => {
  const push = current?.push;
  if (!push || push.done || push.missed || current.over) return;
  if (left(push) > 0) return burn(push);
  push.missed = true;
  draw();
}, TICK_MS);

async function begin() {
  draw();
  try {
    const known = await settings();
    [steps, reasons.en, reasons.zh] = [known.steps, known.reasons.en, known.reasons.zh];
    await whose(listen, "assist");
  } catch (error) {
    return failed(error);
  }
  return listen();
}

onLanguage(() => { byId("told").dataset.push = ""; draw(); drawLine(); });
begin();
