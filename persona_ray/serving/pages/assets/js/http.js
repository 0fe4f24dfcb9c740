// Requests to this server, with the key and in its one shape of errors.

import { word, wordOr } from "./i18n.js";
import { ask, forget, headers, key } from "./keys.js";

/** What the service refused, in words for people. */
export class ApiError extends Error {
  constructor(status, error) {
    const ours = wordOr(`error.${error.code}`, "");
    super(ours || error.message);
    this.status = status;
    this.code = error.code;
    // The service speaks English, and does not go on in it where we have words of our own.
    this.fix = ours ? "" : error.fix ?? "";
    this.detail = error.message;
    this.traceId = error.trace_id ?? "";
  }
}

/** The Response to a request; asks for a key where it lacks one. Throws ApiError. */
export async function request(path, { scope, method = "GET", json, body, signal } = {}) {
  for (;;) {
    const options = { method, signal, headers: headers(), body };
    if (json !== undefined) {
      options.body = JSON.stringify(json);
      options.headers = { ...options.headers, "content-type": "application/json" };
    }
    let answer;
    try {
      answer = await fetch(path, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, { code: "offline", message: word("error.offline") });
    }
    if (answer.ok) return answer;
    const error = await refusal(answer);
    if (!scope || !["key.missing", "key.unknown", "key.revoked", "key.expired", "key.scope"].includes(error.code)) throw error;
    await keyFor(scope, error);
  }
}

export async function getJson(path, options) {
  return (await request(path, options)).json();
}

/** A key with `scope`, asked for if need be; the caller's name. */
export async function access(scope) {
  return getJson(`/v1/pages/access?scope=${scope}`, { scope });
}

let settingsOnce = null;

/** What the page needs to know before it has a key. */
export function settings() {
  settingsOnce ??= getJson("/v1/pages/settings").catch((error) => {
    settingsOnce = null;
    throw error;
  });
  return settingsOnce;
}

async function keyFor(scope, error) {
  const had = key() !== "";
  forget();
  await ask(scope, had ? error.message : "");
  document.dispatchEvent(new Event("keychange"));
}

async function refusal(answer) {
  const said = await answer.json().catch(() => null);
  return new ApiError(answer.status, said?.error ?? { code: "unknown", message: `HTTP ${answer.status}` });
}
