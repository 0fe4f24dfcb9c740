// The evidence curve: the share of each colour after each sentence.

import { h, s, show } from "./dom.js";
import { ink, named, path, ranked } from "./colours.js";
import { percent, word } from "./i18n.js";

const HEIGHT = 230;
const TOP = 12;
const BOTTOM = 26;
const LEFT = 38;
const LABEL_GAP = 17;

/** `points`: probabilities by label after each sentence. */
export function drawEvidence(element, points, labels) {
  if (!points.length) {
    show(element, h("p", { class: "muted empty" }, word("evidence.empty")));
    return;
  }
  const width = Math.max(260, element.clientWidth || 480);
  const right = width < 420 ? 86 : 104;
  const x = (at) => LEFT + (points.length === 1 ? 0.5 : at / (points.length - 1)) * (width - LEFT - right);
  const top = Math.min(1, Math.ceil(10 * Math.max(0.5, ...points.flatMap((point) => Object.values(point)))) / 10);
  const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const last = points.at(-1);
  const end = ranked(last).map(([label, value]) => `${named(label)} ${percent(value)}`).join(", ");
  const drawing = s("svg", { class: "chart", viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img",
    "aria-label": word("evidence.said", { end }) });
  drawing.append(...grid(width - right, y, top, 1 / labels.length), ...steps(points.length, x));
  const leader = ranked(last)[0][0];
  for (const label of [...labels].sort((one, other) => (one === leader) - (other === leader))) {
    drawing.append(curve(label, points, x, y, label === leader));
  }
  drawing.append(...names(last, labels, x(points.length - 1), y, leader));
  show(element, drawing);
}

function grid(right, y, top, even) {
  const lines = [];
  for (let value = 0; value <= top + 1e-9; value += top > 0.7 ? 0.25 : 0.2) {
    lines.push(s("line", { class: "grid", x1: LEFT, x2: right, y1: y(value), y2: y(value) }),
      s("text", { class: "tick", x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, `${Math.round(100 * value)}%`));
  }
  lines.push(s("line", { class: "even", x1: LEFT, x2: right, y1: y(even), y2: y(even) }));
  return lines;
}

function steps(count, x) {
  const every = Math.ceil(count / 10);
  const ticks = [];
  for (let at = 0; at < count; at += every) {
    ticks.push(s("text", { class: "tick", x: x(at), y: HEIGHT - 6, "text-anchor": "middle" }, String(at + 1)));
  }
  ticks.push(s("text", { class: "tick", x: x(count - 1) + 14, y: HEIGHT - 6 }, word("evidence.axis")));
  return ticks;
}

function curve(label, points, x, y, leads) {
  const places = points.map((point, at) => [x(at), y(point[label] ?? 0)]);
  const size = leads ? 11 : 8;
  const shown = points.length <= 40 ? places : [places.at(-1)];
  return s("g", { class: leads ? "curve leads" : "curve", style: { "--c": ink(label) } },
    s("polyline", { points: places.map((place) => place.join(",")).join(" ") }),
    shown.map(([left, up]) => s("path", { d: path(label),
      transform: `translate(${left - size / 2} ${up - size / 2}) scale(${size / 100})` })));
}

/** Names at the ends of the curves, pushed apart where they would cover each other. */
function names(last, labels, left, y, leader) {
  const rows = labels.map((label) => ({ label, at: y(last[label] ?? 0) })).sort((one, other) => one.at - other.at);
  rows.forEach((row, number) => { if (number) row.at = Math.max(row.at, rows[number - 1].at + LABEL_GAP); });
  const over = rows.at(-1).at - (HEIGHT - BOTTOM);
  if (over > 0) rows.reverse().forEach((row, number) => {
    row.at = number ? Math.min(row.at, rows[number - 1].at - LABEL_GAP) : HEIGHT - BOTTOM;
  });
  return rows.map(({ label, at }) => s("text", { class: label === leader ? "name leads" : "name", x: left + 12, y: at + 4 },
    `${named(label)} ${percent(last[label] ?? 0)}`));
}
