// Which channel is the customer's: one waveform each, to be seen and heard.

import { h, s, show } from "./dom.js";
import { word } from "./i18n.js";
import { Sound } from "./sound.js";

const KEPT = "persona-ray.channel";
const COLUMNS = 120;

/** Draw the choice; the channel that is chosen now. `onpick(channel)`. */
export function channelPicker(element, decoded, player, onpick) {
  const count = decoded ? decoded.channels.length : 2;
  element.hidden = count < 2;
  if (count < 2) return 0;
  const kept = Number(localStorage.getItem(KEPT) ?? 1);
  const chosen = kept < count ? kept : count - 1;
  const legend = element.querySelector("legend");
  // Counted from 0, as commands, addresses and messages do.
  const named = (number) => word("recognise.channel.n", { n: number });
  const rows = Array.from({ length: count }, (_, number) => {
    const sound = decoded && Sound.of(decoded.channels[number], decoded.rate);
    const radio = h("input", { type: "radio", name: "channel", value: String(number), id: `channel-${number}`, checked: number === chosen });
    radio.addEventListener("change", () => {
      localStorage.setItem(KEPT, String(number));
      onpick(number);
    });
    const listen = () => (player.playing ? player.stop() : player.play(sound, 0, 8));
    return h("div", { class: "channel" },
      h("label", { for: `channel-${number}` }, radio, h("span", {}, named(number)), sound && outline(sound)),
      sound && h("button", { type: "button", class: "quiet", onclick: listen,
        "aria-label": `${word("recognise.listen")}: ${named(number)}` }, word("recognise.listen")));
  });
  show(element, legend, ...rows);
  return chosen;
}

function outline(sound) {
  const loudest = Math.max(0.02, sound.peak(0, sound.duration));
  const step = sound.duration / COLUMNS;
  const bars = Array.from({ length: COLUMNS }, (_, at) => {
    const height = Math.max(0.6, (sound.peak(at * step, (at + 1) * step) / loudest) * 22);
    return `M${2 * at + 1} ${12 - height / 2}v${height}`;
  });
  return s("svg", { class: "outline", viewBox: `0 0 ${2 * COLUMNS} 24`, preserveAspectRatio: "none", "aria-hidden": "true" },
    s("path", { d: bars.join("") }));
}
