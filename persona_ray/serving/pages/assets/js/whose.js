// Whom the page is for: the user whose key it is; who may act for others names one.

import { byId } from "./dom.js";
import { access } from "./http.js";

const KEPT = "persona-ray.user";
let me = null;

/** {name, operator}; asks for a key with `scope` first. `changed` is called when another is chosen. */
export async function whose(changed, scope = "screening") {
  const { name, scopes } = await access(scope);
  me = { name, operator: scopes.some((scope) => scope === "operator" || scope === "admin") };
  const form = byId("whose");
  form.hidden = !me.operator;
  byId("whose-user").value = user() || me.name;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = byId("whose-user").value.trim();
    sessionStorage.setItem(KEPT, wanted);
    byId("whose-user").value = wanted || me.name;
    changed();
  });
  return me;
}

/** Empty: the key's own. */
export function user() {
  return me?.operator ? sessionStorage.getItem(KEPT) ?? "" : "";
}

/** Nobody can be meant: no key names a user, and none was chosen. */
export function nobody() {
  return me !== null && !me.name && !user();
}

/** An address below /v1/screening with the user in it. */
export function forUser(path, values = {}) {
  const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value != null));
  if (user()) query.set("user_id", user());
  return `/v1/screening${path}${query.size ? `?${query}` : ""}`;
}

export const SCOPE = { scope: "screening" };
