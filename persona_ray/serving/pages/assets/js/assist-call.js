// A call as the notices of an agent's devices tell it.

// What is heard of a channel without being a turn, where it is worth a word.
const TOLD_UNHEARD = ["echo", "no_words"];
// Whoever answers as soon as something new appears means what stood there before.
const AIMED_MS = 350;
const ENDED_MS = 1500;

export class Call {
  constructor(id) {
    this.id = id;
    this.customer = "";
    this.scene = {};
    this.rows = []; // turns, and between them pushes and what was left out
    this.push = null; // the last one
    this.over = null; // {duration_s}
    this.outcome = "";
  }

  /** Turns of the customer whose mood is known, in order. */
  get moods() {
    return this.rows.filter(({ kind, turn }) => kind === "turn" && turn.emotion).map(({ turn }) => turn);
  }

  /** Whether there is anything to be drawn anew. */
  take(event) {
    switch (event.type) {
      case "began": [this.customer, this.scene] = [event.customer_id, event.scene]; break;
      case "scene": this.scene = event.scene; break;
      case "turn": this.rows.push({ kind: "turn", turn: event }); break;
      case "push": this._pushed(event); break;
      case "no_push": this.rows.push({ kind: "none", reason: event.reason }); break;
      case "unheard": if (!TOLD_UNHEARD.includes(event.reason)) return false;
        this.rows.push({ kind: "unheard", reason: event.reason, speaker: event.speaker }); break;
      case "error": this.rows.push({ kind: "failed", error: event.error }); break;
      case "end": this.over = event; this._overAt = performance.now(); break;
      default: return false;
    }
    return true;
  }

  _pushed(event) {
    // What came before is not to be said any more.
    if (this.push && !this.push.done) this.push.missed = true;
    this._former = this.push;
    this.push = { at: performance.now(), id: event.push_id, scripts: event.scripts, because: event.because, longest: event.expires_in_s,
      until: performance.now() + 1000 * event.expires_in_s, missed: false, done: null, sending: false, seen: false };
    this.rows.push({ kind: "push", push: this.push });
  }

  /** The push that whoever presses something now has read. */
  get aimed() {
    const former = this._former;
    const meant = former && !former.done && performance.now() - this.push.at < AIMED_MS;
    return meant ? former : this.push;
  }

  /** Long enough that no answer to a push is taken for what the call came to. */
  get settled() {
    return Boolean(this.over) && performance.now() - this._overAt > ENDED_MS;
  }

  find(pushId) {
    return this.rows.find(({ push }) => push?.id === pushId)?.push;
  }
}

/** Seconds that a push has left; 0 where it has none. */
export function left(push) {
  return Math.max(0, (push.until - performance.now()) / 1000);
}

/** used, edited, dismissed, missed, or open. */
export function stateOf(push) {
  return push.done?.action ?? (push.missed ? "missed" : "open");
}
