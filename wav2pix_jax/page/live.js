// Sends the last second of the microphone to the server, one picture after the other.
const RATE = 16000;
const find = (name) => element.querySelector(name);
const last = new Float32Array(RATE); // the last second, oldest first
let context = null; // of the microphone, while it is on
let arrived = 0; // when the last samples came, by performance.now()

const WORKLET = `
registerProcessor("tap", class extends AudioWorkletProcessor {
  process([[channel]]) {
    if (channel) this.port.postMessage(channel.slice());
    return true;
  }
});`;

async function listen() {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  context = new AudioContext({ sampleRate: RATE });
  const code = URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" }));
  await context.audioWorklet.addModule(code);
  URL.revokeObjectURL(code);
  const tap = new AudioWorkletNode(context, "tap");
  tap.port.onmessage = ({ data }) => {
    last.copyWithin(0, data.length);
    last.set(data, RATE - data.length);
    arrived = performance.now();
  };
  context.createMediaStreamSource(stream).connect(tap);
  context.stopMicrophone = () => stream.getTracks().forEach((track) => track.stop());
}

function encoded(samples) {
  const pcm = Int16Array.from(samples, (x) => Math.max(-1, Math.min(1, x)) * 32767);
  const bytes = new Uint8Array(pcm.buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192)
    text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

async function show() {
  const shown = []; // times of the last pictures
  let delay = 0; // from the newest sound in a picture to its display, in ms, averaged
  while (context) {
    const newest = arrived;
    const answer = await server.live({ speech: encoded(last), seed: Number(find(".seed").value) });
    if (!context) break;
    if (answer.error) {
      find(".heard").textContent = answer.error;
      await new Promise((done) => setTimeout(done, 500));
      continue;
    }
    const face = find(".face");
    face.src = `data:image/jpeg;base64,${answer.picture}`;
    face.hidden = false;
    face.alt = `A face that speaks with you: ${answer.heard}`;
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

async function start() {
  const button = find(".start");
  if (context) {
    context.stopMicrophone();
    context.close();
    context = null;
    button.textContent = "Start the microphone";
    return;
  }
  try {
    await listen();
  } catch (error) {
    context = null;
    find(".heard").textContent = `The microphone cannot be used (${error.message}).`;
    return;
  }
  button.textContent = "Stop the microphone";
  try {
    await show();
  } catch (error) {
    if (context) await start();
    find(".heard").textContent = `The server does not answer (${error.message || error}).`;
  }
}

find(".start").addEventListener("click", start);
