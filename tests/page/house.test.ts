/** What the page makes of the broker's messages, in any order. */
import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { alarms, devices, houseNow, place, second, services, take } from "../../mosquitto/page/src/contract/house";

const say = (topic: string, payload: unknown, retained = true) =>
  take({ topic: `camper/${topic}`, payload: typeof payload === "string" ? payload : JSON.stringify(payload), retained, correlation: "" });

const ABOUT = {
  name: "Shunt",
  expire_after: 120,
  entities: { soc: { name: "Charge", unit: "%" }, alarm: { name: "Alarm", boolean: true }, mode: { name: "Mode", options: ["1", "2"] } },
};
const at = (ms: number) => new Date(ms).toISOString();

test("a reading that comes before its about is kept", () => {
  say("state/shunt", { ts: at(Date.now()), soc: 81 });
  say("availability/shunt", "online");
  equal(devices.value.has("shunt"), false);
  say("about/shunt", ABOUT);
  equal(devices.value.get("shunt")!.value("soc"), 81);
  equal(devices.value.get("shunt")!.online.value, true);
});

test("what a reading leaves out keeps its value, null is unknown", () => {
  const shunt = devices.value.get("shunt")!;
  say("state/shunt", { ts: at(Date.now()), alarm: "OFF" }, false);
  equal(shunt.value("soc"), 81);
  say("state/shunt", { ts: at(Date.now()), soc: null }, false);
  equal(shunt.value("soc"), null);
  equal(shunt.value("ts"), undefined);
});

test("a late reading and one that is no JSON change nothing", () => {
  const shunt = devices.value.get("shunt")!;
  say("state/shunt", { ts: at(Date.now()), soc: 5, late: true }, false);
  for (const payload of ["{", "[]", "null", "5", ""]) say("state/shunt", payload, false);
  equal(shunt.value("soc"), null);
});

test("a single value fills what no reading had, as text where about says so", () => {
  say("about/panel", ABOUT);
  say("state/panel/soc", "55.5");
  say("state/panel/mode", "2");
  say("state/panel/alarm", "ON");
  say("state/panel/nothing", "1");
  const { values } = devices.value.get("panel")!;
  deepEqual(values.value, { soc: 55.5, mode: "2", alarm: "ON" });
});

test("values are old after expire_after, when offline, and before the first", () => {
  const now = houseNow();
  second.value = now;
  say("about/old", ABOUT);
  const device = devices.value.get("old")!;
  equal(device.old.value, true);
  say("state/old", { ts: at(now), soc: 1 }, false);
  second.value = now + 119_000;
  equal(device.old.value, false);
  second.value = now + 121_000;
  equal(device.old.value, true);
  say("about/patient", { ...ABOUT, expire_after: undefined });
  say("state/patient", { ts: at(now), soc: 1 }, false);
  second.value = now + 86_400_000;
  equal(devices.value.get("patient")!.old.value, false);
  say("availability/patient", "offline");
  equal(devices.value.get("patient")!.old.value, true);
});

test("the age is said once it is longer than twice the usual pace", () => {
  const now = houseNow();
  say("about/slow", ABOUT);
  const { late } = devices.value.get("slow")!;
  equal(late.value, null);
  say("state/slow", { ts: at(now), soc: 1 }, false);
  second.value = now + 59_000;
  equal(late.value, null);
  second.value = now + 61_000;
  equal(late.value, 61_000);
});

test("the house's clock counts, not the browser's", () => {
  const day = 86_400_000;
  say("state/shunt", { ts: at(Date.now() + day), soc: 1 }, false);
  equal(Math.abs(houseNow() - Date.now() - day) < 1000, true);
  say("state/shunt", { ts: at(Date.now() + 5 * day), soc: 1, clock: "unset" }, false);
  equal(Math.abs(houseNow() - Date.now() - day) < 1000, true);
  say("state/shunt", { ts: at(Date.now()), soc: 1 }, false);
  equal(Math.abs(houseNow() - Date.now()) < 1000, true);
});

test("an empty about takes the device away", () => {
  say("about/panel", "");
  equal(devices.value.has("panel"), false);
  equal(place("panel.soc"), undefined);
  equal(place("shunt.soc")?.entity.unit, "%");
});

test("services and alarms", () => {
  say("service/controller", "online");
  say("health/controller", { rss: 32.8, problems: {} });
  equal(services.value.get("controller")!.online, true);
  equal(services.value.get("controller")!.health.rss, 32.8);
  say("service/controller", "offline");
  equal(services.value.get("controller")!.online, false);
  equal(services.value.get("controller")!.health.rss, 32.8);
  say("alarm/cold", { state: "active", text: "4 °C" });
  equal(alarms.value.get("cold")!.state, "active");
  say("alarm/cold", "");
  equal(alarms.value.has("cold"), false);
});
