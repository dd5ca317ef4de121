// Reads an AsyncAPI document with AsyncAPI's own parser; prints its version and what is wrong with it, a line each.
const { readFileSync } = require("node:fs");
const { Parser } = require("@asyncapi/parser");

new Parser().parse(readFileSync(process.argv[2], "utf8")).then(({ document, diagnostics }) => {
  console.log(document === undefined ? "not read" : document.version());
  for (const one of diagnostics) console.log(`${one.severity} ${one.path.join("/")}: ${one.message}`);
});
