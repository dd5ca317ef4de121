// Bundles the tests of the page's functions: node units.mjs PACKAGES OUT_FOLDER FILE.test.ts...
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [packages, out, ...files] = process.argv.slice(2).map((path) => resolve(path));
const { build } = createRequire(join(packages, "x"))("esbuild");

// What modules of the page look for in a browser while they are loaded; in a block, so that its names are nobody's.
const browser = `{
  const kept = new Map();
  globalThis.localStorage = globalThis.sessionStorage = {
    getItem: (key) => kept.get(key) ?? null, setItem: (key, text) => kept.set(key, text), removeItem: (key) => kept.delete(key),
  };
  globalThis.document = { querySelector: () => null, addEventListener: () => undefined, hidden: false };
  globalThis.window = globalThis;
  globalThis.addEventListener = () => undefined;
  globalThis.location = new URL("http://van.example/index.html");
  Object.defineProperty(globalThis, "navigator", { value: { languages: ["en-GB"], language: "en-GB", onLine: true } });
  // The page's clock must not keep the test's process alive.
  const every = setInterval;
  globalThis.setInterval = (...given) => every(...given).unref();
}`;

await build({
  entryPoints: files,
  outdir: out,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node18",
  nodePaths: [packages],
  sourcemap: "inline",
  jsx: "automatic",
  jsxImportSource: "preact",
  banner: { js: browser },
});
