// Sets and libraries: what gets through, one's own numbers, what is known of a number, voices.

import { byId, h, refocus, show } from "./dom.js";
import { date, onLanguage, word, wordOr } from "./i18n.js";
import { getJson, request } from "./http.js";
import { askReason } from "./reason.js";
import { category, chip, choices, history, numberText, STANDINGS, until } from "./screening.js";
import { act, failed } from "./theme.js";
import { Voices } from "./voices.js";
import { forUser, nobody, SCOPE, whose } from "./whose.js";

let me = null;
let settings = null;
let numbers = null; // [NumberAnswer]
let next = null;
let standing = "";
let unfolded = null; // {number, history}
let found = null; // EntriesAnswer, and for operators {tally, history} of the shared one
let appeals = [];
const voices = new Voices(byId("voices"), { failed, appealed: loadAppeals });

// Whose page it is has to be known before anything is asked for.
const ready = whose(() => { [numbers, found, unfolded] = [null, null, null]; drawFound(); load(); }).then((known) => { me = known; });
const asked = (method, json) => ({ ...SCOPE, method, json });

async function load() {
  if (nobody()) return failed({ message: word("whose.nobody") });
  await act(async () => {
    settings = await getJson(forUser("/settings"), SCOPE);
    drawWanted();
  });
  await Promise.all([loadNumbers(), loadAppeals(), voices.load(me.operator)]);
}

// What gets through.

function drawWanted() {
  if (!settings) return;
  const rows = Object.keys(settings.categories).filter((name) => settings.categories[name] !== "illegal");
  const box = (name) => h("label", { class: "check" }, h("input", { type: "checkbox", value: name, checked: settings.wanted.includes(name), onchange: choose }), h("span", {}, category(name)));
  show(byId("wanted"), h("fieldset", { class: "wanted" }, h("legend", { class: "only-read" }, word("wanted.title")), rows.map(box)),
    h("p", { class: "row muted small" }, word(settings.chosen ? "wanted.chosen" : "wanted.default"),
      settings.chosen && h("button", { type: "button", class: "quiet", onclick: () => want(null) }, word("wanted.reset"))));
}

function choose() {
  return want([...byId("wanted").querySelectorAll("input:checked")].map(({ value }) => value));
}

async function want(wanted) {
  const focused = document.activeElement?.value;
  const user_id = new URL(forUser("/settings"), location.href).searchParams.get("user_id") ?? "";
  await act(async () => { settings = await getJson("/v1/screening/settings", asked("PUT", { wanted, user_id })); }, word("wanted.saved"));
  drawWanted();
  if (focused) refocus(byId("wanted").querySelector(`input[value="${focused}"]`));
}

// One's own numbers.

async function loadNumbers() {
  await act(async () => {
    const page = await getJson(forUser("/numbers", { standing }), SCOPE);
    [numbers, next] = [page.numbers, page.next];
  });
  drawNumbers();
}

async function more() {
  await act(async () => {
    const page = await getJson(forUser("/numbers", { standing, after: next }), SCOPE);
    numbers = [...numbers, ...page.numbers];
    next = page.next;
  });
  drawNumbers();
}

function drawFilter() {
  choices(byId("numbers-filter"), "numbers", [["", word("inbox.all")], ...STANDINGS.map((name) => [name, word(`standing.${name}`)])], standing, (chosen) => {
    standing = chosen;
    loadNumbers();
  });
  const kept = byId("standing").value || "illegal";
  show(byId("standing"), STANDINGS.map((name) => h("option", { value: name, selected: name === kept }, word(`does.${name}`))));
}

function drawNumbers() {
  if (!numbers) return;
  if (!numbers.length) return show(byId("numbers"), h("p", { class: "muted" }, word("numbers.none")));
  const heads = ["numbers.number", "numbers.standing", "numbers.origin", "numbers.expires"];
  show(byId("numbers"), h("table", { class: "narrowing" },
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", {}, word(head))), h("th", {}, h("span", { class: "only-read" }, word("numbers.acts"))))),
    h("tbody", {}, numbers.flatMap(row))), next && h("button", { type: "button", class: "quiet", onclick: more }, word("numbers.more")));
}

function row(entry) {
  const open = unfolded?.number === entry.number;
  return [h("tr", { "data-number": entry.number },
    h("th", { scope: "row" }, numberText(entry.number), entry.name && h("small", {}, entry.name)),
    h("td", { "data-name": word("numbers.standing") }, chip(entry.standing, entry.category ? category(entry.category) : word(`standing.${entry.standing}`))),
    h("td", { "data-name": word("numbers.origin") }, word(`origin.${entry.origin}`)),
    h("td", { "data-name": word("numbers.expires") }, entry.expires_at ? date(entry.expires_at) : word("until.never")),
    h("td", { class: "acts" }, h("button", { type: "button", class: "quiet history", "aria-expanded": String(open), onclick: () => unfold(entry.number) }, word("numbers.history")),
      h("button", { type: "button", class: "quiet remove", onclick: () => remove(entry) }, word("numbers.remove")))),
  open && h("tr", { class: "unfolded" }, h("td", { colspan: 5 }, history(unfolded.history)))];
}

async function unfold(number) {
  const shut = unfolded?.number === number;
  unfolded = null;
  if (!shut) await act(async () => { unfolded = await getJson(forUser("/numbers/inspect"), asked("POST", { number })); });
  drawNumbers();
  refocus(byId("numbers").querySelector(`[data-number="${number}"] .history`));
}

async function remove(entry) {
  const answer = await askReason({ title: word("numbers.remove.title", { number: numberText(entry.number) }), help: word("numbers.remove.help"), go: word("numbers.remove"), force: false, needed: false });
  if (!answer) return;
  await act(() => request(forUser("/numbers/remove"), asked("POST", { number: entry.number, reason: answer.reason })), word("numbers.removed"));
  await loadNumbers();
}

byId("number-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const day = byId("until").value;
  const json = { number: byId("number").value.trim(), name: byId("name").value.trim(), standing: byId("standing").value,
    expires_at: day ? new Date(`${day}T23:59:59`).toISOString() : null };
  await ready;
  if (await act(() => request(forUser("/numbers"), asked("PUT", json)), word("numbers.put.done"))) {
    for (const id of ["number", "name", "until"]) byId(id).value = "";
    await loadNumbers();
  }
  byId("number").focus();
});

// What is known of a number, by oneself and by all.

byId("look-form").addEventListener("submit", (event) => {
  event.preventDefault();
  look(byId("look").value.trim());
});

async function look(number) {
  found = null;
  await ready;
  await act(async () => {
    const entries = await getJson(forUser("/numbers/inspect"), asked("POST", { number }));
    const shared = me.operator && await getJson("/v1/screening/shared/inspect", { ...asked("POST", { key: number }), scope: "screening" });
    found = { ...entries, inspected: shared || null };
  });
  drawFound();
}

function drawFound() {
  if (!found) return show(byId("found"));
  const line = (entry, title) => h("p", { class: "row" }, h("b", {}, title),
    entry ? [chip(entry.standing, entry.category ? category(entry.category) : word(`standing.${entry.standing}`)),
      h("span", { class: "muted small" }, [entry.name, word("shared.origin", { origin: word(`origin.${entry.origin}`) }), until(entry.expires_at)].filter(Boolean).join(" · "))] : h("span", { class: "muted" }, word("shared.none")));
  show(byId("found"), h("h3", {}, numberText(found.number)), line(found.own, word("shared.own")), line(found.shared, word("shared.shared")),
    found.counts && h("p", { class: "muted small" }, word(found.counts.shared ? "shared.counts.shared" : "shared.counts.own")),
    found.shared && h("div", { class: "row" }, h("button", { type: "button", id: "appeal", onclick: appeal }, word("appeals.appeal"))),
    found.inspected && h("div", { class: "part" }, h("h3", {}, word("shared.history")), h("p", { class: "muted small" }, tally(found.inspected.tally)), history(found.inspected.history)));
}

const tally = ({ persons, weight }) => word("reports.tally", { persons, weight: weight.toFixed(2) });

async function appeal() {
  const answer = await askReason({ title: word("appeals.appeal.title", { key: numberText(found.number) }), help: word("appeals.appeal.help"), go: word("appeals.appeal"), force: false, needed: true });
  if (!answer) return;
  await act(() => request(forUser("/appeals"), asked("POST", { key: found.number, text: answer.reason })), word("appeals.made"));
  await loadAppeals();
}

async function loadAppeals() {
  await act(async () => { ({ appeals } = await getJson(forUser("/appeals/own"), SCOPE)); });
  drawAppeals();
}

function drawAppeals() {
  show(byId("appeals"), appeals.length > 0 && h("div", { class: "part" }, h("h3", {}, word("appeals.own")), h("ul", { class: "plain" }, appeals.map((one) => h("li", { "data-state": one.state },
    h("p", { class: "row" }, h("b", {}, one.kind === "numbers" ? numberText(one.key) : word("voices.one", { id: one.key.slice(0, 8) })),
      h("span", { class: `badge ${{ granted: "good", refused: "bad" }[one.state] ?? ""}` }, wordOr(`appeals.state.${one.state}`, one.state))),
    h("p", { class: "muted small" }, [date(one.made_at), one.text].join(" · ")), one.decision && h("p", { class: "small" }, one.decision))))));
}

function draw() {
  drawFilter();
  drawWanted();
  drawNumbers();
  drawFound();
  drawAppeals();
  voices.draw();
}

onLanguage(draw);
drawFilter();
ready.then(load).catch(failed);
