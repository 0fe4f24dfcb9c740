// One clip as an annotator sees it: sound, text, who speaks, and the labels to choose from.

import { h, show } from "./dom.js";
import { chip, ink, mark, named, resolved } from "./colours.js";
import { clock, wordOr, word } from "./i18n.js";

const PLAY = "M6 3.5v17l15-8.5z";
const STOP = "M6 5h12v14H6z";

export function drawNobody(element, text) {
  show(element, h("p", { class: "nobody" }, text));
}

/** Who is it? `onname(name)` once somebody says so. */
export function drawWho(element, onname) {
  // Somebody may be typing while the page still learns how things stand.
  const before = document.getElementById("first-name");
  const input = h("input", { id: "first-name", maxlength: "80", required: true, autocomplete: "username", value: before?.value });
  const typing = before && before === document.activeElement;
  const submitted = (event) => {
    event.preventDefault();
    onname(input.value.trim());
  };
  show(element, h("form", { class: "nobody stack", onsubmit: submitted }, h("p", {}, word("annotate.noone")),
    h("label", { class: "field" }, word("annotate.name"), input),
    h("button", { type: "submit", class: "primary" }, word("annotate.start"))));
  if (typing) input.focus();
}

/**
 * `view`: {item, number, left, labels: [[label, key], ...], adjudicating, canUndo, canBack}
 * `act`: {play, label(label), back, skip, undo, note}.
 */
export function drawClip(element, view, act) {
  const { item } = view;
  const said = item.mine?.label;
  show(element,
    h("div", { class: "clip-head" },
      h("span", {}, `${item.call_id} · ${clock(item.start_s)}–${clock(item.end_s)}`),
      h("span", {}, word("annotate.number", { n: view.number, left: view.left }))),
    h("div", { class: "player" },
      h("button", { type: "button", class: "primary", id: "play", onclick: act.play, "aria-label": word("annotate.play") }, glyph(PLAY)),
      h("canvas", { id: "clip-wave", role: "img", "aria-label": word("wave.title") })),
    h("p", { class: "utterance", lang: "zh-CN", id: "utterance" }, item.text),
    facts(item),
    view.adjudicating && votes(item.votes),
    h("fieldset", { class: "labels" },
      h("legend", { class: "only-read" }, word("annotate.labels")),
      view.labels.map(([label, key]) => h("button", { type: "button", "data-label": label, "aria-pressed": String(said === label),
        "aria-keyshortcuts": key, style: { "--c": ink(label === "uncertain" ? "" : label) }, onclick: () => act.label(label) },
        mark(label, 26), h("span", {}, named(label)), h("kbd", { "aria-hidden": "true" }, key)))),
    h("label", { class: "note" }, h("span", {}, `${word("annotate.note")} · ${word("annotate.note.help")}`),
      h("input", { id: "note", maxlength: "1000", value: item.mine?.note ?? item.draft ?? "", autocomplete: "off" })),
    h("div", { class: "moves" },
      h("button", { type: "button", id: "back", onclick: act.back, disabled: !view.canBack }, `← ${word("annotate.back")}`),
      h("button", { type: "button", class: "quiet", id: "undo", onclick: act.undo, disabled: !view.canUndo }, word("annotate.undo")),
      h("button", { type: "button", id: "skip", onclick: act.skip }, `${word("annotate.skip")} →`)));
}

export function drawPlaying(playing) {
  const button = document.getElementById("play");
  if (!button) return;
  show(button, glyph(playing ? STOP : PLAY));
  button.setAttribute("aria-label", word(playing ? "annotate.stop" : "annotate.play"));
}

/** The clip's waveform; what has been played is inked. */
export function drawWave(sound, at) {
  const canvas = document.getElementById("clip-wave");
  if (!canvas || !canvas.clientWidth) return;
  const ratio = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const paint = canvas.getContext("2d");
  paint.scale(ratio, ratio);
  const [plain, played] = [resolved("var(--wave)"), resolved("var(--accent)")];
  const step = sound ? (sound.duration * 4.5) / width : 0;
  const loudest = sound ? Math.max(0.02, sound.peak(0, sound.duration)) : 1;
  for (let left = 0, from = 0; left < width; left += 4.5, from += step) {
    const size = sound ? Math.max(2, (sound.peak(from, from + step) / loudest) ** 0.8 * (height - 4)) : 2;
    paint.fillStyle = at != null && from <= at ? played : plain;
    paint.beginPath();
    paint.roundRect(left, (height - size) / 2, 3, size, 1.5);
    paint.fill();
  }
}

function facts(item) {
  const rows = Object.entries({ ...(item.scene ? { scene: item.scene } : {}), ...item.facts });
  return h("dl", { class: "facts" }, rows.map(([name, value]) =>
    h("div", {}, h("dt", {}, wordOr(`fact.${name}`, name)), h("dd", {}, value))));
}

function votes(said) {
  return h("div", { class: "votes" }, h("b", {}, word("annotate.votes")),
    Object.entries(said).map(([name, label]) => h("span", {}, name, chip(label))));
}

function glyph(d) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
  shape.setAttribute("d", d);
  svg.append(shape);
  return svg;
}
