// The waveform: what was said is coloured, what is played is followed.

import { h, s, show } from "./dom.js";
import { ink, path, resolved } from "./colours.js";
import { clock, word } from "./i18n.js";

const HEIGHT = 104;
const BAR = 3;
const GAP = 1.5;
const MARKS = 18;
const LEAST_S = 12;

export class Wave {
  /** `onpick(seconds)`: somebody clicked there. */
  constructor(element, onpick) {
    this._canvas = h("canvas", { role: "img" });
    this._marks = s("svg", { class: "marks", "aria-hidden": "true" });
    this._scale = h("div", { class: "scale", "aria-hidden": "true" });
    this._element = element;
    this._call = null;
    this._at = null;
    show(element, this._marks, this._canvas, this._scale);
    this._canvas.addEventListener("click", (event) => {
      const box = this._canvas.getBoundingClientRect();
      onpick(((event.clientX - box.left) / box.width) * this._length());
    });
    new ResizeObserver(() => this.draw()).observe(element);
    document.addEventListener("themechange", () => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** `call`: {sound or null, sentences, duration}. */
  draw(call = this._call) {
    this._call = call;
    if (!call) return;
    const width = this._element.clientWidth;
    if (!width) return;
    const ratio = devicePixelRatio || 1;
    this._canvas.width = Math.round(width * ratio);
    this._canvas.height = Math.round(HEIGHT * ratio);
    const paint = this._canvas.getContext("2d");
    paint.scale(ratio, ratio);
    this._canvas.setAttribute("aria-label", word("wave.said", { n: call.sentences.length }));
    const inks = new Map([["", resolved("var(--wave)")]]);
    const inkOf = (label) => {
      if (!inks.has(label)) inks.set(label, resolved(ink(label)));
      return inks.get(label);
    };
    this._bands(paint, width, inkOf);
    this._bars(paint, width, inkOf);
    if (this._at != null) {
      const place = (this._at / this._length()) * width;
      paint.fillStyle = resolved("var(--ink)");
      paint.fillRect(Math.round(place) - 1, 0, 2, HEIGHT);
    }
    this._draw_marks(width);
  }

  /** The place that is played; null for none. */
  follow(seconds) {
    this._at = seconds;
    this.draw();
  }

  _length() {
    return Math.max(LEAST_S, this._call?.duration ?? 0);
  }

  _bands(paint, width, inkOf) {
    for (const sentence of this._call.sentences) {
      const [from, to] = [sentence.start_s, sentence.end_s].map((moment) => (moment / this._length()) * width);
      const played = this._at != null && this._at >= sentence.start_s && this._at < sentence.end_s;
      paint.globalAlpha = played ? 0.26 : 0.12;
      paint.fillStyle = sentence.primary ? inkOf(sentence.primary) : inkOf("");
      paint.beginPath();
      paint.roundRect(from, 0, Math.max(2, to - from), HEIGHT, 6);
      paint.fill();
    }
    paint.globalAlpha = 1;
  }

  _bars(paint, width, inkOf) {
    const { sound, sentences } = this._call;
    const step = (this._length() * (BAR + GAP)) / width;
    const loudest = sound ? Math.max(0.05, sound.peak(0, sound.duration)) : 1;
    let next = 0;
    for (let at = 0, left = 0; left < width; at += step, left += BAR + GAP) {
      while (next < sentences.length && sentences[next].end_s < at) next += 1;
      const sentence = sentences[next];
      const inside = sentence && at >= sentence.start_s;
      const there = sound && at < sound.duration;
      const level = there ? sound.peak(at, at + step) / loudest : 0;
      const height = there ? Math.max(2, level ** 0.8 * (HEIGHT - 16)) : 2;
      paint.globalAlpha = there ? 1 : 0.4;
      paint.fillStyle = inside && sentence.primary ? inkOf(sentence.primary) : inkOf("");
      paint.beginPath();
      paint.roundRect(left, (HEIGHT - height) / 2, BAR, height, 1.5);
      paint.fill();
    }
    paint.globalAlpha = 1;
  }

  _draw_marks(width) {
    this._marks.setAttribute("viewBox", `0 0 ${width} ${MARKS}`);
    this._marks.setAttribute("width", width);
    this._marks.setAttribute("height", MARKS);
    const shapes = this._call.sentences.filter((sentence) => sentence.primary).map((sentence) => {
      const middle = ((sentence.start_s + sentence.end_s) / 2 / this._length()) * width;
      return s("path", { d: path(sentence.primary), style: { fill: ink(sentence.primary) },
        transform: `translate(${middle - 5} 3) scale(0.1)` });
    });
    show(this._marks, ...shapes);
    const length = this._length();
    const every = [2, 5, 10, 15, 30, 60, 120, 300, 600].find((seconds) => (width * seconds) / length > 64) ?? 900;
    const ticks = [];
    for (let at = 0; at < length; at += every) {
      ticks.push(h("span", { style: { left: `${(100 * at) / length}%` } }, clock(at)));
    }
    show(this._scale, ...ticks);
  }
}
