import * as ort from "./ort.wasm.min.mjs";

const RATE = 16000; // Hz, and samples in a window of the network
const status = document.querySelector("[role=status]");
ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;
const session = await ort.InferenceSession.create("generator.onnx");
const [, noiseSize] = session.inputMetadata.find((input) => input.name === "noise").shape;
const noise = Float32Array.from({ length: noiseSize }, Math.random); // one look for all seconds
status.textContent = "Choose a recording.";

document.querySelector("input").addEventListener("change", async (event) => {
  const file = event.target.files[0];
  if (!file) return;
  try {
    const offline = new OfflineAudioContext(1, RATE, RATE);
    const sound = await offline.decodeAudioData(await file.arrayBuffer()); // resampled to RATE
    const speech = new Float32Array(Math.max(sound.length, RATE));
    for (let channel = 0; channel < sound.numberOfChannels; channel++)
      sound.getChannelData(channel).forEach((x, i) => (speech[i] += x / sound.numberOfChannels));
    document.querySelector("#faces").replaceChildren();
    const began = performance.now();
    const seconds = Math.floor(speech.length / RATE);
    for (let second = 0; second < seconds; second++) {
      const window = speech.slice(second * RATE, (second + 1) * RATE);
      const { faces } = await session.run({
        speech: new ort.Tensor("float32", window, [1, RATE]),
        noise: new ort.Tensor("float32", noise, [1, noiseSize]),
      });
      show(faces, second);
    }
    const each = (performance.now() - began) / seconds;
    status.textContent = `${seconds} faces, ${each.toFixed(0)} ms each.`;
  } catch (error) {
    status.textContent = `${file.name} cannot be read as sound (${error.message}).`;
  }
});

function show(faces, second) {
  const [, height, width] = faces.dims;
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height, role: "img", ariaLabel: `Face of second ${second + 1}` });
  canvas.style.width = "8rem";
  const picture = new ImageData(width, height);
  for (let i = 0; i < width * height; i++)
    picture.data.set([...faces.data.subarray(3 * i, 3 * i + 3), 255], 4 * i);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  document.querySelector("#faces").append(canvas);
}
