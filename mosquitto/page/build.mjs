// Builds the page: node build.mjs PACKAGES OUT.HTML
// PACKAGES is the node_modules folder that package-lock.json was installed to.
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const [packages, out] = process.argv.slice(2).map((path) => resolve(path));
if (out === undefined) {
  console.error("usage: node build.mjs PACKAGES OUT.HTML");
  process.exit(2);
}
const here = dirname(fileURLToPath(import.meta.url));
const { build } = createRequire(join(packages, "x"))("esbuild");
const options = { bundle: true, minify: true, write: false, nodePaths: [packages], legalComments: "none", charset: "utf8" };

const [script, style] = await Promise.all([
  build({
    ...options,
    entryPoints: [join(here, "src/main.tsx")],
    format: "iife",
    target: "es2022",
    tsconfig: join(here, "tsconfig.json"),
  }),
  build({ ...options, entryPoints: [join(here, "src/style.css")], loader: { ".css": "css" } }),
]).then((made) => made.map((one) => one.outputFiles[0].text));

// In a text/plain element the code ends at the first "</script".
const code = script.replaceAll("</script", "<\\/script");
const html = readFileSync(join(here, "src/index.html"), "utf8")
  .replace("/* style */", () => style)
  .replace("/* code */", () => code);
writeFileSync(out, html);
writeFileSync(`${out}.gz`, gzipSync(html, { level: 9 }));
// Beside it, for a server that says what they are: what makes it an app.
cpSync(join(here, "public"), dirname(out), { recursive: true });
console.log(`${out}: ${html.length} characters, ${gzipSync(html, { level: 9 }).length} bytes with gzip`);
