// What a user or an agent is told of calls as they happen, over a line that is gone on with after
// every break.

import { ApiError, getJson } from "./http.js";
import { key } from "./keys.js";

const LONGEST_WAIT_MS = 8000;
const PATIENT_TRIES = 3;

/**
 * `line`: its `path`, the `scope` of the key, `start(last)`: the first message, where number `last`
 * is there already (null: nothing), `refused`: the code of an error after which it is not tried again.
 * `on.notice(event)` gets each notice once; `on.state("open" | "lost")`; `on.failed(ApiError)`;
 * `on.other(event)`, where given, whatever else the line says.
 */
export class Notices {
  constructor(line, on) {
    this._line = line;
    this._on = on;
    this._last = null;
    this._over = false;
    this._tries = 0;
    this._connect();
  }

  close() {
    this._over = true;
    clearTimeout(this._timer);
    this._socket?.close();
  }

  /** Whether it could be sent: while there is no line, it is for the caller to keep. */
  send(message) {
    if (this._socket?.readyState !== WebSocket.OPEN) return false;
    this._socket.send(JSON.stringify(message));
    return true;
  }

  _connect() {
    const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${this._line.path}`;
    const socket = new WebSocket(address, key() ? ["persona-ray", `key.${key()}`] : ["persona-ray"]);
    this._socket = socket;
    socket.onopen = () => {
      socket.send(JSON.stringify(this._line.start(this._last)));
      this._opened = setTimeout(() => { this._tries = 0; }, 2000);
      this._on.state("open");
    };
    socket.onmessage = ({ data }) => this._take(JSON.parse(data));
    socket.onclose = () => this._lost();
  }

  _take(event) {
    if (event.type === "error") this._error = event.error;
    if (event.type !== "notice") this._on.other?.(event);
    else if ((this._last ?? -1) < event.number) {
      this._last = event.number;
      this._on.notice(event);
    }
  }

  _lost() {
    clearTimeout(this._opened);
    if (this._over) return;
    this._on.state("lost");
    if (this._error?.code === this._line.refused) {
      this._over = true;
      this._on.failed(new ApiError(0, this._error));
      return;
    }
    if (this._tries >= PATIENT_TRIES) this._inquire();
    const wait = Math.min(LONGEST_WAIT_MS, 300 * 2 ** this._tries++);
    this._timer = setTimeout(() => this._connect(), wait * (0.5 + Math.random()));
  }

  /** Browsers do not tell why a line was refused: a key that is not valid any more will not be. */
  async _inquire() {
    try {
      await getJson(`/v1/pages/access?scope=${this._line.scope}`);
    } catch (error) {
      if (this._over || ![401, 403].includes(error.status)) return;
      this.close();
      this._on.failed(error);
    }
  }
}
