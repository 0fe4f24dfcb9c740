// The inbox: screened calls, newest first, one opened; what happens meanwhile appears by itself.

import { byId, h, refocus, show } from "./dom.js";
import { date, onLanguage, word, wordOr } from "./i18n.js";
import { ApiError, getJson } from "./http.js";
import { CallView } from "./inbox-call.js";
import { Notices } from "./notices.js";
import { category, chip, choices, numberText, reason, STANDINGS } from "./screening.js";
import { failed, toast } from "./theme.js";
import { forUser, nobody, SCOPE, user, whose } from "./whose.js";

// Calls that are handed over, but of which nothing is told yet, are seen after so long.
const LOOK_EVERY_MS = 20000;
let calls = null; // [InboxItem]
let next = null;
let trouble = null;
let standing = "";
let notices = null;
let lineState = "";
let asked = new Map(); // call_id -> {body, at}
let reading = 0;

const view = new CallView(byId("detail"), { changed: () => load(), closed: () => { location.hash = ""; }, failed });

async function load() {
  const mine = ++reading;
  try {
    if (nobody()) throw new ApiError(0, { code: "whose.nobody", message: word("whose.nobody") });
    // As many as were seen: a page that is read does not become shorter.
    const limit = Math.min(200, Math.max(50, calls?.length ?? 0));
    const page = await getJson(forUser("/calls", { standing, limit }), SCOPE);
    if (mine !== reading) return;
    [calls, next, trouble] = [page.calls, page.next, null];
    for (const id of asked.keys()) if (calls.find((call) => call.call_id === id)?.outcome) asked.delete(id);
  } catch (error) {
    if (mine !== reading) return;
    trouble = error;
  }
  draw();
}

async function older() {
  try {
    const page = await getJson(forUser("/calls", { standing, before: next }), SCOPE);
    calls = [...calls, ...page.calls];
    next = page.next;
  } catch (error) {
    failed(error);
  }
  draw();
}

function draw() {
  drawAsks();
  drawCalls();
  drawLine();
}

function drawFilter() {
  choices(byId("filter"), "filter", [["", word("inbox.all")], ...STANDINGS.map((name) => [name, word(`standing.${name}`)])], standing, (chosen) => {
    standing = chosen;
    calls = null;
    load();
  });
}

function drawCalls() {
  const box = byId("calls");
  if (trouble) return show(box, h("p", { class: "problem", role: "alert" }, [trouble.message, trouble.fix].filter(Boolean).join(" — ")));
  if (!calls) return show(box, h("div", { class: "busy" }, h("i", { class: "spinner", "aria-hidden": "true" }), h("span", {}, word("loading"))));
  if (!calls.length) return show(box, h("p", { class: "muted nobody" }, word(standing ? "inbox.none.filtered" : "inbox.none")));
  const focused = document.activeElement?.dataset?.call;
  show(box, h("ul", { class: "calls", onkeydown: arrows }, calls.map(row)),
    next && h("button", { type: "button", class: "quiet older", onclick: older }, word("inbox.older")));
  if (focused) refocus(box.querySelector(`[data-call="${CSS.escape(focused)}"]`));
}

function row(call) {
  const going = !call.outcome;
  return h("li", {}, h("a", { class: "call", href: `#call=${encodeURIComponent(call.call_id)}`, "data-call": call.call_id, "aria-current": call.call_id === opened() ? "true" : null },
    h("span", { class: "row between" }, h("b", {}, numberText(call.number)), h("time", { datetime: call.at, class: "muted small" }, date(call.at))),
    h("span", { class: "row" },
      going ? h("span", { class: "badge accent" }, word("outcome.none")) : [chip(call.standing, category(call.category)),
        call.corrected && h("span", { class: "badge" }, word("inbox.corrected")),
        h("span", { class: "muted small" }, wordOr(`outcome.${call.outcome}`, call.outcome))]),
    h("span", { class: "words", lang: call.first_words ? "zh" : null }, call.first_words || reason(call))));
}

/** Up and down between calls; Enter opens, as links do. */
function arrows(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const here = event.target.closest("[data-call]");
  if (!step || !here) return;
  const all = [...byId("calls").querySelectorAll("[data-call]")];
  all[all.indexOf(here) + step]?.focus();
  event.preventDefault();
}

// One call opened: its address is behind the `#`, so that the way back is the browser's.

function opened() {
  const found = /^#call=(.+)$/.exec(location.hash);
  try {
    return found ? decodeURIComponent(found[1]) : "";
  } catch {
    return "";
  }
}

async function route() {
  const id = opened();
  byId("desk").classList.toggle("opened", id !== "");
  for (const link of byId("calls").querySelectorAll("[data-call]")) {
    if (link.dataset.call === id) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  const before = view.id;
  await view.open(id);
  if (id) byId("detail").focus({ preventScroll: innerWidth > 860 });
  else if (before) byId("calls").querySelector(`[data-call="${CSS.escape(before)}"]`)?.focus();
}

// What is told while it happens.

function listen() {
  notices?.close();
  if (nobody()) return;
  const line = { path: "/v1/screening/notices", scope: "screening", refused: "screening.user",
    start: (last) => ({ type: "start", user_id: user(), after: last }) };
  notices = new Notices(line, {
    notice: noticed,
    state: (state) => {
      // Whatever happened before the line was there is in the list.
      if (state === "open") load();
      lineState = state;
      drawLine();
    },
    failed: (error) => { lineState = "failed"; drawLine(); failed(error); },
  });
}

function noticed(event) {
  if (event.kind === "ask") {
    asked.set(event.call_id, event.body);
    setTimeout(() => { asked.delete(event.call_id); drawAsks(); }, 1000 * (event.body.longest_s ?? 20));
  }
  if (event.kind === "verdict") {
    asked.delete(event.call_id);
    const { category: name, outcome } = event.body;
    toast(word("inbox.told", { category: category(name), outcome: wordOr(`outcome.${outcome}`, outcome) }));
  }
  load();
  if (event.call_id === view.id) view.reload();
}

function drawLine() {
  byId("line").textContent = lineState && word(`line.${lineState}`);
  byId("line").dataset.state = lineState;
}

function drawAsks() {
  const focused = document.activeElement?.closest("[data-ask]")?.dataset.ask;
  const choice = document.activeElement?.dataset?.choice;
  show(byId("asks"), [...asked].map(([id, body]) => h("div", { class: "card ask", "data-ask": id },
    h("div", {}, h("p", { class: "title" }, word("ask.title", { who: body.name || numberText(calls?.find((call) => call.call_id === id)?.number ?? "") })),
      h("p", { class: "muted" }, reason(body))),
    h("div", { class: "row" }, view.answers(id, (done) => { if (done) asked.delete(id); drawAsks(); load(); })))));
  if (focused && choice) refocus(byId("asks").querySelector(`[data-ask="${CSS.escape(focused)}"] [data-choice="${choice}"]`));
}

async function begin() {
  drawFilter();
  draw();
  try {
    await whose(() => { calls = null; asked = new Map(); location.hash = ""; view.open(""); listen(); load(); });
  } catch (error) {
    trouble = error;
    return draw();
  }
  listen();
  await load();
  await route();
  setInterval(() => { if (!document.hidden) load(); }, LOOK_EVERY_MS);
}

addEventListener("hashchange", route);
onLanguage(() => { drawFilter(); draw(); view.draw(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden && calls) load(); });
begin();
