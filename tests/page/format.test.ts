/** Numbers, ages and values as people read them. */
import { deepEqual, equal, match } from "node:assert/strict";
import { test } from "node:test";
import { ago, decimals, duration, number, scaled, words } from "../../mosquitto/page/src/text/format";
import { choose } from "../../mosquitto/page/src/text/words";
import type { Entity } from "../../mosquitto/page/src/contract/types";

const entity = (more: Partial<Entity>): Entity => ({ name: "x", ...more });

test("a number is written as the language writes it", () => {
  choose("en");
  equal(number(1234.5, 1), "1,234.5");
  choose("de");
  equal(number(1234.5, 1), "1.234,5");
  choose("en");
});

test("what rounds to nothing has no sign", () => {
  equal(number(-0.04, 1), "0.0");
  equal(number(-0.06, 1), "-0.1");
});

test("unknown is a dash, never 0", () => {
  for (const value of [null, undefined, ""]) deepEqual(words(entity({ unit: "W" }), value), { text: "–", unit: "" });
  deepEqual(words(entity({ unit: "W", precision: 1 }), 0), { text: "0.0", unit: "W" });
});

test("large watts are read in kilowatts", () => {
  deepEqual(scaled("W", 9999), { unit: "W", factor: 1 });
  deepEqual(scaled("W", -12_000), { unit: "kW", factor: 1 / 1000 });
  deepEqual(scaled("°C", 12_000), { unit: "°C", factor: 1 });
  deepEqual(words(entity({ unit: "Wh" }), 1234), { text: "1.23", unit: "kWh" });
});

test("about says how many decimals", () => {
  equal(decimals(entity({ precision: 3 }), 1, 2), 3);
  equal(decimals(entity({}), 1, 2), 0);
  equal(decimals(entity({}), 1, 2.5), 2);
  equal(decimals(entity({ precision: 0 }), 0.001, 12_345), 1);
});

test("ON and OFF are said as their class wants", () => {
  equal(words(entity({ boolean: true }), "ON").text, "on");
  equal(words(entity({ boolean: true, device_class: "plug" }), "OFF").text, "unplugged");
  equal(words(entity({ boolean: true, device_class: "door" }), "ON").text, "open");
  equal(words(entity({ boolean: true, device_class: "moisture" }), "ON").text, "wet");
  equal(words(entity({ options: ["low_power"] }), "low_power").text, "low power");
});

test("a duration has its two largest units", () => {
  // How a unit is shortened is the browser's.
  match(duration(0), /^0 secs?$/);
  match(duration(59.9), /^59 secs?$/);
  match(duration(75), /^1 min$/);
  match(duration(3 * 3600 + 20 * 60 + 5), /^3 hrs? 20 mins?$/);
  match(duration(2 * 86_400), /^2 days$/);
  match(words(entity({ device_class: "duration", unit: "min" }), 90).text, /^1 hr 30 mins?$/);
});

test("an age is said in its largest unit", () => {
  match(ago(240_000), /^4 min\S* ago$/);
  match(ago(-5), /^0 sec\S* ago$/);
  match(ago(2 * 86_400_000), /^2 days ago$/);
});
