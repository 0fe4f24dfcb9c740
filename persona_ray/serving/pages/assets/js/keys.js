// The bearer key: asked for once, kept for as long as this tab is open.

import { byId } from "./dom.js";
import { word, wordOr } from "./i18n.js";

const KEPT = "persona-ray.key";
let asking = null;

/** `#key=pr_...` or `#pr_...`, as `persona-ray serve` prints it; browsers do not send it on. */
function fromAddress() {
  const found = /^#(?:key=)?(pr_[\w-]+)$/.exec(location.hash);
  if (!found) return false;
  sessionStorage.setItem(KEPT, found[1]);
  history.replaceState(null, "", location.pathname + location.search);
  return true;
}

fromAddress();
// The printed address put into a tab that has this page open already: only the part behind `#` changes.
addEventListener("hashchange", () => { if (fromAddress()) location.reload(); });

export function key() {
  return sessionStorage.getItem(KEPT) ?? "";
}

export function forget() {
  sessionStorage.removeItem(KEPT);
}

export function headers() {
  return key() ? { authorization: `Bearer ${key()}` } : {};
}

/** Ask for a key that has `scope`; resolves when there is one. `why`: what was wrong with the last. */
export function ask(scope, why = "") {
  asking ??= dialog(scope, why).finally(() => { asking = null; });
  return asking;
}

function dialog(scope, why) {
  const box = byId("key-dialog");
  const input = byId("key-input");
  const problem = byId("key-problem");
  const tell = (text) => { problem.textContent = text; problem.hidden = !text; };
  tell(why);
  return new Promise((resolve) => {
    const submitted = async (event) => {
      event.preventDefault();
      const wanted = input.value.trim();
      const answer = await fetch(`/v1/pages/access?scope=${scope}`, { headers: { authorization: `Bearer ${wanted}` } })
        .catch(() => null);
      if (answer?.ok) {
        sessionStorage.setItem(KEPT, wanted);
        box.removeEventListener("cancel", stays);
        box.querySelector("form").removeEventListener("submit", submitted);
        input.value = "";
        box.close();
        resolve();
        return;
      }
      const said = await answer?.json().catch(() => null);
      tell(said?.error ? wordOr(`error.${said.error.code}`, said.error.message) : word("error.offline"));
      input.select();
    };
    const stays = (event) => event.preventDefault();
    box.querySelector("form").addEventListener("submit", submitted);
    box.addEventListener("cancel", stays);
    if (!box.open) box.showModal();
    input.focus();
  });
}
