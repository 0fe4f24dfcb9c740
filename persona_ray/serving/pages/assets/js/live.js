// A live call over /v1/live: numbered frames out, events in, gone on with after every break.

import { ApiError, getJson } from "./http.js";
import { key } from "./keys.js";

const LONGEST_WAIT_MS = 8000;
const ALIVE_MS = 45000;
const PATIENT_TRIES = 3;

/**
 * `on.event(event)` gets every event but acks once; `on.state("open" | "lost" | "over")` the line;
 * `on.failed(ApiError)` what cannot be gone on with. Frames are kept until they are acknowledged.
 */
export class LiveCall {
  constructor(rate, on) {
    this._on = on;
    this._rate = rate;
    this._id = `page-${crypto.getRandomValues(new Uint32Array(3)).join("-")}`;
    this._frames = [];
    this._first = 1;
    this._next = 1;
    this._received = 0;
    this._window = 60;
    this._seen = 0;
    this._colours = 0;
    this._known = false;
    this._ending = false;
    this._over = false;
    this._tries = 0;
    this._socket = null;
    this._ready = false;
    this._connect();
  }

  /** Int16Array of at most 1 s. */
  push(pcm) {
    const frame = new Uint8Array(4 + pcm.byteLength);
    const number = this._first + this._frames.length;
    new DataView(frame.buffer).setUint32(0, number);
    frame.set(new Uint8Array(pcm.buffer, pcm.byteOffset, pcm.byteLength), 4);
    this._frames.push({ bytes: frame, seconds: pcm.length / this._rate });
    this._flush();
  }

  /** No more frames; what was said last is judged, then the state is "over". */
  end() {
    this._ending = true;
    this._flush();
  }

  /** Leave it. */
  close() {
    this._over = true;
    clearTimeout(this._timer);
    this._socket?.close();
  }

  _connect() {
    const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/live`;
    const offered = key() ? ["persona-ray", `key.${key()}`] : ["persona-ray"];
    const socket = new WebSocket(address, offered);
    socket.binaryType = "arraybuffer";
    this._socket = socket;
    this._ready = false;
    this._sentEnd = false;
    socket.onopen = () => {
      const start = { type: "start", call_id: this._id, sample_rate_hz: this._rate, encoding: "pcm16", channels: 1 };
      if (this._known) start.resume_from = this._seen;
      socket.send(JSON.stringify(start));
      this._watch();
    };
    socket.onmessage = ({ data }) => {
      if (socket !== this._socket) return;
      this._watch();
      this._take(JSON.parse(data));
    };
    socket.onclose = () => { if (socket === this._socket) this._lost(); };
  }

  /** A line that says nothing for long while sound goes out is none. */
  _watch() {
    clearTimeout(this._watchdog);
    this._watchdog = setTimeout(() => { if (!this._over && this._frames.length) this._socket?.close(); }, ALIVE_MS);
  }

  _take(event) {
    if (event.type === "started") {
      this._known = true;
      this._ready = true;
      this._tries = 0;
      this._window = event.window_s;
      this._received = event.next_frame - 1;
      this._settle(event.next_frame - 1);
      this._next = event.next_frame;
      this._on.state("open");
      this._on.event(event);
      this._flush();
      return;
    }
    if (event.type === "ack") {
      this._received = Math.max(this._received, event.received);
      this._settle(event.frame);
      this._flush();
      return;
    }
    if (event.type === "error" && event.start_s == null) {
      this._error = event;
      return;
    }
    if (event.type === "sentence" || event.type === "error") {
      if (event.seq <= this._seen) return;
      this._seen = event.seq;
    }
    if (event.type === "colour") {
      if (event.seq <= this._colours) return;
      this._colours = event.seq;
    }
    if (event.type === "end") this._over = true;
    this._on.event(event);
    if (event.type === "end") {
      clearTimeout(this._watchdog);
      this._on.state("over");
    }
  }

  _settle(frame) {
    const done = Math.min(frame - this._first + 1, this._frames.length);
    if (done <= 0) return;
    this._frames.splice(0, done);
    this._first += done;
  }

  /** Send what may be sent: at most `window_s` ahead of what has been received. */
  _flush() {
    if (!this._ready || this._socket.readyState !== WebSocket.OPEN) return;
    let ahead = 0;
    for (let number = Math.max(this._received + 1, this._first); number < this._next; number++) {
      ahead += this._frames[number - this._first]?.seconds ?? 0;
    }
    while (this._next - this._first < this._frames.length) {
      const frame = this._frames[this._next - this._first];
      if (ahead + frame.seconds > this._window) return;
      this._socket.send(frame.bytes);
      ahead += frame.seconds;
      this._next += 1;
    }
    if (this._ending && !this._sentEnd) {
      this._sentEnd = true;
      this._socket.send('{"type":"end"}');
    }
  }

  _lost() {
    clearTimeout(this._watchdog);
    if (this._over) return;
    const error = this._error;
    this._error = null;
    this._ready = false;
    // A call that was begun, whose beginning the service could not tell us, is gone on with.
    if (error?.error.code === "live.exists" && !this._known) this._known = true;
    else if (error?.error.code === "live.unknown" && this._seen === 0 && this._first === 1) this._known = false;
    else if (error && !error.resumable) {
      this._over = true;
      this._on.failed(new ApiError(0, error.error));
      return;
    }
    this._on.state("lost");
    if (this._tries >= PATIENT_TRIES) this._inquire();
    const wait = Math.min(LONGEST_WAIT_MS, 300 * 2 ** this._tries++);
    this._timer = setTimeout(() => this._connect(), wait * (0.5 + Math.random()));
  }

  /** Browsers do not tell why a line was refused: a key that is not valid any more will not be. */
  async _inquire() {
    try {
      await getJson("/v1/pages/access?scope=live");
    } catch (error) {
      if (this._over || ![401, 403].includes(error.status)) return;
      this.close();
      this._on.failed(error);
    }
  }
}
