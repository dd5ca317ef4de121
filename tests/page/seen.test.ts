/** From the answers and the devices to what is drawn. */
import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { link } from "../../mosquitto/page/src/contract/connection";
import { Device, devices, houseNow, places } from "../../mosquitto/page/src/contract/house";
import type { Entity } from "../../mosquitto/page/src/contract/types";
import { NOTHING, type Shown } from "../../mosquitto/page/src/history/load";
import { matching } from "../../mosquitto/page/src/history/picker";
import { bandsOf, seenOf, seriesOf, toldOf, usual } from "../../mosquitto/page/src/history/seen";

const NOW = houseNow() - (houseNow() % 10_000);
const SPAN = { from: NOW - 3_600_000, to: NOW };
const W: Entity = { name: "Power", unit: "W", device_class: "power", state_class: "measurement", precision: 0 };

function device(id: string, name: string, entities: Record<string, Entity>, heard = NOW + 2000) {
  const made = new Device(id, { name, entities });
  made.online.value = true;
  made.heard.value = heard;
  devices.value = new Map(devices.value).set(id, made);
  return made;
}

link.value = "up";
device("radio", "Radio", { rssi: { name: "Signal", unit: "dBm", state_class: "measurement", diagnostic: true } });
const shunt = device("shunt", "House battery", { power: W, soc: { name: "Charge", unit: "%", device_class: "battery", state_class: "measurement" } });
shunt.values.value = { power: -42, soc: 80 };
device("pump", "Water pump", { on: { name: "Pump", boolean: true }, mode: { name: "Mode", options: ["a", "b"] }, energy: { name: "Energy", unit: "Wh", state_class: "total_increasing" } });

const rows = [0, 1, 2].map((n) => ({ start: NOW - 30_000 + n * 10_000, end: NOW - 20_000 + n * 10_000, mean: n, min: n, max: n }));
const shown = (more: Partial<Shown>): Shown => ({ ...NOTHING, ...more });
const one = (more: Partial<Shown>, name = "shunt.power") => seenOf([name], new Map([[name, shown(more)]]), SPAN);

test("the value of just now follows the last bucket of states", () => {
  const [series] = seriesOf(one({ period: "states", rows }), true);
  deepEqual(series!.rows.at(-1), { start: NOW, end: NOW + 2000, mean: -42, min: -42, max: -42 });
  equal(series!.rows.length, 4);
});

test("it does not follow rows, a time that is over, a device that is away, or a gap", () => {
  equal(seriesOf(one({ period: "5minute", rows }), true)[0]!.rows.length, 3);
  equal(seriesOf(one({ period: "states", rows }), false)[0]!.rows.length, 3);
  shunt.online.value = false;
  equal(seriesOf(one({ period: "states", rows }), true)[0]!.rows.length, 3);
  shunt.online.value = true;
  shunt.heard.value = NOW + 100_000;
  equal(seriesOf(one({ period: "states", rows }), true)[0]!.rows.length, 3);
  shunt.heard.value = NOW + 2000;
  shunt.values.value = { power: null };
  equal(seriesOf(one({ period: "states", rows }), true)[0]!.rows.length, 3);
  shunt.values.value = { power: -42, soc: 80 };
});

test("the span before is faint, of the same tone, and not named", () => {
  const [before, now] = seriesOf(one({ rows, before: rows.slice(1) }), false);
  deepEqual([before!.faint, before!.name, before!.tone], [true, "", now!.tone]);
  equal(now!.name, "House battery: Power");
});

test("an entity that no device reports is left out, a look that changed starts empty", () => {
  equal(seenOf(["shunt.power", "gone.x"], new Map(), SPAN).length, 1);
  deepEqual(one({ look: "bars", rows })[0]!.shown.rows, []);
});

test("a switch is strong while it is on, an option by its place", () => {
  const [pump] = bandsOf(one({ look: "band", states: [[NOW - 10_000, "ON"]] }, "pump.on"));
  deepEqual([pump!.strength("ON"), pump!.strength("OFF"), pump!.say("ON")], [1, 0, "on"]);
  deepEqual(pump!.states, [{ start: NOW - 10_000, end: NOW, value: "ON" }]);
  const [mode] = bandsOf(one({ look: "band" }, "pump.mode"));
  deepEqual([mode!.strength("a"), mode!.strength("b")], [0.5, 1]);
});

test("a file has units and words", () => {
  deepEqual(toldOf(one({ rows, unit: "kW" })).map((told) => [told.name, told.unit]), [["House battery: Power", "kW"]]);
  deepEqual(toldOf(one({ look: "band", states: [[NOW - 10_000, "OFF"]] }, "pump.on"))[0]!.states[0]!.value, "off");
});

test("without a choice the battery is shown", () => {
  deepEqual(usual(places.value), ["shunt.soc", "shunt.power"]);
  deepEqual(usual(places.value.filter((place) => place.device.id === "pump")), []);
});

test("the search finds by device, name and id, with every word; what is diagnostic comes last", () => {
  const keys = (search: string) => matching(places.value, search).map((place) => `${place.device.id}.${place.key}`);
  deepEqual(keys("battery POWER"), ["shunt.power"]);
  deepEqual(keys("pump.energy"), ["pump.energy"]);
  deepEqual(keys("power signal"), []);
  equal(keys("").at(-1), "radio.rssi");
});
