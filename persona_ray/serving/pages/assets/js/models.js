// Models: who is champion, which versions there are, how they do, and who shall be next.

import { byId, h, show } from "./dom.js";
import { comparison } from "./comparison.js";
import { date, onLanguage, percent, word, wordOr } from "./i18n.js";
import { ApiError, getJson, request } from "./http.js";
import { askReason } from "./reason.js";
import { failed, toast } from "./theme.js";

const POLL_MS = 800;
const PATIENCE = 40;
const FIGURES = ["customer_accuracy", "customer_top_two", "clip_accuracy", "clip_top_two"].map((name) => `test_${name}`);
const PLOTS = ["evidence-bundle", "evidence-folds", "modalities", "stopping-bundle", "stopping-folds", "calibration-bundle",
  "calibration-folds", "leakage", "training", "layers"];
let known = null;
let picked = [];
let opened = null; // {number, figures, plots, pictures}
let errand = null;
let trouble = null;

const asked = (options) => ({ scope: "models", ...options });
const champion = () => known?.registry.versions.find(({ aliases }) => aliases.includes("champion")) ?? null;

async function load() {
  try {
    known = await getJson("/v1/models", asked());
    trouble = null;
  } catch (error) {
    trouble = error;
  }
  draw();
}

function draw() {
  drawChampion();
  drawVersions();
  drawErrand();
  drawDetail();
  drawHistory();
}

function drawChampion() {
  const box = byId("champion");
  if (trouble) return show(box, h("p", { class: "problem", role: "alert" }, [trouble.message, trouble.fix].filter(Boolean).join(" — ")));
  if (!known) return show(box, h("div", { class: "busy" }, h("i", { class: "spinner" })));
  const version = champion();
  if (!version) {
    const none = known.registry.versions.length === 0;
    return show(box, h("div", { class: "about" },
      h("p", { class: "title" }, word("models.no_champion")),
      h("p", { class: "muted" }, word(none ? "models.none" : "models.no_champion.help")),
      h("p", { class: "muted small" }, word("models.serving.other", { name: known.serving_name, version: known.serving_version }))));
  }
  const change = known.registry.history.findLast(({ after }) => after === version.number);
  return show(box,
    h("div", { class: "about" },
      h("p", { class: "eyebrow" }, word("models.champion")),
      h("p", { class: "title" }, `${known.registry.model} · ${word("models.version.n", { n: version.number })}`),
      change && h("p", { class: "muted" }, [date(change.at), change.details.reason].filter(Boolean).join(" · ")),
      h("p", { class: "muted small" }, serves(version) ? word("models.serving.same")
        : word("models.serving.other", { name: known.serving_name, version: known.serving_version }))),
    tiles([[percent(version.figures.dev_clip_accuracy), word("models.dev")], [percent(version.figures.dev_customer_accuracy), word("models.dev.customers")],
      [version.customers ?? "–", word("models.customers")]]),
    known.registry.history.some(({ before }) => before != null)
      && h("button", { type: "button", id: "rollback", disabled: running(), onclick: () => rollback(version) }, word("models.rollback")));
}

function serves(version) {
  // A bundle that is served from a folder is known by the beginning of its fingerprint.
  const by = known.serving_version;
  return known.serving_name === known.registry.model && (by === String(version.number) || (by.length >= 12 && version.bundle.startsWith(by)));
}

function tiles(rows) {
  return h("div", { class: "tiles" }, rows.map(([value, name]) => h("div", {}, h("b", {}, String(value)), h("span", {}, name))));
}

function drawVersions() {
  const versions = known?.registry.versions ?? [];
  show(byId("compare-bar"), versions.length > 1 && h("button", { type: "button", id: "compare", disabled: picked.length !== 2 || running(), onclick: compare,
    title: word("models.compare.hint") }, word("models.compare")));
  if (!versions.length) return show(byId("versions"), known && h("p", { class: "muted" }, word("models.none")));
  const heads = ["models.version", "", "models.registered", "models.dev", "models.customers", "models.judged", ""];
  return show(byId("versions"), h("table", {},
    h("thead", {}, h("tr", {}, versions.length > 1 && h("th"), heads.map((head, at) => h("th", { class: at === 3 ? "n" : "" }, head && word(head))))),
    h("tbody", {}, versions.map((version) => row(version, versions.length > 1)))));
}

function row(version, several) {
  const judgement = version.judgement.decision ?? "";
  const evaluated = version.evaluated.test_clip_accuracy;
  const shown = judgement ? wordOr(`models.decision.${judgement}`, judgement) : evaluated != null && word("models.evaluated");
  const why = version.rolled_back.reason || version.judgement.reason;
  return h("tr", { "data-version": version.number },
    several && h("td", {}, h("input", { type: "checkbox", checked: picked.includes(version.number), onchange: () => pick(version.number),
      "aria-label": word("models.choose", { n: version.number }) })),
    h("th", { scope: "row" }, word("models.version.n", { n: version.number })),
    h("td", {}, h("span", { class: "row badges" },
      version.aliases.map((alias) => h("span", { class: `badge ${alias === "champion" ? "good" : "accent"}` }, wordOr(`models.alias.${alias}`, alias))),
      serves(version) && h("span", { class: "badge" }, word("models.serving")))),
    h("td", { "data-name": word("models.registered") }, date(version.registered_at)),
    h("td", { class: "n", "data-name": word("models.dev") }, percent(version.figures.dev_clip_accuracy, 1)),
    h("td", { "data-name": word("models.customers") }, version.customers == null ? "–" : word("models.customers.n", { n: version.customers }),
      version.forgotten > 0 && h("small", {}, word("models.forgotten.n", { n: version.forgotten }))),
    h("td", { class: "judged", "data-name": shown && word("models.judged") }, shown, why && h("small", {}, why),
      evaluated != null && h("small", {}, `${word("figure.test_clip_accuracy")} ${percent(evaluated, 1)}`)),
    h("td", { class: "acts" },
      h("button", { type: "button", class: "quiet details", onclick: () => open(version.number) }, word("models.details")), " ",
      !version.aliases.includes("champion") && h("button", { type: "button", class: "promote", disabled: running(), onclick: () => promote(version) }, word("models.promote"))));
}

function pick(number) {
  picked = picked.includes(number) ? picked.filter((other) => other !== number) : [...picked, number].slice(-2);
  drawVersions();
  document.querySelector(`[data-version="${number}"] input`)?.focus();
}

// A version's figures and plots.

async function open(number) {
  close();
  try {
    const detail = await getJson(`/v1/models/versions/${number}`, asked());
    opened = { ...detail, pictures: new Map() };
    drawDetail();
    byId("detail").scrollIntoView({ block: "nearest", behavior: "smooth" });
    await Promise.all(detail.plots.map(async (name) => {
      const answer = await request(`/v1/models/versions/${number}/plots/${name}`, asked());
      opened?.pictures.set(name, URL.createObjectURL(await answer.blob()));
    }));
    drawDetail();
  } catch (error) {
    failed(error);
  }
}

function close() {
  for (const address of opened?.pictures.values() ?? []) URL.revokeObjectURL(address);
  opened = null;
  drawDetail();
}

function drawDetail() {
  const box = byId("detail");
  box.hidden = !opened;
  if (!opened) return;
  const figures = inOrder(Object.entries(opened.figures), FIGURES, ([name]) => name).map(([name, value]) => [percent(value, 1), wordOr(`figure.${name}`, name)]);
  const plots = inOrder(opened.plots, PLOTS, (name) => name.replace(".svg", "")).map((name) => {
    const title = wordOr(`plot.${name.replace(".svg", "")}`, name);
    return h("figure", {}, h("figcaption", {}, title), opened.pictures.has(name) ? h("img", { src: opened.pictures.get(name), alt: title }) : null);
  });
  show(box,
    h("div", { class: "row between" }, h("h2", { id: "detail-title" }, word("models.version.n", { n: opened.number })),
      h("button", { type: "button", class: "quiet", onclick: close }, word("models.close"))),
    h("div", { class: "detail-grid" },
      h("div", {}, h("p", { class: "eyebrow" }, word("models.figures")), figures.length ? tiles(figures) : h("p", { class: "muted small" }, word("models.figures.none"))),
      plots.length ? h("div", { class: "plots" }, plots) : h("p", { class: "muted" }, word("models.plots.none"))));
}

/** What is told first comes first; what nobody knows of, last. */
function inOrder(rows, names, nameOf) {
  const place = (row) => (names.indexOf(nameOf(row)) + 1 || names.length + 1);
  return [...rows].sort((one, other) => place(one) - place(other));
}

// Comparing, promoting, and the way back.

const running = () => errand?.state === "running";

async function compare() {
  const [first, second] = [...picked].sort((one, other) => one - other);
  await begin(word("models.progress.comparison"), "/v1/models/comparisons", { first, second });
}

async function promote(version) {
  const first = !champion();
  const answer = await askReason({ title: word("models.promote.n", { n: version.number }), help: word(first ? "models.promote.first" : "models.promote.help"),
    go: word("models.promote"), force: !first, needed: false });
  if (answer) await begin(word("models.progress.promotion", { n: version.number }), "/v1/models/promotions", { version: version.number, ...answer });
}

async function rollback(version) {
  const answer = await askReason({ title: word("models.rollback.title", { n: version.number }), help: word("models.rollback.help"),
    go: word("models.rollback"), force: false, needed: true });
  if (!answer) return;
  try {
    const done = await getJson("/v1/models/rollback", asked({ method: "POST", json: { reason: answer.reason } }));
    toast(word("models.rolled_back", { n: done.version }));
  } catch (error) {
    failed(error);
  }
  await load();
}

async function begin(title, path, json) {
  try {
    errand = { ...(await getJson(path, asked({ method: "POST", json }))), title };
    draw();
    await follow();
  } catch (error) {
    errand = null;
    failed(error);
  }
  await load();
}

/** Ask until it is done. Another replica does not know it: then ask again, for a while. */
async function follow() {
  let missed = 0;
  while (running()) {
    await new Promise((resolve) => { setTimeout(resolve, POLL_MS); });
    try {
      errand = { ...(await getJson(`/v1/models/errands/${errand.errand_id}`, asked())), title: errand.title };
      missed = 0;
    } catch (error) {
      missed += 1;
      if (missed > PATIENCE || !(error instanceof ApiError) || ![0, 404, 429, 503].includes(error.status)) {
        errand = { ...errand, state: "failed", error: { message: word("models.gone"), fix: "" } };
      }
    }
    drawErrand();
  }
}

function drawErrand() {
  const box = byId("errand");
  box.hidden = !errand;
  if (!errand) return;
  const head = (badge, text) => h("div", { class: "row between" },
    h("div", { class: "row" }, h("h2", {}, errand.title), badge && h("span", { class: `badge ${badge}` }, text)),
    h("button", { type: "button", class: "quiet", onclick: () => { errand = null; drawErrand(); } }, word("models.close")));
  if (running()) {
    const share = errand.total ? Math.min(1, errand.done / errand.total) : 0;
    const bar = h("i", { style: { width: `${100 * share}%` } });
    show(box, h("div", { class: "busy" }, h("i", { class: "spinner", "aria-hidden": "true" }), h("h2", {}, errand.title),
      h("span", { class: "small" }, errand.stage)), h("div", { class: "meter" }, bar));
  } else if (errand.state === "failed") {
    show(box, head("bad", word(errand.refused ? "models.refused" : "models.failed")), h("p", { class: "problem" }, errand.error.message));
  } else if (errand.promotion) {
    const { version, decision, comparison: found, not_compared: why } = errand.promotion;
    show(box, head("good", word("models.promoted", { n: version, decision: wordOr(`models.decision.${decision}`, decision) })),
      found ? comparison(found) : why && h("p", { class: "muted" }, why));
  } else show(box, head(), comparison(errand.comparison));
}

function drawHistory() {
  const changes = [...(known?.registry.history ?? [])].reverse();
  if (!changes.length) return show(byId("history"), h("p", { class: "muted" }, word("models.history.none")));
  return show(byId("history"), h("ol", { class: "changes" }, changes.map(({ action, before, after, at, details }) => h("li", { class: action === "rollback" ? "back" : "" },
    h("p", {}, h("b", {}, word(`models.history.${action}`, { n: after })), details.decision ? ` · ${wordOr(`models.decision.${details.decision}`, details.decision)}` : ""),
    h("small", {}, [date(at), before != null && word("models.before", { n: before })].filter(Boolean).join(" · ")),
    details.reason && h("p", { class: "muted" }, details.reason)))));
}

onLanguage(draw);
draw();
load();
