/** What the House view makes of the services' health. */
import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { Device } from "../../mosquitto/page/src/contract/house";
import type { Health } from "../../mosquitto/page/src/contract/types";
import { dead, deviceOf, newest, sender, started, timed, told, versions, writtenPerDay } from "../../mosquitto/page/src/house/telling";

const service = (health: Health, online: boolean | null = true) => ({ online, health });
const device = (id: string, entities = {}) => new Device(id, { name: id, entities });

test("a sentence that several services say stands once, in the order of subjects", () => {
  const services = new Map([
    ["statistician", service({ problems: { "device.mppt": "silent", clock: "not set" } })],
    ["controller", service({ problems: { clock: "not set", disk: "full" } })],
    ["collector_ble", service({ problems: { clock: "ahead" } })],
    ["collector_tcp", service({})],
  ]);
  deepEqual(
    told(services, "problems").map(({ subject, text, services: by }) => [subject, text, by.join()]),
    [
      ["clock", "not set", "controller,statistician"],
      ["clock", "ahead", "collector_ble"],
      ["device.mppt", "silent", "statistician"],
      ["disk", "full", "controller"],
    ],
  );
  deepEqual(told(services, "facts"), []);
});

test("a problem is a device's if its subject names it", () => {
  const devices = new Map([["mppt", device("mppt")]]);
  equal(deviceOf("device.mppt", devices)?.id, "mppt");
  equal(deviceOf("clock.mppt", devices)?.id, "mppt");
  equal(deviceOf("mppt", devices), undefined);
  equal(deviceOf("service.controller", devices), undefined);
});

test("only a service that says offline is dead; one of which nothing is known is not", () => {
  const services = new Map([["b", service({}, false)], ["a", service({}, false)], ["c", service({}, null)], ["d", service({})]]);
  deepEqual(dead(services), ["a", "b"]);
});

test("versions by how many run them; a dead service's does not count", () => {
  const services = new Map([
    ["a", service({ version: "1" })],
    ["b", service({ version: "2" })],
    ["c", service({ version: "2" }, null)],
    ["d", service({ version: "3" }, false)],
    ["e", service({})],
  ]);
  deepEqual(versions(services), [["2", ["b", "c"]], ["1", ["a"]]]);
});

test("times of the wire become times of this zone, nothing else does", () => {
  equal(timed("x.db"), "x.db");
  equal(timed("statistics-20261128T141522Z.db"), "statistics-20261128T141522Z.db");
  const said = timed("a.db of 2026-11-28T14:15:23.383Z.");
  equal(said.startsWith("a.db of ") && said.endsWith(".") && said.includes("2026") && !said.includes("T14"), true, said);
});

test("a start that is no time is unknown", () => {
  equal(started({ started: "2026-11-28T14:04:22.569Z" }), Date.UTC(2026, 10, 28, 14, 4, 22, 569));
  equal(started({ started: "x" }), null);
  equal(started({}), null);
});

const HOST = {
  written: { name: "Written", unit: "MB", device_class: "data_size", state_class: "total_increasing" },
  free: { name: "Free", unit: "MB", device_class: "data_size", state_class: "measurement" },
  up: { name: "Up", unit: "s", device_class: "duration", state_class: "total_increasing" },
};

test("what is written a day comes from what was written since the start", () => {
  const host = device("pi", HOST);
  const places = Object.entries(HOST).map(([key, entity]) => ({ device: host, key, entity }));
  equal(writtenPerDay(places), null);
  host.values.value = { written: 500, free: 9, up: 43_200 };
  equal(writtenPerDay(places), 1e9);
  host.values.value = { written: 500, free: 9, up: 600 };
  equal(writtenPerDay(places), null);
  host.values.value = { written: null, up: 43_200 };
  equal(writtenPerDay(places), null);
});

test("the newest lines of all logs, and who it was", () => {
  const line = (ts: string, what: string) => ({ ts, what });
  const lines = newest([[line("2026-01-03T00:00:00Z", "c"), line("2026-01-01T00:00:00Z", "a")], [line("2026-01-02T00:00:00Z", "b")]], 2);
  deepEqual(lines.map((one) => one.what), ["c", "b"]);
  equal(sender({ ts: "", what: "", from: "kitchen", reply_to: "camper/response/x/1" }), "kitchen");
  equal(sender({ ts: "", what: "", reply_to: "camper/response/page_1/2" }), "page_1");
  equal(sender({ ts: "", what: "" }), "");
});
