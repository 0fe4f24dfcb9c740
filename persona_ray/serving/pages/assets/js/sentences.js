// The customer's sentences as a list: time, text, colour; a click plays one.

import { h, show } from "./dom.js";
import { bar, chip } from "./colours.js";
import { clock, word } from "./i18n.js";

export class Sentences {
  /** `onpick(sentence)`: play it, or stop. */
  constructor(element, onpick) {
    this._element = element;
    this._onpick = onpick;
    this._rows = [];
  }

  draw(sentences, playable) {
    this._rows = sentences.map((sentence) => ({ sentence, item: this._row(sentence, playable) }));
    show(this._element, ...this._rows.map(({ item }) => item));
  }

  /** Add the last one, without touching what somebody may be reading. */
  append(sentence, playable) {
    const item = this._row(sentence, playable);
    item.classList.add("fresh");
    this._rows.push({ sentence, item });
    this._element.append(item);
  }

  follow(seconds) {
    for (const { sentence, item } of this._rows) {
      const played = seconds != null && seconds >= sentence.start_s && seconds < sentence.end_s;
      item.classList.toggle("playing", played);
      item.firstElementChild.setAttribute("aria-pressed", String(played));
    }
  }

  _row(sentence, playable) {
    const said = sentence.failed ? h("span", { class: "text problem" }, sentence.failed)
      : h("span", { class: "text", lang: "zh-CN" }, sentence.text ?? word("said.unread"));
    const label = sentence.failed ? null : sentence.primary ? chip(sentence.primary)
      : h("span", { class: "chip plain" }, word(sentence.abstained ? "colour.uncertain" : "colour.none"));
    return h("li", {},
      h("button", { type: "button", "aria-pressed": "false", disabled: !playable, onclick: () => this._onpick(sentence),
        title: word("said.play", { from: clock(sentence.start_s), to: clock(sentence.end_s) }) },
        h("span", { class: "when" }, clock(sentence.start_s)), said, h("span", { class: "label" }, label),
        sentence.probabilities ? bar(sentence.probabilities) : h("span", { class: "bar" })));
  }
}
