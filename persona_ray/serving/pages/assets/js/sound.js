// Sound that grows (a live call) or is there as a whole (a file), and playing pieces of it.

const PEAKS_PER_S = 100;

/** 16-bit samples of one channel, with what a waveform needs of them. */
export class Sound {
  constructor(rate) {
    this.rate = rate;
    this.length = 0;
    this._samples = new Int16Array(rate * 30);
    this._step = Math.max(1, Math.round(rate / PEAKS_PER_S));
    this._peaks = new Float32Array(PEAKS_PER_S * 30);
  }

  static of(floats, rate) {
    const sound = new Sound(rate);
    sound.append(toPcm(floats));
    return sound;
  }

  get duration() {
    return this.length / this.rate;
  }

  append(pcm) {
    this._samples = room(this._samples, this.length + pcm.length);
    this._samples.set(pcm, this.length);
    this._peaks = room(this._peaks, Math.ceil((this.length + pcm.length) / this._step) + 1);
    for (let at = 0; at < pcm.length; at++) {
      const place = Math.floor((this.length + at) / this._step);
      const level = Math.abs(pcm[at]) / 32768;
      if (level > this._peaks[place]) this._peaks[place] = level;
    }
    this.length += pcm.length;
  }

  /** Samples from one moment to another, as a view. */
  pcm(fromS, toS) {
    return this._samples.subarray(Math.floor(fromS * this.rate), Math.min(this.length, Math.floor(toS * this.rate)));
  }

  /** Loudest level in [0, 1] between two moments. */
  peak(fromS, toS) {
    const end = Math.min(Math.ceil(this.length / this._step), Math.max(Math.ceil(toS * PEAKS_PER_S), Math.floor(fromS * PEAKS_PER_S) + 1));
    let highest = 0;
    for (let at = Math.floor(fromS * PEAKS_PER_S); at < end; at++) if (this._peaks[at] > highest) highest = this._peaks[at];
    return highest;
  }
}

/** Samples in [-1, 1] -> 16 bit. */
export function toPcm(floats) {
  const pcm = new Int16Array(floats.length);
  for (let at = 0; at < floats.length; at++) pcm[at] = Math.max(-32768, Math.min(32767, Math.round(floats[at] * 32768)));
  return pcm;
}

/** An audio file -> {rate, channels: [Float32Array, ...]}; null where this browser cannot read it. */
export async function decode(file) {
  const bytes = await file.arrayBuffer();
  const telephone = g711(bytes);
  if (telephone) return telephone;
  const rate = wavRate(bytes) ?? 16000;
  const context = new OfflineAudioContext(1, 1, Math.max(8000, Math.min(48000, rate)));
  try {
    const buffer = await context.decodeAudioData(bytes);
    const channels = Array.from({ length: buffer.numberOfChannels }, (_, number) => buffer.getChannelData(number));
    return { rate: buffer.sampleRate, channels };
  } catch {
    return null;
  }
}

/** Plays one piece at a time. `onmove(seconds or null)` follows the place, `null` when it ends. */
export class Player {
  constructor(onmove) {
    this._onmove = onmove;
    this._context = null;
    this._source = null;
  }

  get playing() {
    return this._source !== null;
  }

  async play(sound, fromS = 0, toS = Infinity) {
    this.stop();
    const end = Math.min(toS, sound.duration);
    const pcm = sound.pcm(fromS, end);
    if (!pcm.length) return;
    this._context ??= new AudioContext();
    await this._context.resume();
    const buffer = this._context.createBuffer(1, pcm.length, sound.rate);
    const into = buffer.getChannelData(0);
    for (let at = 0; at < pcm.length; at++) into[at] = pcm[at] / 32768;
    const source = this._context.createBufferSource();
    source.buffer = buffer;
    source.connect(this._context.destination);
    const began = this._context.currentTime;
    this._source = source;
    source.onended = () => { if (this._source === source) this.stop(); };
    source.start();
    const follow = () => {
      if (this._source !== source) return;
      this._onmove(Math.min(end, fromS + this._context.currentTime - began));
      requestAnimationFrame(follow);
    };
    follow();
  }

  stop() {
    const source = this._source;
    if (!source) return;
    this._source = null;
    source.onended = null;
    source.stop();
    this._onmove(null);
  }
}

function room(array, length) {
  if (length <= array.length) return array;
  const larger = new array.constructor(Math.max(length, 2 * array.length));
  larger.set(array);
  return larger;
}

function text(view, at) {
  return String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at, 4));
}

/** The format and the data of a WAV file, null for anything else. */
function wav(bytes) {
  const view = new DataView(bytes);
  if (view.byteLength < 44 || text(view, 0) !== "RIFF" || text(view, 8) !== "WAVE") return null;
  let format = null;
  for (let at = 12; at + 8 <= view.byteLength;) {
    const name = text(view, at);
    const size = view.getUint32(at + 4, true);
    if (name === "fmt ") {
      format = { kind: view.getUint16(at + 8, true), channels: view.getUint16(at + 10, true), rate: view.getUint32(at + 12, true) };
    }
    if (name === "data" && format) {
      return { ...format, data: new Uint8Array(bytes, at + 8, Math.min(size, view.byteLength - at - 8)) };
    }
    at += 8 + size + (size % 2);
  }
  return format;
}

function wavRate(bytes) {
  return wav(bytes)?.rate ?? null;
}

/** Telephone WAVs in A-law (6) or mu-law (7), which browsers do not read. */
function g711(bytes) {
  const found = wav(bytes);
  if (!found?.data || ![6, 7].includes(found.kind)) return null;
  const expand = found.kind === 6 ? fromAlaw : fromMulaw;
  const length = Math.floor(found.data.length / found.channels);
  const channels = Array.from({ length: found.channels }, () => new Float32Array(length));
  for (let at = 0; at < length * found.channels; at++) {
    channels[at % found.channels][Math.floor(at / found.channels)] = expand(found.data[at]) / 32768;
  }
  return { rate: found.rate, channels };
}

function fromMulaw(byte) {
  const bits = ~byte & 0xff;
  const magnitude = ((((bits & 15) << 3) + 132) << ((bits >> 4) & 7)) - 132;
  return bits & 128 ? -magnitude : magnitude;
}

function fromAlaw(byte) {
  const bits = byte ^ 0x55;
  const exponent = (bits >> 4) & 7;
  const mantissa = ((bits & 15) << 4) + 8;
  const magnitude = exponent ? (mantissa + 256) << (exponent - 1) : mantissa;
  return bits & 128 ? magnitude : -magnitude;
}
