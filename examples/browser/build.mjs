// Makes dist/, a page without a server behind it: npm install && npm run build -- path/to/generator.onnx
import { copyFileSync, mkdirSync, readdirSync, statSync } from "node:fs";

const runtime = "node_modules/onnxruntime-web/dist";
const model = process.argv[2];
if (!model) throw new Error("name the exported generator: npm run build -- path/to/generator.onnx");
mkdirSync("dist", { recursive: true });
copyFileSync(model, "dist/generator.onnx");
for (const file of ["index.html", "main.js"]) copyFileSync(file, `dist/${file}`);
for (const file of ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"])
  copyFileSync(`${runtime}/${file}`, `dist/${file}`);
const bytes = readdirSync("dist").reduce((sum, file) => sum + statSync(`dist/${file}`).size, 0);
console.log(`dist/ has ${(bytes / 2 ** 20).toFixed(1)} MiB; serve it: python3 -m http.server -d dist`);
