/** Sums of the energy flow, and when a battery will be full. */
import { equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { Device, houseNow } from "../../mosquitto/page/src/contract/house";
import { reaches, watts } from "../../mosquitto/page/src/now/energy";

const NOW = houseNow();
const MINUTE = 60_000;

function power(value: number | null, unit = "W", heard = NOW) {
  const entity = { name: "Power", unit, device_class: "power" };
  const device = new Device("x", { name: "x", expire_after: 120, entities: { power: entity } });
  device.values.value = { power: value };
  device.heard.value = heard;
  device.online.value = true;
  return { device, key: "power", entity };
}

test("known watts are added, kilowatts as a thousand", () => {
  equal(watts([power(40), power(1.5, "kW"), power(null)]), 1540);
});

test("what is old or unknown is no 0", () => {
  equal(watts([power(null), power(40, "W", NOW - 10 * MINUTE)]), null);
  equal(watts([]), null);
});

const line = (slope: number, from = 50) => Array.from({ length: 30 }, (_, n) => [NOW + n * MINUTE, from + slope * n] as const);

test("a line that rises reaches its goal", () => {
  const ms = reaches(line(0.5), 100);
  ok(ms !== null);
  equal(Math.round(ms / MINUTE), 71);
});

test("a line that stands, falls or is too short does not", () => {
  equal(reaches(line(0), 100), null);
  equal(reaches(line(-0.5), 100), null);
  equal(reaches(line(0.001), 100), null);
  equal(reaches(line(0.5).slice(0, 3), 100), null);
  equal(reaches([], 100), null);
});
