// The microphone as frames of 16-bit samples.

import { word } from "./i18n.js";

// As a telephone line has it: what a browser would mend is part of how somebody speaks.
const SOUND = { channelCount: 1, echoCancellation: true, autoGainControl: false, noiseSuppression: false };
const WANTED_HZ = 16000;
const MOST_HZ = 48000;

export class MicrophoneError extends Error {}

/** Begin to listen: {rate, stop()}. `onframe(Int16Array)` gets 0.1 s each. Throws MicrophoneError. */
export async function listen(onframe) {
  if (!navigator.mediaDevices?.getUserMedia) throw failed("insecure");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: SOUND });
  } catch (error) {
    throw failed(error.name === "NotFoundError" ? "none" : "denied");
  }
  const { context, source } = await connected(stream);
  await context.audioWorklet.addModule(new URL("capture-worklet.js", import.meta.url));
  const node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
  const flushed = new Promise((resolve) => {
    node.port.onmessage = ({ data }) => (data ? onframe(data) : resolve());
  });
  source.connect(node);
  await context.resume();
  return {
    rate: context.sampleRate,
    async stop() {
      node.port.postMessage("end");
      await Promise.race([flushed, new Promise((resolve) => { setTimeout(resolve, 500); })]);
      for (const track of stream.getTracks()) track.stop();
      await context.close();
    },
  };
}

/** Browsers that do not convert a microphone's rate take it as it is. */
async function connected(stream) {
  for (const options of [{ sampleRate: WANTED_HZ }, {}, { sampleRate: MOST_HZ }]) {
    const context = new AudioContext(options);
    try {
      if (context.sampleRate <= MOST_HZ) return { context, source: context.createMediaStreamSource(stream) };
    } catch {
      // The next kind.
    }
    await context.close();
  }
  throw failed("none");
}

function failed(why) {
  return new MicrophoneError(word("recognise.no_mic", { why: word(`recognise.no_mic.${why}`) }));
}
