// Beside the clip: which clips, how far, how far people agree, which keys.

import { h, show } from "./dom.js";
import { ink, named } from "./colours.js";
import { count, word } from "./i18n.js";

export const ORDERS = ["corpus", "uncertain", "conflicts", "done"];

export function drawOrders(element, orders, chosen, onpick) {
  const legend = element.querySelector("legend");
  show(element, legend, ...orders.map((order) => {
    const radio = h("input", { type: "radio", name: "order", value: order, checked: order === chosen });
    radio.addEventListener("change", () => onpick(order));
    return h("label", {}, radio, word(`annotate.order.${order}`));
  }));
}

export function drawProgress(element, overview, session) {
  const settled = overview.labelled + overview.uncertain;
  const figure = (value, name) => h("div", {}, h("b", {}, count(value)), h("span", {}, name));
  show(element,
    h("div", { class: "figures" },
      figure(overview.mine, word("annotate.mine")), figure(session, word("annotate.session")),
      figure(settled, word("annotate.settled")), figure(overview.unannotated, word("annotate.unannotated")),
      figure(overview.conflicts, word("annotate.conflicts")), figure(overview.uncertain, word("annotate.uncertain"))),
    h("div", { class: "meter", role: "img", "aria-label": Object.entries(overview.by_label).map(([label, n]) => `${named(label)} ${n}`).join(", ") },
      Object.entries(overview.by_label).map(([label, n]) => h("i", { style: { "--c": ink(label), "flex-grow": String(n) } })),
      h("i", { style: { "--c": "transparent", "flex-grow": String(overview.clips - overview.labelled) } })));
}

export function drawAgreement(element, overview) {
  if (overview.alpha == null) {
    show(element, h("p", { class: "muted small" }, word("annotate.alpha.none")));
    return;
  }
  show(element,
    h("p", { class: "alpha" }, overview.alpha.toFixed(3)),
    h("p", { class: "muted small" }, word("annotate.alpha", { clips: count(overview.compared_clips) })),
    h("table", { class: "pairs" }, h("tbody", {}, overview.pairs.slice(0, 6).map((pair) => h("tr", {},
      h("td", {}, `${pair.first} · ${pair.second}`),
      h("td", {}, word("annotate.pair", { same: pair.same, clips: pair.clips })))))));
}

export function drawKeys(element, labels) {
  const row = (keys, text) => [h("dt", {}, keys.map((key) => h("kbd", {}, key))), h("dd", {}, text)];
  show(element, ...labels.flatMap(([label, key]) => row([key], named(label))),
    ...row(["Space"], word("annotate.key.play")), ...row(["←", "→"], word("annotate.key.moves")),
    ...row(["U"], word("annotate.key.undo")), ...row(["N"], word("annotate.key.note")));
}
