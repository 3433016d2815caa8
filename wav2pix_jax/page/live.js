// Sends the last second of the microphone to the server, one picture after the other.
const RATE = 16000; // Hz, what the network hears; another rate is resampled on the server
const find = (name) => element.querySelector(name);
let microphone = null; // while it is on

const WORKLET = `
registerProcessor("tap", class extends AudioWorkletProcessor {
  process([[channel]]) {
    if (channel) this.port.postMessage(channel.slice());
    return true;
  }
});`;

async function open() {
  if (!navigator.mediaDevices)
    throw new Error("browsers give it to pages of this machine, or with https, only");
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const opened = { last: null, arrived: 0, close: null };
  let context = new AudioContext({ sampleRate: RATE });
  opened.close = () => {
    stream.getTracks().forEach((track) => track.stop());
    context.close();
  };
  try {
    let source;
    try {
      source = context.createMediaStreamSource(stream);
    } catch {
      context.close(); // Firefox wants the rate of the microphone
      context = new AudioContext();
      source = context.createMediaStreamSource(stream);
    }
    opened.rate = context.sampleRate;
    opened.last = new Float32Array(opened.rate); // the last second, oldest first
    const code = URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" }));
    await context.audioWorklet.addModule(code);
    URL.revokeObjectURL(code);
    const tap = new AudioWorkletNode(context, "tap");
    tap.port.onmessage = ({ data }) => {
      opened.last.copyWithin(0, data.length);
      opened.last.set(data, opened.last.length - data.length);
      opened.arrived = performance.now();
    };
    source.connect(tap);
    return opened;
  } catch (error) {
    opened.close();
    throw error;
  }
}

function encoded(samples) {
  const pcm = Int16Array.from(samples, (x) => Math.max(-1, Math.min(1, x)) * 32767);
  const bytes = new Uint8Array(pcm.buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192)
    text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

async function show(mine) {
  const shown = []; // times of the last pictures
  let delay = 0; // from the newest sound in a picture to its display, in ms, averaged
  while (microphone === mine) {
    const newest = mine.arrived;
    const message = { speech: encoded(mine.last), rate: mine.rate, seed: find(".seed").value };
    const answer = await server.live(message);
    if (microphone !== mine) break;
    if (answer.error) {
      find(".heard").textContent = answer.error;
      await new Promise((done) => setTimeout(done, 500));
      continue;
    }
    const face = find(".face");
    face.src = `data:image/jpeg;base64,${answer.picture}`;
    face.hidden = false;
    face.alt = `A face that speaks with you. ${answer.heard}`;
    if (find(".heard").textContent !== answer.heard) find(".heard").textContent = answer.heard;
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    delay += (now - newest - delay) / Math.min(shown.length + 1, 20);
    shown.push(now);
    if (shown.length > 20) shown.shift();
    const rate = (1000 * (shown.length - 1)) / (now - shown[0]);
    if (shown.length > 5)
      find(".speed").textContent =
        `${rate.toFixed(0)} pictures a second. ${delay.toFixed(0)} ms from sound to picture, and ` +
        `half a second more to the middle of what it shows.`;
  }
}

function stop() {
  microphone?.close();
  microphone = null;
  find(".start").textContent = "Start the microphone";
}

async function start() {
  const button = find(".start");
  if (microphone) return stop();
  button.disabled = true;
  try {
    microphone = await open();
  } catch (error) {
    find(".heard").textContent = `The microphone cannot be used (${error.message}).`;
    return;
  } finally {
    button.disabled = false;
  }
  const mine = microphone;
  button.textContent = "Stop the microphone";
  try {
    await show(mine);
  } catch (error) {
    if (microphone === mine) stop();
    find(".heard").textContent = `The server does not answer (${error.message || error}).`;
  }
}

find(".start").addEventListener("click", start);
