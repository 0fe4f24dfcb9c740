// What a user is told of calls as they happen: /v1/screening/notices, gone on with after every break.

import { ApiError, getJson } from "./http.js";
import { key } from "./keys.js";

const LONGEST_WAIT_MS = 8000;
const PATIENT_TRIES = 3;

/** `on.notice(event)` gets each notice once; `on.state("open" | "lost")`; `on.failed(ApiError)`. */
export class Notices {
  constructor(user, on) {
    this._user = user;
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

  _connect() {
    const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/screening/notices`;
    const socket = new WebSocket(address, key() ? ["persona-ray", `key.${key()}`] : ["persona-ray"]);
    this._socket = socket;
    socket.onopen = () => {
      socket.send(JSON.stringify({ type: "start", user_id: this._user, after: this._last }));
      this._opened = setTimeout(() => { this._tries = 0; }, 2000);
      this._on.state("open");
    };
    socket.onmessage = ({ data }) => this._take(JSON.parse(data));
    socket.onclose = () => this._lost();
  }

  _take(event) {
    if (event.type === "error") this._error = event.error;
    if (event.type !== "notice" || (this._last ?? -1) >= event.number) return;
    this._last = event.number;
    this._on.notice(event);
  }

  _lost() {
    clearTimeout(this._opened);
    if (this._over) return;
    this._on.state("lost");
    if (this._error?.code === "screening.user") {
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
      await getJson("/v1/pages/access?scope=screening");
    } catch (error) {
      if (this._over || ![401, 403].includes(error.status)) return;
      this.close();
      this._on.failed(error);
    }
  }
}
