// Runs the code of a function node of a flow: node function.js FLOW ID, steps as JSON lines on standard input.
// A step is {"now": ms, "env": {...}, "msg": {...}}; the answer is what the code returns, one line of JSON each. Without
// a message it is the list of what the code sends by itself, by timers that are due.
"use strict";
const fs = require("node:fs");
const vm = require("node:vm");

const [flow, id] = process.argv.slice(2);
const source = JSON.parse(fs.readFileSync(flow, "utf8")).find((node) => node.id === id).func;
const kept = {};
let step;
let made = 0;
let sent = [];
let timers = [];

class Clock extends Date {
    constructor(...when) {
        super(...(when.length ? when : [step.now]));
    }
    static now() {
        return step.now;
    }
}

const world = {
    Date: Clock,
    Buffer,
    env: { get: (name) => step.env[name] },
    context: { get: (name) => kept[name], set: (name, value) => (kept[name] = value) },
    node: { status() {}, send: (message) => sent.push(message) },
    setTimeout: (work, ms) => timers.push({ at: step.now + ms, work }),
    clearTimeout() {},
    RED: { util: { generateId: () => String(++made) } },
};
const run = vm.runInNewContext(`(function (msg) {\n${source}\n})`, world);
for (const line of fs.readFileSync(0, "utf8").split("\n").filter(Boolean)) {
    step = JSON.parse(line);
    if (step.msg === undefined) {
        const due = timers.filter((one) => one.at <= step.now);
        timers = timers.filter((one) => one.at > step.now);
        sent = [];
        for (const one of due) one.work();
        process.stdout.write(JSON.stringify(sent) + "\n");
        continue;
    }
    process.stdout.write(JSON.stringify(run(step.msg) ?? null) + "\n");
}
