// Scripts with their use and success: searched, filtered, sorted.

import { byId, h, refocus, s, show } from "./dom.js";
import { count, language, percent, word, wordOr } from "./i18n.js";

const COUNTS = ["chosen", "seen", "used", "edited", "dismissed"];
const COLUMNS = ["text", ...COUNTS, "success"];
const PAGE = 40;
const [WIDE, HIGH] = [180, 14];

export class ScriptTable {
  /** `filtered` is called when another product is chosen. */
  constructor(filtered) {
    this.reasons = {};
    this.product = "";
    this._rows = null; // [ScriptAnswer]
    this._topic = "";
    this._search = "";
    this._sort = "chosen";
    this._up = false;
    this._shown = PAGE;
    byId("search").addEventListener("input", () => this._filter(() => { this._search = byId("search").value.trim().toLowerCase(); }));
    byId("product").addEventListener("change", () => { this._filter(() => { this.product = byId("product").value; this._topic = ""; }); filtered(); });
    byId("topic").addEventListener("change", () => this._filter(() => { this._topic = byId("topic").value; }));
    byId("sort").addEventListener("change", () => { this._sort = ""; this._by(byId("sort").value); });
  }

  put(rows) {
    this._rows = rows;
    this.draw();
  }

  draw() {
    if (!this._rows) return;
    this._drawFilters();
    this._drawRows();
  }

  _filter(change) {
    change();
    this._shown = PAGE;
    this.draw();
  }

  /** The same column again turns the order around. */
  _by(column) {
    this._up = this._sort === column ? !this._up : column === "text";
    this._sort = column;
    this._shown = PAGE;
    this.draw();
    refocus(byId("scripts").querySelector(`[data-sort="${column}"]`));
  }

  _drawFilters() {
    const of = (rows, kind) => [...new Set(rows.map((row) => row[kind]))].filter(Boolean).sort();
    const options = (id, values, chosen, name) => show(byId(id), values.map((value) => h("option", { value, selected: value === chosen }, name(value))));
    const named = (name) => (value) => (value ? name(value) : word("use.all"));
    const inProduct = this._rows.filter((row) => !this.product || row.product === this.product);
    options("product", ["", ...of(this._rows, "product")], this.product, named(productName));
    options("topic", ["", ...of(inProduct, "topic")], this._topic, named((topic) => this._word("topic", topic)));
    options("sort", COLUMNS, this._sort, (column) => word(`use.${column}`));
  }

  _word(kind, value) {
    return this.reasons[language()]?.[`${kind}=${value}`] ?? value.replaceAll("_", " ");
  }

  _about(row) {
    return [row.in_library ? row.product ? productName(row.product) : word("use.any") : "", row.topic && this._word("topic", row.topic), row.style && this._word("style", row.style), row.text && row.script_id].filter(Boolean);
  }

  _found() {
    const fits = (row) => (!this.product || row.product === this.product) && (!this._topic || row.topic === this._topic)
      && (!this._search || [row.text || row.script_id, ...this._about(row)].some((text) => text.toLowerCase().includes(this._search)));
    const way = this._up ? 1 : -1;
    const value = (row) => row[this._sort];
    return this._rows.filter(fits).sort((a, b) => {
      // What nobody judged is neither good nor bad: it stands last either way.
      if (value(a) == null || value(b) == null) return (value(a) == null) - (value(b) == null);
      return way * (this._sort === "text" ? a.text.localeCompare(b.text, "zh-CN") : value(a) - value(b)) || a.script_id.localeCompare(b.script_id);
    });
  }

  _drawRows() {
    const found = this._found();
    byId("count").textContent = word("use.count", { n: count(found.length), all: count(this._rows.length) });
    if (!found.length) return show(byId("scripts"), h("p", { class: "muted" }, word("use.none")));
    const head = (column) => h("th", { class: COUNTS.includes(column) && "n", "aria-sort": this._sort === column && (this._up ? "ascending" : "descending") },
      h("button", { type: "button", class: "sort", "data-sort": column, onclick: () => this._by(column) }, word(`use.${column}`)));
    const more = () => {
      const from = this._shown;
      this._shown += PAGE;
      this._drawRows();
      byId("scripts").querySelectorAll("tbody tr")[from]?.focus();
    };
    return show(byId("scripts"), h("table", { class: "narrowing use" }, h("thead", {}, h("tr", {}, COLUMNS.map(head))),
      h("tbody", {}, found.slice(0, this._shown).map((row) => this._row(row)))),
    found.length > this._shown && h("button", { type: "button", class: "quiet", id: "more", onclick: more }, word("use.more", { n: Math.min(PAGE, found.length - this._shown) })),
    h("p", { class: "muted small" }, word("use.help")));
  }

  _row(row) {
    return h("tr", { "data-script": row.script_id, tabindex: "-1" },
      h("th", { scope: "row" }, h("span", { lang: "zh-CN" }, row.text || row.script_id),
        h("small", {}, this._about(row).join(" · "), " ", !row.in_library && h("span", { class: "badge" }, word("use.gone")))),
      COUNTS.map((kind) => h("td", { class: row[kind] ? "n" : "n muted", "data-name": word(`use.${kind}`) }, count(row[kind]))),
      h("td", { class: "rate", "data-name": word("use.success") }, rate(row)));
  }
}

/** The share, its interval in words, and both on a line from 0 to 100 %. */
function rate({ success, success_interval: interval, judged }) {
  if (success == null) return h("span", { class: "muted small" }, word("use.unjudged"));
  const [low, high] = interval.map((share) => Math.round(100 * share));
  const at = (share) => 2 + share * (WIDE - 4);
  const line = (kind, share, from, to) => s("line", { class: kind, x1: at(share), x2: at(share), y1: from, y2: to });
  return [h("b", {}, percent(success)), h("span", { class: "muted small" }, ` ${word("use.interval", { low, high })} · ${word("use.judged", { n: count(judged) })}`),
    s("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, "aria-hidden": "true" },
      s("rect", { class: "track", x: 0.5, y: 4, width: WIDE - 1, height: 6, rx: 3 }),
      s("rect", { class: "band", x: at(interval[0]), y: 4, width: at(interval[1]) - at(interval[0]), height: 6 }),
      interval.map((share) => line("ends", share, 3, 11)), line("point", success, 0, HIGH))];
}

const productName = (name) => wordOr(`product.${name}`, name);
