// The page of the owner of scripts: the library, how scripts do, what is missing.

import { byId, h, show } from "./dom.js";
import { count, onLanguage, word, wordOr } from "./i18n.js";
import { access, getJson, settings } from "./http.js";
import { ask } from "./keys.js";
import { choices } from "./screening.js";
import { ScriptLibrary } from "./scripts-library.js";
import { ScriptTable } from "./scripts-table.js";
import { act, failed } from "./theme.js";

const SCOPE = { scope: "operator" };
const DAYS = [7, 30, 90, 365];
let days = 30;
let refused = false;
let gaps = null; // GapsAnswer
let asked = 0; // the latest question about gaps: an answer to an older one is not shown

const library = new ScriptLibrary(loadUse);
const table = new ScriptTable(loadGaps);

// A key of somebody else is told so, and kept: an agent who looks in here goes on with the call.
async function admitted() {
  try {
    await getJson("/v1/pages/access?scope=operator");
  } catch (error) {
    if (error.code === "key.scope") return false;
    if (error.status !== 401) throw error;
    await access("operator");
  }
  return true;
}

function drawRefused() {
  const other = async () => { await ask("operator"); location.reload(); };
  show(byId("refused"), h("h2", {}, word("scripts.refused")), h("p", {}, word("scripts.refused.why")),
    h("div", { class: "row" }, h("a", { class: "button plain-link", href: "/assist" }, word("scripts.refused.back")),
      h("button", { type: "button", onclick: other }, word("scripts.refused.other"))));
}

async function loadUse() {
  await Promise.all([loadGaps(), act(async () => {
    table.put((await getJson(`/v1/assist/scripts?days=${days}`, SCOPE)).scripts);
  })]);
}

async function loadGaps() {
  const mine = ++asked;
  await act(async () => {
    const query = new URLSearchParams({ days, product: table.product });
    const found = await getJson(`/v1/assist/gaps?${query}`, SCOPE);
    if (mine === asked) gaps = found;
  });
  drawGaps();
}

function drawGaps() {
  if (!gaps) return;
  byId("looked").textContent = gaps.looked_at ? word("gaps.looked", { n: count(gaps.looked_at) }) : "";
  if (!gaps.gaps.length) return show(byId("gaps"), h("p", { class: "muted" }, word("gaps.none")));
  show(byId("gaps"), h("ol", { class: "gaps" }, gaps.gaps.map(({ count: n, product, examples: [first, ...others] }) => h("li", {},
    h("span", { class: "times" }, word("gaps.times", { n: count(n) })), h("p", { lang: "zh-CN" }, first),
    product && h("span", { class: "badge" }, wordOr(`product.${product}`, product)),
    others.length > 0 && h("p", { class: "muted", lang: "zh-CN" }, others.join(" · "))))));
}

function drawDays() {
  const text = (n) => (n === 365 ? word("scripts.days.year") : word("scripts.days.one", { n }));
  choices(byId("days"), "days", DAYS.map((n) => [n, text(n)]), days, (chosen) => { days = chosen; loadUse(); });
}

function draw() {
  if (refused) return drawRefused();
  drawDays();
  library.draw();
  table.draw();
  return drawGaps();
}

async function begin() {
  refused = !(await admitted());
  for (const id of ["days", "owned"]) byId(id).hidden = refused;
  byId("refused").hidden = !refused;
  draw();
  if (refused) return;
  table.reasons = (await settings()).reasons;
  await Promise.all([library.load(), loadUse()]);
}

onLanguage(draw);
begin().catch(failed);
