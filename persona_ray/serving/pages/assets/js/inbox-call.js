// One screened call: what it was, why, what was said; to listen to, correct, allow, block, report.

import { h, refocus, show } from "./dom.js";
import { clock, date, percent, word, wordOr } from "./i18n.js";
import { getJson, request } from "./http.js";
import { category, categoryOptions, chip, numberText, reason, twice, until } from "./screening.js";
import { toast } from "./theme.js";
import { appealVoice } from "./voices.js";
import { forUser, SCOPE, user } from "./whose.js";

const MOST_SHARES = 5;

/** `on.changed()` after anything was changed, `on.closed()`, `on.failed(error)`. */
export class CallView {
  constructor(box, on) {
    this._box = box;
    this._on = on;
    this.id = "";
    this._call = null;
    this._number = null;
    this._sound = null;
    this._unfolded = false;
  }

  /** Empty: none. */
  async open(id) {
    if (id === this.id && this._call) return;
    this._stop();
    this.id = id;
    [this._call, this._number, this._trouble] = [null, null, null];
    this.draw();
    await this.reload();
  }

  async reload() {
    const { id } = this;
    if (!id) return;
    try {
      const [call, settings] = await Promise.all([getJson(this._path(id), SCOPE), getJson(forUser("/settings"), SCOPE)]);
      const number = call.number && await getJson(forUser("/numbers/inspect"), { ...SCOPE, method: "POST", json: { number: call.number } });
      if (id !== this.id) return;
      [this._call, this._categories, this._number, this._trouble] = [call, settings.categories, number || null, null];
    } catch (error) {
      if (id !== this.id) return;
      this._trouble = error;
    }
    this.draw();
  }

  _path(id) {
    return forUser(`/calls/${encodeURIComponent(id)}`);
  }

  draw() {
    const call = this._call;
    const back = h("button", { type: "button", class: "quiet back", onclick: () => this._on.closed() }, word("inbox.back"));
    if (!this.id) return show(this._box, h("p", { class: "muted nobody" }, word("inbox.choose")));
    if (this._trouble) return show(this._box, back, h("p", { class: "problem", role: "alert" }, [this._trouble.message, this._trouble.fix].filter(Boolean).join(" — ")));
    if (!call) return show(this._box, back, h("div", { class: "busy" }, h("i", { class: "spinner", "aria-hidden": "true" }), h("span", {}, word("loading"))));
    const playing = this._sound && !this._sound.paused;
    if (!playing) this._sound = null;
    return show(this._box, back, this._head(call), call.outcome ? this._correction(call) : this._going(call), call.number && this._deeds(call),
      this._listen(call), this._dialogue(call), this._evidence(call), this._end(call));
  }

  _head(call) {
    const said = call.corrected && h("span", { class: "muted small" }, word("call.said", { category: category(call.said) }));
    return h("header", { class: "about" },
      h("h2", { class: "title" }, numberText(call.number)),
      h("p", { class: "muted small" }, [date(call.at), call.outcome ? wordOr(`outcome.${call.outcome}`, call.outcome) : word("outcome.none"),
        call.duration_s != null && word("call.lasted", { time: clock(call.duration_s) }),
        call.decided_s != null && word("call.decided", { s: call.decided_s.toFixed(1) })].filter(Boolean).join(" · ")),
      call.outcome && h("p", { class: "row verdict" }, chip(call.standing, category(call.category)),
        call.standing && h("span", { class: "badge" }, word(`standing.${call.standing}`)), said),
      call.reason && h("p", { class: "why" }, reason(call)));
  }

  /** A call that goes on: what shall become of it. */
  _going(call) {
    return h("div", { class: "part" }, h("p", { class: "muted" }, word("call.going")),
      h("div", { class: "row" }, this.answers(call.call_id, () => { this._on.changed(); this.reload(); })));
  }

  /** Buttons that answer a call; `done(true)` where it was taken. */
  answers(id, done) {
    return ["pass", "message", "screen", "reject"].map((choice) => h("button", { type: "button", class: choice === "pass" ? "primary" : "", "data-choice": choice, onclick: async () => {
      try {
        await request(below(id, "answer"), { ...SCOPE, method: "POST", json: { choice, user_id: user() } });
        toast(word(`answer.${choice}.done`));
        done(true);
      } catch (error) {
        this._on.failed(error);
        done(false);
      }
    } }, word(`answer.${choice}`)));
  }

  _correction(call) {
    const select = h("select", { id: "correct" }, categoryOptions(this._categories, call.category));
    if (!(call.category in this._categories)) select.prepend(h("option", { value: "", selected: true, disabled: true }, word("category.none")));
    return h("form", { class: "part fields", onsubmit: (event) => { event.preventDefault(); this._correct(select.value); } },
      h("label", { class: "field" }, h("span", {}, word("call.category")), select),
      h("button", { type: "submit" }, word("call.correct")),
      h("p", { class: "muted small wide" }, word("call.correct.help")));
  }

  async _correct(name) {
    if (!name || name === this._call.category) return;
    await this._do(() => request(below(this.id, "correction"), { ...SCOPE, method: "POST", json: { category: name, user_id: user() } }),
      word("call.corrected", { category: category(name) }));
  }

  _deeds(call) {
    const { own, shared } = this._number ?? {};
    const press = (standing, text, undo) => h("button", { type: "button", "data-deed": standing, "aria-pressed": String(own?.standing === standing),
      onclick: () => (own?.standing === standing ? this._take() : this._put(standing)) }, own?.standing === standing ? undo : text);
    const stands = (entry, key) => entry && h("p", { class: "muted small" }, word(key, { standing: word(`standing.${entry.standing}`), origin: word(`origin.${entry.origin}`), until: until(entry.expires_at) }));
    return h("div", { class: "part" },
      h("div", { class: "row" }, press("normal", word("call.allow"), word("call.allowed")), press("illegal", word("call.block"), word("call.blocked")),
        call.outcome && call.category && h("button", { type: "button", class: "quiet", "data-deed": "report", onclick: () => this._report() }, word("call.report"))),
      stands(own, "call.own_entry"), stands(shared, "call.shared_entry"));
  }

  async _put(standing) {
    const json = { number: this._call.number, standing, category: standing === this._call.standing ? this._call.category : "" };
    await this._do(() => request(forUser("/numbers"), { ...SCOPE, method: "PUT", json }), word(standing === "normal" ? "call.allowed.done" : "call.blocked.done"));
  }

  async _take() {
    await this._do(() => request(forUser("/numbers/remove"), { ...SCOPE, method: "POST", json: { number: this._call.number } }), word("numbers.removed"));
  }

  async _report() {
    const json = { key: this._call.number, category: this._call.category, call_id: this.id };
    await this._do(() => request(forUser("/reports"), { ...SCOPE, method: "POST", json }), word("reports.done"));
  }

  async _do(act, done) {
    const { id } = this;
    const focused = document.activeElement?.dataset?.deed;
    try {
      await act();
      toast(done);
    } catch (error) {
      this._on.failed(error);
    }
    this._on.changed();
    if (id === this.id) await this.reload();
    if (focused) refocus(this._box.querySelector(`[data-deed="${focused}"]`));
  }

  // To listen: by the call's signed link, which is over after some minutes.

  _listen(call) {
    if (!call.links.recording) return h("p", { class: "muted small part" }, word("call.no_recording"));
    this._sound ??= this._audio(call.links.recording);
    return h("div", { class: "part" }, this._sound);
  }

  _audio(link) {
    const sound = h("audio", { controls: true, preload: "none", src: link, "aria-label": word("call.recording") });
    let renewed = 0;
    sound.addEventListener("error", async () => {
      // One renewal for each link that is over; what cannot be played at all is not asked for again.
      if (Date.now() - renewed < 10_000) return toast(word("call.unplayable"), "bad");
      renewed = Date.now();
      try {
        const fresh = (await getJson(this._path(this.id), SCOPE)).links.recording;
        const at = sound.currentTime;
        sound.src = fresh;
        sound.currentTime = at;
        await sound.play();
      } catch (error) {
        this._on.failed(error);
      }
    });
    return sound;
  }

  _stop() {
    this._sound?.pause();
    this._sound = null;
  }

  _from(seconds) {
    if (!this._sound) return;
    this._sound.currentTime = seconds;
    this._sound.play();
  }

  _dialogue(call) {
    if (!call.turns.length) return h("p", { class: "muted part" }, word(call.outcome ? "call.no_words" : "call.words_later"));
    const heard = Boolean(call.links.recording);
    const time = (turn) => (heard
      ? h("button", { type: "button", class: "quiet time", onclick: () => this._from(turn.start_s), "aria-label": word("call.play", { time: clock(turn.start_s) }) }, clock(turn.start_s))
      : h("span", { class: "time muted small" }, clock(turn.start_s)));
    return h("section", { class: "part" }, h("h3", {}, word("call.transcript")),
      h("ol", { class: "turns" }, call.turns.map((turn) => h("li", { class: turn.speaker },
        h("span", { class: "row" }, h("b", { class: "small" }, word(`speaker.${turn.speaker}`)), time(turn)), h("p", { lang: "zh" }, turn.text)))));
  }

  _evidence(call) {
    if (!call.outcome) return null;
    const shares = Object.entries(call.probabilities ?? {}).sort(([, one], [, other]) => other - one).slice(0, MOST_SHARES);
    return h("details", { class: "part", open: this._unfolded, ontoggle: ({ target }) => { this._unfolded = target.open; } }, h("summary", {}, word("call.evidence")),
      shares.length ? h("dl", { class: "shares" }, shares.map(([name, share]) => [h("dt", {}, category(name)),
        h("dd", {}, h("span", { class: "meter", "aria-hidden": "true" }, h("i", { style: { width: `${100 * share}%` } })), percent(share, 1))])) : null,
      h("p", { class: "small row" }, voiceText(call.voice),
        call.voice?.kind === "VoiceMatch" && h("button", { type: "button", class: "quiet", onclick: () => this._appeal(call.voice.voice_id) }, word("appeals.appeal"))),
      call.corrections.map((one) => h("p", { class: "small muted" }, word("call.correction", { before: category(one.before), after: category(one.category), date: date(one.at) }))),
      h("p", { class: "small muted" }, Object.entries(call.models).map(([part, name]) => `${wordOr(`part.${part}`, part)}: ${name}`).join(" · ")));
  }

  async _appeal(voice) {
    try {
      if (await appealVoice(voice)) toast(word("appeals.made"));
    } catch (error) {
      this._on.failed(error);
    }
  }

  _end(call) {
    const remove = async () => {
      this._stop();
      try {
        await request(this._path(call.call_id), { ...SCOPE, method: "DELETE" });
        toast(word("call.deleted"));
        this._on.closed();
      } catch (error) {
        this._on.failed(error);
      }
      this._on.changed();
    };
    return h("div", { class: "part row end" }, twice(word("call.delete"), word("call.delete.sure"), remove));
  }
}

/** These name their user in the body. */
const below = (id, what) => `/v1/screening/calls/${encodeURIComponent(id)}/${what}`;

function voiceText(voice) {
  if (!voice) return word("voice.none");
  if (voice.kind === "VoiceMatch") {
    return word("voice.match", { standing: word(`standing.${voice.standing}`), category: category(voice.category), score: voice.score.toFixed(2), margin: voice.margin.toFixed(2) });
  }
  if (voice.kind === "NotEnoughSpeech") return word("voice.short", { said: voice.speech_s.toFixed(1), needed: voice.needed_s.toFixed(1) });
  return word("voice.unknown");
}
