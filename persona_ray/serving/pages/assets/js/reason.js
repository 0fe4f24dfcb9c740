// Why the champion shall change, asked before it does.

import { byId } from "./dom.js";
import { word } from "./i18n.js";

/** {reason, force}, or null where somebody thought better of it. */
export function askReason({ title, help, go, force, needed }) {
  const box = byId("reason-dialog");
  const problem = byId("reason-problem");
  byId("reason-title").textContent = title;
  byId("reason-help").textContent = help;
  byId("reason-go").textContent = go;
  byId("force-row").hidden = !force;
  byId("force").checked = false;
  byId("reason").value = "";
  problem.hidden = true;
  box.showModal();
  byId("reason").focus();
  return new Promise((resolve) => {
    const settled = new AbortController();
    const end = (answer) => {
      settled.abort();
      box.close();
      resolve(answer);
    };
    const on = (element, kind, act) => element.addEventListener(kind, act, { signal: settled.signal });
    on(byId("reason-cancel"), "click", () => end(null));
    on(box, "cancel", () => end(null));
    on(box.querySelector("form"), "submit", (event) => {
      event.preventDefault();
      const reason = byId("reason").value.trim();
      const forced = force && byId("force").checked;
      if ((needed || forced) && !reason) {
        problem.textContent = word("models.reason.needed");
        problem.hidden = false;
        byId("reason").focus();
        return;
      }
      end(force ? { reason, force: forced } : { reason });
    });
  });
}
