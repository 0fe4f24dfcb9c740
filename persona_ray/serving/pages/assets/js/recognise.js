// Recognise: a recording or the microphone -> sentences, colours, the evidence.

import { byId, h, show } from "./dom.js";
import { clock, onLanguage, word } from "./i18n.js";
import { access, request, settings } from "./http.js";
import { drawEvidence } from "./evidence.js";
import { LiveCall } from "./live.js";
import { listen } from "./microphone.js";
import { Sentences } from "./sentences.js";
import { channelPicker } from "./channels.js";
import { decode, Player, Sound, toPcm } from "./sound.js";
import { drawWords, Shapes } from "./verdict.js";
import { Wave } from "./wave.js";

const FRAME_S = 0.1;
const player = new Player(followed);
const shapes = new Shapes(byId("shapes"));
const wave = new Wave(byId("wave"), picked);
const list = new Sentences(byId("sentences"), toggled);
let labels = [];
let chosen = null; // {file, decoded, channel}
let call = null; // {sound, sentences, points, together, model, seconds, duration, live}
let line = null; // {live, microphone, timer}
let drawSource = () => {};
let taken = 0;

// What is shown.

function blank(sound) {
  return { sound, sentences: [], points: [], together: null, model: null, seconds: null, duration: sound?.duration ?? 0 };
}

function draw() {
  drawSource();
  byId("result").hidden = !call;
  byId("play-all").textContent = word(player.playing ? "wave.pause" : "wave.play");
  if (!call) return;
  list.draw(call.sentences, Boolean(call.sound));
  drawColour();
}

function drawColour() {
  const judged = call.sentences.filter((sentence) => sentence.probabilities);
  drawWords(byId("verdict-words"), call.together, judged.length);
  shapes.draw(labels, call.together?.probabilities ?? null);
  drawEvidence(byId("evidence"), call.points, labels);
  wave.draw(call);
  const n = call.sentences.length;
  byId("said-count").textContent = n === 1 ? word("said.count.one") : n ? word("said.count", { n }) : call.over ? word("said.empty") : "";
  byId("play-all").disabled = !call.sound;
  const foot = [];
  if (call.model) foot.push(word("foot.model", { name: call.model.name, version: call.model.version }));
  if (call.seconds != null) foot.push(word("foot.timing", { seconds: call.seconds.toFixed(1) }));
  byId("foot").textContent = foot.join(" ");
}

/** The running colour after each sentence: the mean of what was said of them. */
function running(sentences) {
  const sums = {};
  const points = [];
  for (const { probabilities } of sentences) {
    if (!probabilities) continue;
    for (const [label, value] of Object.entries(probabilities)) sums[label] = (sums[label] ?? 0) + value;
    points.push(Object.fromEntries(Object.entries(sums).map(([label, sum]) => [label, sum / (points.length + 1)])));
  }
  return points;
}

function knowLabels(probabilities) {
  const found = Object.keys(probabilities ?? {});
  if (found.some((label) => !labels.includes(label))) labels = found;
}

function problem(error) {
  byId("problem").textContent = error ? [error.message, error.fix && !error.message.includes(error.fix) ? error.fix : ""].filter(Boolean).join(" — ") : "";
  byId("problem").hidden = !error;
}

function busy(text) {
  byId("busy-text").textContent = text;
  byId("busy").hidden = !text;
}

// Playing.

function followed(seconds) {
  wave.follow(seconds);
  list.follow(seconds);
  byId("clock").textContent = seconds == null ? "" : clock(seconds);
  byId("play-all").textContent = word(seconds == null ? "wave.play" : "wave.pause");
}

function picked(seconds) {
  const sentence = call?.sentences.find(({ start_s, end_s }) => seconds >= start_s && seconds < end_s);
  if (call?.sound) player.play(call.sound, sentence ? sentence.start_s : seconds, sentence ? sentence.end_s : undefined);
}

function toggled(sentence) {
  const here = document.querySelector(".sentences .playing button")?.getAttribute("title");
  player.playing && here === word("said.play", { from: clock(sentence.start_s), to: clock(sentence.end_s) })
    ? player.stop() : player.play(call.sound, sentence.start_s, sentence.end_s);
}

byId("play-all").addEventListener("click", () => (player.playing ? player.stop() : player.play(call.sound)));

// A recording.

async function take(file) {
  leave();
  problem(null);
  byId("inputs").hidden = true;
  byId("source").hidden = false;
  call = null;
  draw();
  const turn = ++taken;
  const { max_upload_mb: most } = await settings();
  const decoded = await decode(file);
  if (turn !== taken) return;
  chosen = { file, decoded, channel: 0 };
  drawSource = drawFile;
  draw();
  if (file.size > most * 1e6) problem(new Error(word("recognise.too_large", { mb: (file.size / 1e6).toFixed(0), most })));
  byId("source-actions").querySelector("button")?.focus();
}

function drawFile() {
  const { file, decoded } = chosen;
  byId("source-name").textContent = file.name;
  byId("source-facts").textContent = decoded ? word("recognise.facts", {
    duration: clock(decoded.channels[0].length / decoded.rate), mb: (file.size / 1e6).toFixed(1),
    channels: decoded.channels.length === 1 ? word("recognise.mono") : word("recognise.stereo", { n: decoded.channels.length }),
  }) : word("recognise.unplayable");
  chosen.channel = channelPicker(byId("channels"), decoded, player, (channel) => { chosen.channel = channel; });
  show(byId("source-actions"),
    h("button", { type: "button", class: "primary", id: "run", onclick: run, disabled: Boolean(line) }, word("recognise.run")),
    decoded && h("button", { type: "button", id: "stream", onclick: stream, disabled: Boolean(line) }, word("recognise.stream")),
    h("button", { type: "button", class: "quiet", id: "another", onclick: another }, word("recognise.another")));
}

function soundOf({ decoded, channel }) {
  return decoded ? Sound.of(decoded.channels[Math.min(channel, decoded.channels.length - 1)], decoded.rate) : null;
}

async function run() {
  player.stop();
  problem(null);
  busy(word("recognise.busy"));
  byId("run").disabled = true;
  const asked = chosen;
  try {
    const body = new FormData();
    body.append("channel", String(chosen.channel));
    body.append("file", chosen.file, chosen.file.name);
    const answer = await (await request("/v1/recognitions/calls", { scope: "recognise", method: "POST", body })).json();
    if (asked !== chosen) return;
    const sound = soundOf(asked);
    const last = answer.sentences.at(-1)?.end_s ?? 0;
    knowLabels(answer.together.probabilities);
    call = { ...blank(sound), sentences: answer.sentences, points: running(answer.sentences), together: answer.together,
      model: answer.model, seconds: answer.timings_s.total, duration: sound?.duration ?? last, over: true };
    draw();
  } catch (error) {
    problem(error);
  } finally {
    busy("");
    if (byId("run")) byId("run").disabled = false;
  }
}

/** The file as if it were spoken now. */
async function stream() {
  player.stop();
  problem(null);
  const sound = soundOf(chosen);
  try {
    await access("live");
  } catch (error) {
    problem(error);
    return;
  }
  call = blank(sound);
  open(sound.rate);
  draw();
  player.play(sound);
  const began = performance.now();
  let sent = 0;
  line.timer = setInterval(() => {
    const due = Math.min(sound.duration, (performance.now() - began) / 1000);
    while (sent < due) {
      const until = Math.min(sound.duration, sent + FRAME_S);
      if (until > due && due < sound.duration) break;
      line.live.push(sound.pcm(sent, until).slice());
      sent = until;
    }
    if (sent >= sound.duration) finish();
  }, 50);
}

// The microphone.

async function record() {
  byId("record").disabled = true;
  problem(null);
  try {
    await access("live");
    const early = [];
    const microphone = await listen((pcm) => (line ? heard(pcm) : early.push(pcm)));
    byId("inputs").hidden = true;
    byId("source").hidden = false;
    byId("channels").hidden = true;
    call = blank(new Sound(microphone.rate));
    drawSource = drawMicrophone;
    open(microphone.rate);
    line.microphone = microphone;
    early.forEach(heard);
    draw();
    byId("stop").focus();
  } catch (error) {
    byId("source").hidden = false;
    drawSource = () => show(byId("source-actions"));
    byId("source-name").textContent = word("recognise.mic");
    byId("source-facts").textContent = "";
    problem(error);
  } finally {
    byId("record").disabled = false;
  }
}

function heard(pcm) {
  call.sound.append(pcm);
  call.duration = call.sound.duration;
  line.live.push(pcm);
  byId("source-facts").textContent = clock(call.duration);
  byId("level")?.style.setProperty("--level", String(Math.min(1, 1.6 * call.sound.peak(call.duration - 0.15, call.duration))));
  wave.draw(call);
}

function drawMicrophone() {
  byId("source-name").textContent = word(call?.over ? "live.over" : "live.listening");
  const level = h("span", { class: "level", id: "level", role: "img", "aria-label": word("live.level") }, h("i"), h("i"), h("i"), h("i"), h("i"));
  show(byId("source-actions"), line?.microphone || (line && !call.over) ? level : null,
    line && h("button", { type: "button", class: "primary stop", id: "stop", onclick: finish }, word("recognise.stop")),
    !line && h("button", { type: "button", class: "primary", id: "another", onclick: another }, word("recognise.another")));
}

// A live call.

function open(rate) {
  busy(word("live.connecting"));
  const live = new LiveCall(rate, {
    event: happened,
    state: (state) => busy(state === "lost" ? word("live.lost") : line?.ending && state !== "over" ? word("recognise.finishing") : ""),
    failed: (error) => {
      problem(error);
      leave();
      call.over = true;
      draw();
    },
  });
  line = { live, microphone: null, timer: null, ending: false };
}

function happened(event) {
  if (event.type === "started") call.model = event.model;
  if (event.type === "partial") byId("partial").textContent = event.text;
  if (event.type === "sentence" || event.type === "error") {
    byId("partial").textContent = "";
    const sentence = event.type === "error" ? { ...event, failed: word("said.failed"), probabilities: null } : event;
    if (event.model) call.model = event.model;
    knowLabels(event.probabilities);
    call.sentences.push(sentence);
    list.append(sentence, true);
  }
  if (event.type === "colour") {
    call.together = event;
    if (event.probabilities) call.points.push(event.probabilities);
  }
  if (event.type === "end") {
    call.together = event.together;
    call.over = true;
    line = null;
    busy("");
    drawSource();
  }
  byId("partial").hidden = !byId("partial").textContent;
  drawColour();
}

async function finish() {
  if (!line || line.ending) return;
  line.ending = true;
  busy(word("recognise.finishing"));
  clearInterval(line.timer);
  const { live, microphone } = line;
  if (byId("stop")) byId("stop").disabled = true;
  await microphone?.stop();
  live.end();
}

/** Break off whatever goes on. */
function leave() {
  player.stop();
  clearInterval(line?.timer);
  line?.microphone?.stop();
  line?.live.close();
  line = null;
  busy("");
}

function another() {
  leave();
  problem(null);
  call = null;
  chosen = null;
  drawSource = () => {};
  byId("source").hidden = true;
  byId("inputs").hidden = false;
  byId("partial").hidden = true;
  draw();
  byId("choose").focus();
}

// Wiring.

byId("choose").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", () => {
  const [file] = byId("file").files;
  if (file) take(file);
  byId("file").value = "";
});
byId("record").addEventListener("click", record);
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    byId("drop").classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) byId("drop").classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) take(file);
});
addEventListener("beforeunload", (event) => { if (line && !line.ending) event.preventDefault(); });
new ResizeObserver(() => { if (call) drawEvidence(byId("evidence"), call.points, labels); }).observe(byId("evidence"));
onLanguage(draw);
settings().then((known) => { labels = labels.length ? labels : known.labels; }).catch(() => {});
draw();
