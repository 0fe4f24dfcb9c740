// Reports: one's own, to be made and taken back; for operators what most persons report, and appeals.

import { byId, h, refocus, show } from "./dom.js";
import { count, date, onLanguage, word } from "./i18n.js";
import { getJson, request, settings } from "./http.js";
import { askReason } from "./reason.js";
import { category, categoryOptions, chip, choices, history, numberText } from "./screening.js";
import { act, failed } from "./theme.js";
import { forUser, nobody, SCOPE, whose } from "./whose.js";

let me = null;
let rules = null;
let categories = {};
let mine = null;
let kind = "numbers";
let reported = [];
let unfolded = null; // {key, tally, history}
let appeals = [];

// Whose page it is has to be known before anything is asked for.
const ready = whose(() => { mine = null; load(); }).then((known) => { me = known; });
const asked = (method, json) => ({ ...SCOPE, method, json });
const keyText = (of, key) => (of === "numbers" ? numberText(key) : word("voices.one", { id: key.slice(0, 8) }));

async function load() {
  if (nobody()) return failed({ message: word("whose.nobody") });
  await act(async () => {
    ({ reports: rules } = await settings());
    ({ categories } = await getJson(forUser("/settings"), SCOPE));
  });
  drawForm();
  await Promise.all([loadMine(), me.operator && loadReported(), me.operator && loadAppeals()]);
}

// One's own.

async function loadMine() {
  await act(async () => { mine = (await getJson(forUser("/reports"), SCOPE)).reports; });
  drawMine();
}

function drawForm() {
  byId("rules").textContent = rules ? word("reports.rules", { persons: rules.persons, weight: rules.weight, half: rules.half_life_days, days: rules.expires_days }) : "";
  const kept = byId("category").value;
  // Nobody is to be accused of what merely stands first.
  show(byId("category"), h("option", { value: "", disabled: true, selected: !kept }, word("category.choose")), categoryOptions(categories, kept));
}

function drawMine() {
  if (!mine) return;
  if (!mine.length) return show(byId("mine"), h("p", { class: "muted" }, word("reports.none")));
  show(byId("mine"), h("table", { class: "narrowing" },
    h("thead", {}, h("tr", {}, ["reports.what", "reports.as", "reports.when", "reports.state"].map((head) => h("th", {}, word(head))), h("th", {}, h("span", { class: "only-read" }, word("numbers.acts"))))),
    h("tbody", {}, mine.map((one) => h("tr", { "data-report": one.report_id, class: one.retracted_at ? "gone" : "" },
      h("th", { scope: "row" }, keyText(one.kind, one.key)),
      h("td", { "data-name": word("reports.as") }, chip(categories[one.category], category(one.category))),
      h("td", { "data-name": word("reports.when") }, date(one.at)),
      h("td", { "data-name": word("reports.state") }, one.retracted_at ? word("reports.retracted", { date: date(one.retracted_at) }) : word("reports.counts")),
      h("td", { class: "acts" }, !one.retracted_at && h("button", { type: "button", class: "quiet retract", onclick: () => retract(one) }, word("reports.retract"))))))));
}

async function retract(one) {
  await act(() => request(forUser(`/reports/${encodeURIComponent(one.report_id)}`), asked("DELETE")), word("reports.retract.done"));
  await Promise.all([loadMine(), me.operator && loadReported()]);
}

byId("report-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const json = { key: byId("key").value.trim(), category: byId("category").value };
  await ready;
  if (await act(() => request(forUser("/reports"), asked("POST", json)), word("reports.done"))) {
    byId("key").value = "";
    await Promise.all([loadMine(), me.operator && loadReported()]);
  }
  byId("key").focus();
});

// For operators: what most persons say, and nobody has decided.

async function loadReported() {
  await act(async () => { reported = (await getJson(`/v1/screening/shared/reported?kind=${kind}`, SCOPE)).keys; });
  drawReported();
}

function drawKind() {
  choices(byId("kind"), "kind", ["numbers", "voices"].map((name) => [name, word(`reports.kind.${name}`)]), kind, (chosen) => {
    [kind, unfolded] = [chosen, null];
    loadReported();
  });
}

function drawReported() {
  byId("reported-card").hidden = !me?.operator;
  if (!reported.length) return show(byId("reported"), h("p", { class: "muted" }, word("reports.most.none")));
  return show(byId("reported"), h("ul", { class: "plain" }, reported.map((one) => h("li", { "data-key": one.key },
    h("div", { class: "row between" }, h("b", {}, keyText(kind, one.key)),
      h("div", { class: "row" }, h("span", { class: "small" }, word("reports.persons", { n: count(one.persons), most: rules.persons })),
        h("span", { class: "meter", "aria-hidden": "true" }, h("i", { style: { width: `${Math.min(100, (100 * one.persons) / rules.persons)}%` } })),
        h("button", { type: "button", class: "quiet", "aria-expanded": String(unfolded?.key === one.key), onclick: () => unfold(one.key) }, word("reports.look")))),
    unfolded?.key === one.key && inspection(one.key)))));
}

function inspection(key) {
  const { tally } = unfolded;
  const select = h("select", { "aria-label": word("reports.category") }, categoryOptions(categories, tally.category));
  return h("div", { class: "part" },
    h("p", { class: "row" }, h("span", {}, word("reports.tally.needed", { persons: tally.persons, weight: tally.weight.toFixed(2), most: rules.persons, heavy: rules.weight })),
      tally.standing ? chip(tally.standing, category(tally.category)) : h("span", { class: "badge" }, word("reports.not_enough"))),
    history(unfolded.history),
    h("div", { class: "row" }, select, h("button", { type: "button", class: "confirm", onclick: () => confirm(key, select.value) }, word("reports.confirm")),
      h("button", { type: "button", class: "quiet", onclick: () => confirm(key, "") }, word("reports.harmless"))));
}

async function unfold(key) {
  const shut = unfolded?.key === key;
  unfolded = null;
  if (!shut) await act(async () => { unfolded = { key, ...(await getJson("/v1/screening/shared/inspect", asked("POST", { kind, key }))) }; });
  drawReported();
  refocus(byId("reported").querySelector(`[data-key="${CSS.escape(key)}"] button`));
}

async function confirm(key, name) {
  const standing = name ? categories[name] : "normal";
  const answer = await askReason({ title: word("reports.confirm.title", { key: keyText(kind, key) }),
    help: word("reports.confirm.help", { standing: word(`standing.${standing}`) }), go: word(name ? "reports.confirm" : "reports.harmless"), force: false, needed: true });
  if (!answer) return;
  await act(() => request("/v1/screening/shared", asked("PUT", { kind, key, standing, category: name, reason: answer.reason })), word("reports.confirmed"));
  unfolded = null;
  await loadReported();
}

async function loadAppeals() {
  await act(async () => { ({ appeals } = await getJson("/v1/screening/appeals", SCOPE)); });
  drawAppeals();
}

function drawAppeals() {
  byId("appeals-card").hidden = !me?.operator;
  if (!appeals.length) return show(byId("appeals"), h("p", { class: "muted" }, word("appeals.none")));
  return show(byId("appeals"), h("ul", { class: "plain" }, appeals.map((one) => h("li", { "data-appeal": one.appeal_id },
    h("div", { class: "row between" }, h("b", {}, keyText(one.kind, one.key)),
      h("div", { class: "row" }, h("button", { type: "button", onclick: () => decide(one, true) }, word("appeals.grant")), h("button", { type: "button", onclick: () => decide(one, false) }, word("appeals.refuse")))),
    h("p", {}, one.text), h("p", { class: "muted small" }, date(one.made_at))))));
}

async function decide(one, granted) {
  const verb = granted ? "grant" : "refuse";
  const answer = await askReason({ title: word(`appeals.${verb}.title`, { key: keyText(one.kind, one.key) }), help: word(`appeals.${verb}.help`), go: word(`appeals.${verb}`), force: false, needed: true });
  if (!answer) return;
  await act(() => request(`/v1/screening/appeals/${encodeURIComponent(one.appeal_id)}/decision`, asked("POST", { granted, reason: answer.reason })), word("appeals.decided"));
  await Promise.all([loadAppeals(), loadReported()]);
}

onLanguage(() => { drawForm(); drawMine(); drawKind(); if (me?.operator) { drawReported(); drawAppeals(); } });
drawKind();
ready.then(load).catch(failed);
