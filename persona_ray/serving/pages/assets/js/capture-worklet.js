// On the audio thread: gathers 0.1 s of the microphone, as 16 bits, and hands it over.

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this._frame = new Int16Array(Math.round(sampleRate / 10));
    this._filled = 0;
    this._open = true;
    this.port.onmessage = () => {
      this._send();
      this._open = false;
      this.port.postMessage(null);
    };
  }

  process([input]) {
    const samples = input[0];
    if (samples) {
      for (const sample of samples) {
        this._frame[this._filled++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
        if (this._filled === this._frame.length) this._send();
      }
    }
    return this._open;
  }

  _send() {
    if (!this._filled) return;
    const frame = this._frame.slice(0, this._filled);
    this._filled = 0;
    this.port.postMessage(frame, [frame.buffer]);
  }
}

registerProcessor("capture", Capture);
