// Two bundles side by side: figures, the difference, and how sure it is.

import { h, s } from "./dom.js";
import { percent, word, wordOr } from "./i18n.js";

export function comparison(found) {
  const spread = Math.max(0.05, ...found.figures.flatMap(({ difference, low, high }) => [difference, low ?? 0, high ?? 0].map(Math.abs)));
  const deciding = found.figures[0];
  const better = deciding.low != null && deciding.low > 0;
  const verdict = found.second_is_worse ? ["bad", "models.worse"] : better ? ["good", "models.better"] : ["", "models.not_worse"];
  return h("div", { class: "compared" },
    h("p", {}, h("span", { class: `badge ${verdict[0]}` }, word(verdict[1])), " ",
      h("span", { class: "muted small" }, word("models.over", found))),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": word("models.compare") }, h("table", {},
      h("thead", {}, h("tr", {}, h("th"), h("th", { class: "n" }, shown(found.first)), h("th", { class: "n" }, shown(found.second)),
        h("th", { class: "n" }, "±"), h("th", {}, word("models.difference")))),
      h("tbody", {}, found.figures.map((figure) => h("tr", {},
        h("th", { scope: "row" }, wordOr(`figure.${figure.name}`, figure.name)),
        h("td", { class: "n" }, percent(figure.first, 1)), h("td", { class: "n" }, percent(figure.second, 1)),
        h("td", { class: "n" }, signed(figure.difference)),
        h("td", { class: "interval" }, interval(figure, spread))))))),
    found.notes.slice(1).map((note) => h("p", { class: "muted small" }, note)));
}

function shown(name) {
  const found = /^version (\d+)$/.exec(name) ?? /^the champion \(version (\d+)\)$/.exec(name);
  return found ? word("models.version.n", { n: found[1] }) : name;
}

function signed(value) {
  return `${value >= 0 ? "+" : "−"}${Math.abs(100 * value).toFixed(1)}`;
}

function interval({ difference, low, high }, spread) {
  const x = (value) => 100 + (95 * value) / spread;
  const said = low == null ? signed(difference) : `${signed(difference)} (${signed(low)} – ${signed(high)})`;
  return s("svg", { viewBox: "0 0 200 26", preserveAspectRatio: "none", role: "img", "aria-label": said },
    s("title", {}, said),
    s("line", { class: "axis", x1: 100, x2: 100, y1: 0, y2: 26 }),
    low != null && s("line", { class: "range", x1: x(low), x2: x(high), y1: 13, y2: 13 }),
    s("ellipse", { class: "point", cx: x(difference), cy: 13, rx: 4, ry: 5.5 }));
}
