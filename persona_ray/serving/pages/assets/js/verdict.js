// The running colour as a picture: four shapes, each as large as its share, and the words beside it.

import { h, s, show } from "./dom.js";
import { ink, mark, named, path, ranked, trait } from "./colours.js";
import { percent, word } from "./i18n.js";

/** `colour`: of all sentences so far, null before the first. `n`: how many there are. */
export function drawWords(element, colour, n) {
  const after = n === 0 ? word("verdict.waiting") : n === 1 ? word("verdict.after.one") : word("verdict.after", { n });
  const eyebrow = h("p", { class: "eyebrow" }, after);
  if (!colour) {
    show(element, eyebrow, h("p", { class: "big faint" }, "…"));
    return;
  }
  if (!colour.probabilities) {
    show(element, h("p", { class: "big" }, word("verdict.nothing")), h("p", { class: "muted" }, colour.reason));
    return;
  }
  const [[first, value], second] = ranked(colour.probabilities);
  const share = word("verdict.sure", { percent: percent(value) });
  if (colour.abstained) {
    show(element, eyebrow, h("p", { class: "big" }, word("verdict.abstained")),
      h("p", { class: "muted" }, `${word("verdict.leaning", { colour: within(first) })} · ${share}`));
    return;
  }
  show(element, eyebrow,
    h("p", { class: "big" }, mark(first, 34), h("span", {}, named(first)), " ",
      second && h("span", { class: "second" }, word("verdict.then", { colour: within(second[0]) }))),
    h("p", { class: "sure" }, share),
    trait(first) && h("p", { class: "muted" }, trait(first)));
}

/** A name within a sentence. */
function within(label) {
  return named(label).toLowerCase();
}

/** Shapes whose areas are as the shares; drawn once, then moved. */
export class Shapes {
  constructor(element) {
    this._element = element;
    this._cells = new Map();
  }

  draw(labels, probabilities) {
    if ([...this._cells.keys()].join() !== labels.join()) this._build(labels);
    const top = probabilities ? Math.max(...Object.values(probabilities)) : 0;
    for (const [label, cell] of this._cells) {
      const share = probabilities?.[label] ?? 0;
      const scale = probabilities ? Math.max(0.06, Math.sqrt(share / Math.max(0.5, top))) : 0.35;
      cell.shape.style.transform = `scale(${scale.toFixed(3)})`;
      cell.box.classList.toggle("leads", Boolean(probabilities) && share === top);
      cell.name.textContent = named(label);
      cell.share.textContent = probabilities ? percent(share) : "";
    }
  }

  _build(labels) {
    this._cells.clear();
    const boxes = labels.map((label) => {
      const shape = s("path", { d: path(label) });
      const name = h("b");
      const share = h("span");
      const box = h("div", { class: "shape", style: { "--c": ink(label) } },
        s("svg", { viewBox: "0 0 100 100", "aria-hidden": "true" }, shape), h("p", {}, name, share));
      this._cells.set(label, { box, shape, name, share });
      return box;
    });
    show(this._element, ...boxes);
  }
}
