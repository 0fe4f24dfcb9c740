// Labels as people see them: a colour, a shape and a name, so that no one need tell colours apart.

import { h, s } from "./dom.js";
import { wordOr } from "./i18n.js";

const KNOWN = { red: "triangle", blue: "square", yellow: "diamond", green: "circle" };
const OTHERS = ["hexagon", "triangle", "square", "diamond", "circle"];
const PATHS = {
  triangle: "M50 6 96 90H4Z",
  square: "M10 10h80v80H10Z",
  diamond: "M50 2 98 50 50 98 2 50Z",
  circle: "M50 4a46 46 0 1 1 0 92a46 46 0 1 1 0-92Z",
  hexagon: "M50 3 91 27v46L50 97 9 73V27Z",
  question: "M50 4a46 46 0 1 1 0 92a46 46 0 1 1 0-92Z",
};

/** The custom property that holds a label's colour. */
export function ink(label) {
  if (label in KNOWN) return `var(--${label})`;
  return label ? `var(--other-${hash(label) % 4})` : "var(--muted)";
}

export function shapeOf(label) {
  if (label in KNOWN) return KNOWN[label];
  return label === "uncertain" || !label ? "question" : OTHERS[hash(label) % OTHERS.length];
}

export function path(label) {
  return PATHS[shapeOf(label)];
}

export function named(label) {
  return label ? wordOr(`colour.${label}`, label) : wordOr("colour.none", "–");
}

export function trait(label) {
  return wordOr(`trait.${label}`, "");
}

/** The shape alone, as a small picture. */
export function mark(label, size = 14) {
  const known = label && label !== "uncertain";
  return s("svg", { class: `mark${known ? "" : " open"}`, viewBox: "0 0 100 100", width: size, height: size,
    "aria-hidden": "true", style: { "--c": ink(label === "uncertain" ? "" : label) } }, s("path", { d: path(label) }));
}

/** Shape and name. */
export function chip(label, faint = false) {
  return h("span", { class: `chip${faint ? " faint" : ""}`, style: { "--c": ink(label === "uncertain" ? "" : label) } },
    mark(label, 12), named(label));
}

/** Probabilities as a bar of parts, the text beside it for those who hear it. */
export function bar(probabilities) {
  const said = Object.entries(probabilities).map(([label, value]) => `${named(label)} ${Math.round(100 * value)} %`);
  return h("span", { class: "bar", role: "img", "aria-label": said.join(", ") },
    Object.entries(probabilities).map(([label, value]) =>
      h("i", { style: { "--c": ink(label), "flex-grow": String(Math.max(value, 0.004)) } })));
}

/** Labels by probability, the highest first. */
export function ranked(probabilities) {
  return Object.entries(probabilities).sort((one, other) => other[1] - one[1]);
}

const inks = new Map();
document.addEventListener("themechange", () => inks.clear());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => inks.clear());

/** A colour as it is now, for canvases, which are drawn many times a second. */
export function resolved(variable) {
  if (inks.has(variable)) return inks.get(variable);
  const probe = h("i", { hidden: true, style: { color: variable } });
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  inks.set(variable, colour);
  return colour;
}

function hash(text) {
  return [...text].reduce((sum, letter) => (31 * sum + letter.codePointAt(0)) >>> 0, 7);
}
