/** What a chart draws: rows on one axis of time, gaps, axes, and what fingers and keys do to its span. */
import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { axesOf, decimalsOf, marked, rangeOf, tickWords } from "../../mosquitto/page/src/kit/axes";
import { panned, pinched, zoomed } from "../../mosquitto/page/src/kit/gestures";
import { aligned, isPartly, type Row, rowAt, type Series } from "../../mosquitto/page/src/kit/rows";
import { choose } from "../../mosquitto/page/src/text/words";

declare const process: { env: Record<string, string> };
process.env["TZ"] = "Europe/Berlin";
const HOUR = 3_600_000;
const row = (start: number, mean: number, more: Partial<Row> = {}): Row => ({ start: start * HOUR, end: (start + 1) * HOUR, mean, min: mean - 1, max: mean + 1, ...more });
const series = (rows: Row[], more: Partial<Series> = {}): Series => ({ name: "x", unit: "W", look: "line", rows, tone: 1, ...more });

test("a row stands in the middle of its period", () => {
  const { x, columns } = aligned([series([row(0, 5), row(1, 6)])]);
  deepEqual(x, [HOUR / 2, 1.5 * HOUR]);
  deepEqual(columns[0]!.value, [5, 6]);
  deepEqual(columns[0]!.low, [4, 5]);
  deepEqual(columns[0]!.high, [6, 7]);
});

test("a missing row is a gap", () => {
  const { x, columns } = aligned([series([row(0, 5), row(2, 6)])]);
  deepEqual(x, [0.5 * HOUR, 1.5 * HOUR, 2.5 * HOUR]);
  deepEqual(columns[0]!.value, [5, null, 6]);
});

test("values of another series in a gap do not close it", () => {
  const { columns } = aligned([series([row(0, 5), row(3, 6)]), series([row(0, 1), row(1, 1), row(2, 1), row(3, 1)])]);
  deepEqual(columns[0]!.value.slice(1, -1), [null, null, null]);
  equal(columns[1]!.value.includes(null), false);
});

test("a series of longer periods has no gap where a shorter one has rows", () => {
  const day: Row = { start: 0, end: 24 * HOUR, change: 7 };
  const { columns } = aligned([series([day, { ...day, start: 24 * HOUR, end: 48 * HOUR }], { look: "bars" }), series([row(1, 1), row(2, 1)])]);
  equal(columns[0]!.value.includes(null), false);
  equal(columns[0]!.value.filter((one) => one === 7).length, 2);
});

test("an unknown value in a row is a gap too, and 0 is none", () => {
  deepEqual(aligned([series([row(0, 5), row(1, 0), { start: 2 * HOUR, end: 3 * HOUR, mean: null }])]).columns[0]!.value, [5, 0, null]);
});

test("without series there is nothing, and no error", () => {
  deepEqual(aligned([]), { x: [], columns: [] });
  deepEqual(axesOf([], 400), { axes: [], of: [] });
});

test("the row of a time is that of its period; in a gap there is none", () => {
  const rows = [row(0, 5), row(2, 6)];
  equal(rowAt(rows, HOUR - 1)?.mean, 5);
  equal(rowAt(rows, HOUR), undefined);
  equal(rowAt(rows, 2 * HOUR)?.mean, 6);
  equal(rowAt(rows, 3 * HOUR), undefined);
  equal(rowAt([], 0), undefined);
});

test("a row is known in part by its coverage; without one nobody says so", () => {
  equal(isPartly(row(0, 1, { coverage: 0.6 })), true);
  equal(isPartly(row(0, 1, { coverage: 1 })), false);
  equal(isPartly(row(0, 1)), false);
});

test("marked are values known in part, and those that no line reaches", () => {
  const rows = [row(0, 1), row(1, 1, { coverage: 0.5 }), undefined, undefined, row(4, 1), undefined];
  deepEqual(marked([1, 1, undefined, null, 1, null], rows), [1, 4]);
});

test("series of one unit share an axis, watts and kilowatts too", () => {
  const { axes, of } = axesOf([series([row(0, 40)]), series([row(0, 2)], { unit: "kW" }), series([row(0, 50)], { unit: "%" })], 1200);
  deepEqual(axes.map((one) => [one.unit, one.side]), [["W", "left"], ["%", "right"]]);
  deepEqual(of, [{ axis: 0, factor: 1 }, { axis: 0, factor: 1000 }, { axis: 1, factor: 1 }]);
});

test("large numbers are told in the larger unit, small ones are not", () => {
  const bars = (change: number) => axesOf([series([{ start: 0, end: HOUR, change }], { unit: "Wh", look: "bars" })], 400);
  deepEqual(bars(2500).of[0], { axis: 0, factor: 1 / 1000 });
  equal(bars(2500).axes[0]!.unit, "kWh");
  equal(bars(900).axes[0]!.unit, "Wh");
  deepEqual(axesOf([series([{ start: 0, end: HOUR, change: 0.2 }], { unit: "kWh", look: "bars" })], 400).of[0], { axis: 0, factor: 1000 });
});

test("bars begin at 0 and do not share an axis with lines", () => {
  const { axes } = axesOf([series([row(0, 40)]), series([{ start: 0, end: HOUR, change: 3 }], { look: "bars" })], 1200);
  deepEqual(axes.map((one) => one.zero), [false, true]);
});

test("a phone writes two axes, a wide screen four", () => {
  const units = ["W", "%", "V", "°C", "A", "L"].map((unit) => series([row(0, 1)], { unit }));
  equal(axesOf(units, 360).axes.filter((one) => one.shown).length, 2);
  equal(axesOf(units, 1280).axes.filter((one) => one.shown).length, 4);
});

test("an axis without values is not written, one of zeros is", () => {
  const { axes } = axesOf([series([], { unit: "%" }), series([{ ...row(0, 0), min: 0, max: 0 }]), series([row(0, 1)], { unit: "V" })], 360);
  deepEqual(axes.map((one) => one.shown), [false, true, true]);
});

test("the range has room, and bars their 0", () => {
  deepEqual(rangeOf(null, null, false), [0, 1]);
  const [low, high] = rangeOf(10, 20, false);
  equal(low < 10 && low > 8 && high > 20 && high < 22, true);
  equal(rangeOf(5, 20, true)[0], 0);
  equal(rangeOf(-20, -5, true)[1], 0);
  const [same, more] = rangeOf(7, 7, false);
  equal(same < 7 && more > 7, true);
});

test("ticks have as many decimals as their step needs", () => {
  deepEqual([50, 1, 2.5, 0.5, 0.25, 0.01].map(decimalsOf), [0, 0, 1, 1, 2, 2]);
});

test("ticks of time: hours, at midnight the day; months, in January with the year", () => {
  choose("en");
  const at = (text: string) => Date.parse(text);
  deepEqual(tickWords([at("2026-11-27T22:00:00+01:00"), at("2026-11-28T00:00:00+01:00")], HOUR), ["22:00", "28 Nov"]);
  deepEqual(tickWords([at("2026-11-28T00:00:00+01:00")], 24 * HOUR), ["28 Nov"]);
  deepEqual(tickWords([at("2025-12-01T00:00:00+01:00"), at("2026-01-01T00:00:00+01:00")], 30 * 24 * HOUR), ["Dec", "Jan 2026"]);
  deepEqual(tickWords([at("2026-01-01T00:00:00+01:00")], 365 * 24 * HOUR), ["2026"]);
  choose("de");
  deepEqual(tickWords([at("2026-11-27T22:00:00+01:00")], HOUR), ["22:00"]);
  choose("en");
});

const day = { from: 0, to: 24 * HOUR };

test("a span moves by a share of its length", () => {
  deepEqual(panned(day, -0.5), { from: -12 * HOUR, to: 12 * HOUR });
});

test("zooming keeps the time under the pointer", () => {
  deepEqual(zoomed(day, 0.25, 0.5), { from: 3 * HOUR, to: 15 * HOUR });
  const out = zoomed(day, 1, 2);
  deepEqual(out, { from: -24 * HOUR, to: 24 * HOUR });
});

test("no zoom is shorter than a minute, or longer than sixty years", () => {
  const short = zoomed({ from: 0, to: 90_000 }, 0.5, 0.01);
  equal(short.to - short.from, 60_000);
  const long = zoomed({ from: 0, to: 50 * 365 * 24 * HOUR }, 0.5, 10);
  equal(long.to - long.from, 60 * 365 * 24 * HOUR);
});

test("two fingers keep their times", () => {
  const found = pinched(day, 0.4, 0.6, 0.2, 0.8);
  equal(found.to - found.from, 8 * HOUR);
  equal(Math.round(found.from + (found.to - found.from) * 0.2), Math.round(9.6 * HOUR));
  deepEqual(pinched(day, 0.4, 0.6, 0.5, 0.505), day);
});
