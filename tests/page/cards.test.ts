/** Which cards the first screen has, and in which order. */
import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { Device } from "../../mosquitto/page/src/contract/house";
import type { Entity } from "../../mosquitto/page/src/contract/types";
import { arranged, flows, layoutFrom, nameOf, roleOf, standard } from "../../mosquitto/page/src/now/cards";

const W = { unit: "W", device_class: "power", state_class: "measurement" };
const SOC = { unit: "%", device_class: "battery", state_class: "measurement" };

function places(devices: Record<string, Record<string, Partial<Entity>>>) {
  return Object.entries(devices).flatMap(([id, given]) => {
    const entities = Object.fromEntries(Object.entries(given).map(([key, one]) => [key, { name: key, ...one } as Entity]));
    const device = new Device(id, { name: id, entities });
    return Object.entries(entities).map(([key, entity]) => ({ device, key, entity }));
  });
}

const VAN = places({
  relay: { pump: { command: true, boolean: true } },
  fridge: { power: { ...W, role: "load" }, temperature: { unit: "°C", state_class: "measurement" } },
  water: { level: { unit: "%", state_class: "measurement" }, volume: { unit: "L", device_class: "volume_storage" } },
  mppt: { power: { ...W, role: "solar" }, rssi: { unit: "dBm", diagnostic: true } },
  shunt: { soc: SOC, power: W, voltage: { unit: "V", device_class: "voltage", state_class: "measurement" } },
});

test("the battery comes first, then what a van needs", () => {
  const ids = standard(VAN).map((card) => card.id);
  deepEqual(ids.slice(0, 2), ["battery.shunt", "sun"]);
  for (const id of ["tanks", "switches", "loads", "flow", "device.fridge"]) equal(ids.includes(id), true, id);
});

test("each entity that matters is on one card, a diagnostic one on none", () => {
  const cards = standard(VAN).filter((card) => card.kind !== "flow");
  const shown = cards.flatMap((card) => card.places.map(nameOf));
  equal(shown.includes("mppt.rssi"), false);
  equal(shown.filter((name) => name === "fridge.power").length, 1);
  equal(shown.filter((name) => name === "fridge.temperature").length, 1);
});

test("a role of about counts before its classes; without one only what is sure", () => {
  const role = (id: string, key: string) => roleOf(VAN.find((one) => nameOf(one) === `${id}.${key}`)!);
  equal(role("shunt", "soc"), "battery");
  equal(role("shunt", "power"), "battery");
  equal(role("water", "level"), "tank");
  equal(role("fridge", "power"), "load");
  equal(role("fridge", "temperature"), undefined);
  equal(roleOf(places({ phone: { battery: { ...SOC, diagnostic: true } } })[0]!), undefined);
});

test("the flow has the powers of sun, battery and loads", () => {
  deepEqual(flows(VAN).map(nameOf).sort(), ["fridge.power", "mppt.power", "shunt.power"]);
});

test("a van without a battery has no battery card", () => {
  equal(standard(places({ fridge: { temperature: { unit: "°C" } } })).some((card) => card.kind === "battery"), false);
});

test("the owner's order counts, what it does not name follows, what is hidden is apart", () => {
  const cards = standard(VAN);
  const { shown, hidden } = arranged(cards, { order: ["tanks", "gone", "sun"], hidden: ["loads"] });
  deepEqual(shown.slice(0, 2).map((card) => card.id), ["tanks", "sun"]);
  deepEqual(hidden.map((card) => card.id), ["loads"]);
  equal(shown.length, cards.length - 1);
});

test("a layout of others is taken as far as it is one", () => {
  deepEqual(layoutFrom(null), {});
  deepEqual(layoutFrom("x"), {});
  const { order, hidden, names } = layoutFrom({ order: ["a", 1, null], hidden: "a", names: { a: "A", b: 2 } });
  deepEqual([order, hidden, names], [["a"], undefined, { a: "A" }]);
});
