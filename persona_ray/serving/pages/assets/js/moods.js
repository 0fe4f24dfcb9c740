// Moods as people see them: a face, a word and a colour, so that no one need tell colours apart.

import { h, s } from "./dom.js";
import { word } from "./i18n.js";

const INKS = {
  neutral: "var(--muted)", pleased: "var(--green)", interested: "var(--blue)", surprised: "var(--other-0)",
  doubtful: "var(--yellow)", worried: "var(--other-1)", disappointed: "var(--other-3)",
  annoyed: "var(--orange)", angry: "var(--red)",
};
// Left and right, from the outer end to the inner one: up or down.
const BROWS = { annoyed: [7.2, 8.6], angry: [6, 9.2], worried: [8.8, 6.8], doubtful: [7.4, 7.4], surprised: [5.6, 5.6], disappointed: [8.4, 7.2] };

export function ink(emotion) {
  return INKS[emotion] ?? INKS.neutral;
}

/** Its mouth follows the valence, -1 to 1. */
export function face(emotion, valence, size = 22) {
  const bend = Math.max(-1, Math.min(1, valence ?? 0)) * 4.5;
  const brows = BROWS[emotion];
  const mouth = emotion === "surprised" ? "M12 14.6a1.9 2.2 0 1 0 .01 0Z" : `M8 ${16.4 - bend / 2}Q12 ${16.4 + bend / 2} 16 ${16.4 - bend / 2}`;
  return s("svg", { class: "face", viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true", style: { "--c": ink(emotion) } },
    s("circle", { cx: 12, cy: 12, r: 10.4 }), s("path", { d: mouth }),
    s("path", { d: `M8.6 10.8v.9M15.4 10.8v.9` }),
    brows && s("path", { class: "brows", d: `M6.6 ${brows[0]}L10 ${brows[1]}M17.4 ${emotion === "doubtful" ? 5.6 : brows[0]}L14 ${emotion === "doubtful" ? 6 : brows[1]}` }));
}

export function signed(valence) {
  return `${valence < 0 ? "−" : "+"}${Math.abs(valence).toFixed(1)}`;
}

/** Face, word and valence. */
export function mood(emotion, valence) {
  const name = word(`emotion.${emotion}`);
  return h("span", { class: "mood", style: { "--c": ink(emotion) } }, face(emotion, valence), h("b", {}, name),
    valence != null && h("span", { class: "valence", title: word("assist.valence", { word: name, value: signed(valence) }) }, signed(valence)));
}

/** A text with the words marked that carry emotion; places are in characters. */
export function marked(text, keywords) {
  const letters = Array.from(text);
  const pieces = [];
  let at = 0;
  for (const { start, end, emotion } of [...keywords].sort((one, other) => one.start - other.start)) {
    if (emotion === "neutral" || start < at) continue;
    pieces.push(letters.slice(at, start).join(""), h("ruby", { class: "felt", style: { "--c": ink(emotion) } },
      letters.slice(start, end).join(""), h("rt", {}, word(`emotion.${emotion}`))));
    at = end;
  }
  return [...pieces, letters.slice(at).join("")];
}

/** A bar for each sentence of a customer: up where it was glad, down where it was not. */
export function course(turns) {
  const step = 10;
  const said = turns.map((turn) => word(`emotion.${turn.emotion}`)).join(", ") || word("assist.moods.none");
  return s("svg", { class: "course", viewBox: `0 0 ${Math.max(12, turns.length) * step} 40`, preserveAspectRatio: "xMinYMid meet", role: "img", "aria-label": `${word("assist.moods")}: ${said}` },
    s("path", { class: "zero", d: `M0 20H${Math.max(12, turns.length) * step}` }),
    turns.map(({ emotion, valence }, at) => {
      const tall = Math.max(2, Math.abs(valence) * 18);
      return s("rect", { x: at * step + 1.5, y: valence < 0 ? 20 : 20 - tall, width: step - 3, height: tall, rx: 2, style: { fill: ink(emotion) } });
    }));
}
