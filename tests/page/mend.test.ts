/** What Mend makes of schemas, of the house's mistakes, and of what a correction would do. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { around, comparedStates, comparedSums, including, rowsOfStates, type State, without } from "../../mosquitto/page/src/mend/preview";
import { touched } from "../../mosquitto/page/src/mend/say";
import { changesOf, draftOf, fieldsOf, freeId, mistakesOf, type Property, type Schema, settingsOf, textOf, valueOf } from "../../mosquitto/page/src/mend/schema";
import { choose } from "../../mosquitto/page/src/text/words";

const NUMBER: Property = { type: "number" };
const PAIRS: Property = { type: "array", items: { type: "array" } };
const LEVELS: Property = { type: "object", additionalProperties: { type: "integer" } };
const schema: Schema = {
  properties: {
    name: { title: "Name", type: "string" },
    key: { title: "Key", type: "string", writeOnly: true },
    address: { title: "Address", type: "string" },
    heartbeat: { title: "Heartbeat", type: "number", default: 30 },
    active_low: { title: "Active low", type: "boolean" },
    steps: { title: "Steps", type: "object", properties: { voltage: { title: "Voltage", type: "number" }, rssi: { type: "number" } } },
    disabled: { type: "array", items: { type: "string" } },
    calibration: PAIRS,
  },
  required: ["address", "key"],
};

test("what is required comes first; what has a default, and numbers by entity, are further settings", () => {
  const { main, more } = fieldsOf(schema);
  deepEqual(main.map(({ key }) => key), ["key", "address", "name", "active_low", "calibration"]);
  deepEqual(more.map(({ key, property }) => [key, property.title]), [["heartbeat", "Heartbeat"], ["steps.voltage", "Steps: Voltage"], ["steps.rssi", "Steps: rssi"]]);
});

test("a text becomes the value of its type, and comes back the same", () => {
  const cases: [Property, string, unknown][] = [
    [NUMBER, "0.5", 0.5],
    [{ type: "integer" }, "27", 27],
    [{ type: "boolean" }, "true", true],
    [{ type: "boolean" }, "false", false],
    [{ type: "string" }, "0x48", "0x48"],
    [{ type: "array", items: { type: "integer" } }, "9600, 19200", [9600, 19200]],
    [{ type: "array", items: { type: "string" } }, "7, a", ["7", "a"]],
    [PAIRS, "240: 0, 33: 100", [[240, 0], [33, 100]]],
    [LEVELS, "25: 5, 50: 6", { 25: 5, 50: 6 }],
  ];
  for (const [property, text, value] of cases) {
    deepEqual(valueOf(property, text), value, text);
    equal(textOf(value), text);
  }
  equal(valueOf(NUMBER, "0,5"), 0.5);
  equal(textOf(null), "");
});

test("what cannot be read stays as it was typed: the house says what is allowed", () => {
  equal(valueOf(NUMBER, "twelve"), "twelve");
  equal(valueOf(PAIRS, "240, 33: 100"), "240, 33: 100");
  deepEqual(valueOf(PAIRS, "full: 100"), [["full", 100]]);
});

test("a new device has what was filled in", () => {
  deepEqual(settingsOf(schema, { address: " C0:11 ", key: "ff", name: "", "steps.voltage": "0.5", "steps.rssi": "" }), { key: "ff", address: "C0:11", steps: { voltage: 0.5 } });
});

test("only what was changed is sent: emptied is null, a secret that was not typed stays, steps are sent whole", () => {
  const before = draftOf(schema, { name: "Van", address: "C0:11", key: "set", heartbeat: 60, steps: { voltage: 0.5, rssi: 2 }, disabled: ["soc"], calibration: [[1, 2]] });
  equal(before["key"], undefined);
  deepEqual(changesOf(schema, before, before), {});
  deepEqual(changesOf(schema, before, { ...before, name: "", heartbeat: "90" }), { name: null, heartbeat: 90 });
  deepEqual(changesOf(schema, before, { ...before, key: "aa" }), { key: "aa" });
  deepEqual(changesOf(schema, before, { ...before, "steps.rssi": "" }), { steps: { voltage: 0.5 } });
  deepEqual(changesOf(schema, before, { ...before, "steps.rssi": "", "steps.voltage": "" }), { steps: null });
  deepEqual(changesOf(schema, { key: "" }, { key: "" }), {});
});

test("each sentence of the house goes to its field", () => {
  const keys = ["device", "address", "key", "steps.voltage", "steps", "unit"];
  deepEqual(mistakesOf("address: 'zz' is no address; allowed: AA:BB; key: it has 2 characters; allowed: 32", keys), {
    address: "'zz' is no address; allowed: AA:BB",
    key: "it has 2 characters; allowed: 32",
  });
  deepEqual(mistakesOf("steps.voltage: Expected float >= 0.0", keys), { "steps.voltage": "Expected float >= 0.0" });
  deepEqual(mistakesOf("unit: one; unit: two", keys), { unit: "one; two" });
  deepEqual(mistakesOf("the disk is full", keys), { "": "the disk is full" });
  deepEqual(mistakesOf("port: it is missing", keys), { "": "port: it is missing" });
});

test("a name becomes an id that no device has", () => {
  equal(freeId("Shore charger (1)", new Set()), "shore_charger_1");
  equal(freeId("Kühlbox", new Set()), "kuhlbox");
  equal(freeId("充電器", new Set()), "device");
  equal(freeId("mppt", new Set(["mppt", "mppt_2"])), "mppt_3");
});

const states: State[] = [[0, 10], [100, 20], [150, 999], [160, 20], [300, null], [350, 30]];

test("the mean is weighted by time, no peak is lost, unknown time is a gap", () => {
  const rows = rowsOfStates(states, { from: 0, to: 400 }, 4);
  deepEqual(rows.map(({ start, end, min, max }) => [start, end, min, max]), [[0, 100, 10, 10], [100, 200, 20, 999], [200, 300, 20, 20], [300, 400, 30, 30]]);
  equal(rows[1]!.mean, (20 * 90 + 999 * 10) / 100);
  equal(rows[3]!.mean, 30);
  deepEqual(rowsOfStates([[500, 1]], { from: 0, to: 400 }, 2), []);
});

test("what was there before a span holds on into it", () => {
  deepEqual(rowsOfStates([[-50, 7]], { from: 0, to: 100 }, 1), [{ start: 0, end: 100, mean: 7, min: 7, max: 7 }]);
});

test("without a span its end is not included; with a reading it counts from its time", () => {
  deepEqual(without(states, { from: 100, to: 160 }), [[0, 10], [160, 20], [300, null], [350, 30]]);
  deepEqual(including([[0, 1], [10, 2]], [5, 9]), [[0, 1], [5, 9], [10, 2]]);
  deepEqual(including([[0, 1], [5, 2]], [5, 9]), [[0, 1], [5, 9]]);
});

test("what is deleted is in the chart before, not after", () => {
  const { before, after } = comparedStates(states, without(states, { from: 150, to: 151 }), { from: 0, to: 400 }, "°C");
  equal(Math.max(...before.map((row) => row.max!)), 999);
  equal(Math.max(...after.map((row) => row.max!)), 30);
});

test("an adjustment changes the hour it begins in, and no other", () => {
  const rows = [0, 1, 2].map((hour) => ({ start: hour * 60, end: hour * 60 + 60, change: 5 }));
  const compared = comparedSums(rows, 70, -4, { from: 0, to: 180 }, "Wh");
  deepEqual(compared.after.map((row) => row.change), [5, 1, 5]);
  deepEqual(compared.before.map((row) => row.change), [5, 5, 5]);
  deepEqual(comparedSums(rows, 500, -4, { from: 0, to: 180 }, "Wh").after, rows);
});

test("a correction is drawn with room around it, but not into the future", () => {
  const minute = 60_000;
  deepEqual(around({ from: 100 * minute, to: 100 * minute + 1 }, 1000 * minute), { from: 85 * minute, to: 115 * minute + 1 });
  equal(around({ from: 0, to: 100 * minute }, 120 * minute).to, 120 * minute);
});

test("what a fix touches is told in one sentence", () => {
  choose("en");
  equal(touched({ entities: ["mppt.voltage"], states: 5, periods: 295 }), "mppt.voltage (values: 5, periods computed again: 295).");
  equal(touched({ entities: ["a.b"], fields: { name: null, unit: "kWh" } }), "a.b (name = –, unit = kWh).");
  ok(touched({ entities: ["a.a", "a.b", "a.c", "a.d", "a.e"], more_entities: 2 }).startsWith("a.a, a.b, a.c, a.d and 3 more"));
});
