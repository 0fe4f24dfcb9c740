// Annotate: clip after clip, by keys or by clicks.

import { byId } from "./dom.js";
import { named } from "./colours.js";
import { drawClip, drawNobody, drawPlaying, drawWave, drawWho } from "./clip-view.js";
import { drawAgreement, drawKeys, drawOrders, drawProgress, ORDERS } from "./clip-side.js";
import { onLanguage, word } from "./i18n.js";
import { access, ApiError, getJson, request } from "./http.js";
import { decode, Player, Sound } from "./sound.js";
import { failed as tell, toast } from "./theme.js";

const KEPT = { name: "persona-ray.annotator", order: "persona-ray.order" };
const FETCHED = 20;
const FEW = 6;
const player = new Player((seconds) => {
  drawPlaying(seconds != null);
  drawWave(sound(), seconds);
});
const sounds = new Map();
let caller = null; // whose key it is
let who = localStorage.getItem(KEPT.name) ?? "";
let order = ORDERS.includes(localStorage.getItem(KEPT.order)) ? localStorage.getItem(KEPT.order) : "corpus";
let overview = null;
let items = [];
let at = 0;
let left = 0;
let total = 0;
let judged = null;
let undoable = []; // {item, former}
let session = 0;
let message = "";
let queueNumber = 0;
let loading = true;

/** Whether whoever holds the key may say who labels: other keys label under their own names. */
const names = () => caller === null || caller.scopes.includes("admin");
const settles = () => names() || overview === null || caller.name === overview.adjudicator;
const annotator = () => (order === "conflicts" && overview ? overview.adjudicator : who);
const sound = () => sounds.get(items[at]?.clip_id)?.ready ?? null;
const asked = (options) => ({ scope: "annotate", ...options });

function keysOfLabels() {
  if (!overview) return [];
  return [...overview.labels.map((label, number) => [label, String(number + 1)]), [overview.uncertain_label, "0"]];
}

// The queue.

async function begin() {
  message = "";
  items = [];
  at = 0;
  undoable = [];
  loading = true;
  const number = ++queueNumber;
  try {
    caller = await access("annotate");
    if (!names()) who = caller.name;
    drawName();
    overview = await getJson(`/v1/annotation?annotator=${encodeURIComponent(who || "?")}`, asked());
    if (order === "conflicts" && !settles()) order = "corpus";
    if (who && number === queueNumber) await more(number);
  } catch (error) {
    failed(error);
  }
  loading = false;
  draw();
}

/** Fetch what follows; `afresh`: instead of what has not been seen yet. */
async function more(number = queueNumber, afresh = false) {
  const query = new URLSearchParams({ annotator: annotator(), order, limit: String(FETCHED + Math.max(0, items.length - at)) });
  const answer = await getJson(`/v1/annotation/queue?${query}`, asked());
  if (number !== queueNumber) return;
  if (afresh) items = items.slice(0, at + 1);
  const known = new Set(items.map((item) => item.clip_id));
  items.push(...answer.clips.filter((item) => !known.has(item.clip_id)));
  left = answer.left;
  total = Math.max(left + done(), items.length);
  judged = order === "uncertain" ? answer : null;
  if (judged?.judging) setTimeout(() => refine(number), 2500);
}

/** While the model is still judging, clips not seen yet are put in order again. */
async function refine(number) {
  if (number !== queueNumber || order !== "uncertain") return;
  try {
    await more(number, true);
    drawIfEmpty();
  } catch (error) {
    failed(error);
  }
  note();
}

async function look() {
  try {
    overview = await getJson(`/v1/annotation?annotator=${encodeURIComponent(who || "?")}`, asked());
    drawProgress(byId("progress"), overview, session);
    drawAgreement(byId("agreement"), overview);
  } catch (error) {
    failed(error);
  }
}

function failed(error) {
  // Another key came in between.
  if (error instanceof ApiError && error.code === "annotation.annotator") begin();
  if (error instanceof ApiError && error.code === "annotation.no_corpus") message = word("annotate.no_corpus");
  else tell(error);
}

// The clip.

function drawName() {
  byId("annotator").value = who;
  byId("annotator").readOnly = !names();
  byId("who").querySelector("button").hidden = !names();
}

function draw() {
  drawOrders(byId("orders"), settles() ? ORDERS : ORDERS.filter((name) => name !== "conflicts"), order, chooseOrder);
  note();
  drawKeys(byId("keys"), keysOfLabels());
  if (overview) {
    drawProgress(byId("progress"), overview, session);
    drawAgreement(byId("agreement"), overview);
  }
  drawItem();
}

function note() {
  byId("order-note").textContent = word(`annotate.note.${order}`, { judged: judged?.judged ?? 0, pool: judged?.pool ?? 0 });
}

function drawItem() {
  player.stop();
  const body = byId("clip-body");
  const item = items[at];
  const focus = focused(body);
  if (!item) {
    if (!message && !who && !(loading && caller === null)) drawWho(body, introduce);
    else if (message || !loading) drawNobody(body, message || word("annotate.empty"));
    return;
  }
  drawClip(body, { item, number: at + 1, left: total, labels: keysOfLabels(),
    adjudicating: order === "conflicts", canUndo: undoable.length > 0, canBack: at > 0 },
    { play, label, back: () => move(-1), skip: () => move(1), undo });
  if (focus) body.querySelector(focus)?.focus();
  drawWave(sound(), null);
  fetchSound(item).then(() => { if (items[at] === item && !player.playing) drawWave(sound(), null); }).catch(failed);
  if (items[at + 1]) fetchSound(items[at + 1]).catch(() => {});
}

/** Where somebody was who goes from button to button by keys; a click leaves no focus behind. */
function focused(body) {
  const element = document.activeElement;
  if (!body.contains(element) || !element.matches("button:focus-visible")) return "";
  return element.id ? `#${element.id}` : `[data-label="${element.dataset.label}"]`;
}

/** Clips of this round that are labelled already: the queue's length no longer has them. */
function done() {
  return order === "done" ? 0 : items.filter((item) => item.mine && item.fresh).length;
}

function fetchSound(item) {
  let kept = sounds.get(item.clip_id);
  if (!kept) {
    kept = { ready: null };
    kept.coming = request(`/v1/annotation/clips/${item.clip_id}/audio`, asked()).then((answer) => answer.blob())
      .then(decode).then(({ rate, channels }) => { kept.ready = Sound.of(channels[0], rate); return kept.ready; });
    kept.coming.catch(() => sounds.delete(item.clip_id));
    sounds.set(item.clip_id, kept);
    if (sounds.size > 60) sounds.delete(sounds.keys().next().value);
  }
  return kept.coming;
}

async function play() {
  if (player.playing) return player.stop();
  const item = items[at];
  if (!item) return undefined;
  try {
    const its = await fetchSound(item);
    if (items[at] === item) await player.play(its);
  } catch (error) {
    failed(error);
  }
  return undefined;
}

function move(by) {
  if (items[at]) items[at].draft = byId("note")?.value ?? "";
  const next = at + by;
  if (next < 0 || next > items.length) return;
  at = next;
  drawItem();
  if (items.length - at < FEW && items.length - at < left) more().then(drawIfEmpty).catch(failed);
}

function drawIfEmpty() {
  if (items[at] && !byId("utterance")) drawItem();
}

async function label(wanted) {
  const item = items[at];
  if (!item) return;
  const former = item.mine;
  const words = byId("note").value;
  const by = annotator();
  item.mine = { label: wanted, note: words };
  item.fresh ||= !former;
  session += 1;
  undoable.push({ item, former, by });
  move(1);
  try {
    await request(`/v1/annotation/clips/${item.clip_id}/label`, asked({ method: "PUT", json: { annotator: by, label: wanted, note: words } }));
    toast(word("annotate.saved", { label: named(wanted) }));
    await look();
  } catch (error) {
    item.mine = former;
    session -= 1;
    undoable = undoable.filter((entry) => entry.item !== item);
    failed(error);
    show(item);
  }
}

async function undo() {
  const last = undoable.pop();
  if (!last) return;
  const { item, former, by } = last;
  const path = `/v1/annotation/clips/${item.clip_id}/label`;
  try {
    if (former) {
      await request(path, asked({ method: "PUT", json: { annotator: by, ...former } }));
      item.mine = former;
      toast(word("annotate.undone"));
    } else {
      const answer = await (await request(`${path}?annotator=${encodeURIComponent(by)}`, asked({ method: "DELETE" }))).json();
      item.mine = answer.mine;
      toast(answer.mine ? word("annotate.stands", { label: named(answer.mine.label) }) : word("annotate.undone"));
    }
    session -= 1;
    show(item);
    await look();
  } catch (error) {
    undoable.push(last);
    failed(error);
  }
}

function show(item) {
  const place = items.indexOf(item);
  if (place >= 0) at = place;
  drawItem();
}

// Wiring.

function chooseOrder(wanted) {
  order = wanted;
  localStorage.setItem(KEPT.order, order);
  begin();
}

function introduce(name) {
  who = name;
  byId("annotator").value = who;
  localStorage.setItem(KEPT.name, who);
  document.activeElement?.blur();
  begin();
}

byId("who").addEventListener("submit", (event) => {
  event.preventDefault();
  if (names()) introduce(byId("annotator").value.trim());
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const field = event.target.closest("input:not([type=radio]), textarea");
  if (field) {
    if (event.key === "Escape" || (event.key === "Enter" && field.id === "note")) field.blur();
    return;
  }
  const labelled = keysOfLabels().find(([, key]) => key === event.key);
  const radio = event.target.matches("input[type=radio]");
  const pressed = event.target.closest("button, a");
  if (labelled && items[at]) label(labelled[0]);
  else if (event.key === " " && !radio && !pressed) play();
  else if (event.key === "ArrowRight" && !radio) move(1);
  else if (event.key === "ArrowLeft" && !radio) move(-1);
  else if (event.key.toLowerCase() === "u") undo();
  else if (event.key.toLowerCase() === "n" && byId("note")) byId("note").focus();
  else return;
  event.preventDefault();
});
addEventListener("resize", () => drawWave(sound(), null));
document.addEventListener("themechange", () => drawWave(sound(), null));
onLanguage(draw);
draw();
begin();
