// The voice libraries: how many voices of which category; for operators, each of them. No sound.

import { h, refocus, show } from "./dom.js";
import { count, date, word, wordOr } from "./i18n.js";
import { getJson, request } from "./http.js";
import { askReason } from "./reason.js";
import { category, chip, history } from "./screening.js";
import { toast } from "./theme.js";
import { forUser, SCOPE } from "./whose.js";

const PATH = "/v1/screening/voices";

/** `on.failed(error)`, `on.appealed()`. */
export class Voices {
  constructor(box, on) {
    this._box = box;
    this._on = on;
    this._counts = null;
    this._entries = []; // of the category that is open
    this._open = null; // {standing, category}
    this._told = null; // {id, items}: the voice whose history is shown
  }

  async load(operator) {
    this._operator = operator;
    await this._try(async () => { this._counts = (await getJson(PATH, SCOPE)).categories; });
    this.draw();
  }

  async _try(does, said = "") {
    try {
      await does();
      if (said) toast(said);
    } catch (error) {
      this._on.failed(error);
    }
  }

  draw() {
    if (!this._counts) return;
    if (!this._counts.length) return show(this._box, h("p", { class: "muted" }, word("voices.none")));
    const heads = ["voices.category", "voices.count", "voices.earliest"];
    show(this._box, h("table", { class: "narrowing" },
      h("thead", {}, h("tr", {}, heads.map((head, at) => h("th", { class: at === 1 ? "n" : "" }, word(head))), this._operator && h("th", {}, h("span", { class: "only-read" }, word("numbers.acts"))))),
      h("tbody", {}, this._counts.flatMap((one) => this._row(one)))));
  }

  _row(one) {
    const open = this._isOpen(one);
    return [h("tr", { "data-voices": `${one.standing} ${one.category}` },
      h("th", { scope: "row" }, chip(one.standing, category(one.category))),
      h("td", { class: "n", "data-name": word("voices.count") }, count(one.voices)),
      h("td", { "data-name": word("voices.earliest") }, one.earliest_expiry ? date(one.earliest_expiry) : word("until.never")),
      this._operator && h("td", { class: "acts" }, h("button", { type: "button", class: "quiet", "aria-expanded": String(open), onclick: () => this._unfold(one) }, word("voices.show")))),
    open && h("tr", { class: "unfolded" }, h("td", { colspan: 4 }, h("ul", { class: "plain" }, this._entries.filter((entry) => this._isOpen(entry)).map((entry) => this._entry(entry))),
      this._next && h("button", { type: "button", class: "quiet", onclick: () => this._more() }, word("numbers.more"))))];
  }

  _entry(entry) {
    return h("li", { "data-voice": entry.voice_id }, h("div", { class: "row between" },
      h("p", { class: "row" }, h("b", {}, word("voices.one", { id: entry.voice_id.slice(0, 8) })), chip(entry.standing, word(`standing.${entry.standing}`)),
        entry.state === "set_aside" && h("span", { class: "badge bad" }, word("voices.set_aside"))),
      h("div", { class: "row" }, h("button", { type: "button", class: "quiet", onclick: () => this._remove(entry) }, word("voices.remove")),
        h("button", { type: "button", class: "quiet history", "aria-expanded": String(this._told?.id === entry.voice_id), onclick: () => this._tell(entry.voice_id) }, word("numbers.history")))),
    h("p", { class: "muted small" }, [wordOr(`origin.${entry.origin}`, entry.origin), word("voices.calls", { n: entry.calls }), word("voices.since", { date: date(entry.created_at) }),
      entry.expires_at ? word("until", { date: date(entry.expires_at) }) : word("until.never")].join(" · ")),
    this._told?.id === entry.voice_id && history(this._told.items));
  }

  async _tell(id) {
    const shut = this._told?.id === id;
    this._told = null;
    if (!shut) await this._try(async () => {
      this._told = { id, items: (await getJson("/v1/screening/shared/inspect", { ...SCOPE, method: "POST", json: { kind: "voices", key: id } })).history };
    });
    this.draw();
    refocus(this._box.querySelector(`[data-voice="${id}"] .history`));
  }

  _isOpen({ standing, category: name }) {
    return this._open?.standing === standing && this._open.category === name;
  }

  async _unfold(one) {
    const shut = this._isOpen(one);
    [this._open, this._entries, this._next] = [null, [], null];
    if (!shut) {
      this._open = one;
      await this._more();
    }
    this.draw();
    refocus(this._box.querySelector(`[data-voices="${one.standing} ${one.category}"] button`));
  }

  async _more() {
    await this._try(async () => {
      const query = new URLSearchParams({ category: this._open.category, after: this._next ?? "" });
      const page = await getJson(`${PATH}/entries?${query}`, SCOPE);
      this._entries = [...this._entries, ...page.voices];
      this._next = page.next;
    });
    this.draw();
  }

  async _remove(entry) {
    const answer = await askReason({ title: word("voices.remove.title", { id: entry.voice_id.slice(0, 8) }), help: word("voices.remove.help"), go: word("voices.remove"), force: false, needed: true });
    if (!answer) return;
    await this._try(() => request(`${PATH}/remove`, { ...SCOPE, method: "POST", json: { voice_id: entry.voice_id, reason: answer.reason } }), word("voices.removed"));
    const before = this._open;
    [this._open, this._entries, this._next] = [null, [], null];
    await this.load(this._operator);
    const still = this._counts.find(({ standing, category: name }) => standing === before.standing && name === before.category);
    if (still) await this._unfold(still);
  }
}

/** Appeal against a voice that a call was taken for; true where it was made. */
export async function appealVoice(id) {
  const answer = await askReason({ title: word("appeals.appeal.title", { key: word("voices.one", { id: id.slice(0, 8) }) }), help: word("appeals.appeal.help"), go: word("appeals.appeal"), force: false, needed: true });
  if (!answer) return false;
  await request(forUser("/appeals"), { ...SCOPE, method: "POST", json: { kind: "voices", key: id, text: answer.reason } });
  return true;
}
