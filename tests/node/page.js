// A page of a file as a browser runs it, without the browser: node page.js MQTT_BUNDLE PAGE.
// Each text that an element is given is a line of JSON on standard output; a line on standard input is clicked.
"use strict";
const fs = require("node:fs");
const readline = require("node:readline");
const vm = require("node:vm");

const [bundle, page] = process.argv.slice(2);
const html = fs.readFileSync(page, "utf8");
const elements = {};
for (const [, id] of html.matchAll(/ id="(\w+)"/g)) {
    let text = "";
    elements[id] = {
        disabled: html.includes(`id="${id}" disabled`),
        get textContent() {
            return text;
        },
        set textContent(given) {
            text = given;
            process.stdout.write(JSON.stringify([id, given]) + "\n");
        },
    };
}
// What Node.js and browsers share; without `process`, by which libraries tell them apart.
const world = vm.createContext({});
const own = new Set(vm.runInContext("Object.getOwnPropertyNames(globalThis)", world));
const absent = ["process", "Buffer", "global", "setImmediate", "clearImmediate"];
for (const name of Object.getOwnPropertyNames(globalThis)) {
    if (!own.has(name) && !absent.includes(name)) world[name] = globalThis[name];
}
world.window = world.self = vm.runInContext("globalThis", world);
world.document = { getElementById: (id) => elements[id] };
world.prompt = () => undefined;
// mqtt.js keeps the timer of its keepalive in one; a test is over before that is due.
world.Worker = class extends EventTarget {
    postMessage() {}
};
vm.runInContext(fs.readFileSync(bundle, "utf8"), world);
vm.runInContext(html.match(/<script>([^]*?)<\/script>/)[1], world);
readline.createInterface({ input: process.stdin })
    .on("line", (id) => elements[id].disabled || elements[id].onclick())
    .on("close", () => process.exit());
