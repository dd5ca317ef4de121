/** The history's arithmetic: ranges of the calendar, rows to ask for, states, sums, files. Zone: Berlin, with summer time. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { cell, csv, lasted, localTime, lookOf, merged, rowsOfPoints, statesOf, summaryOfRows, tabled } from "../../mosquitto/page/src/history/data";
import {
  barPeriod, barPeriods, bestPeriod, bucketOf, type Choice, chosen, clamped, earlier, linePeriod, moved, read, shifted, spanOf, startOf, written,
} from "../../mosquitto/page/src/history/ranges";

declare const process: { env: Record<string, string> };
process.env["TZ"] = "Europe/Berlin";
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const at = (text: string) => Date.parse(text);
const NOW = at("2026-11-28T14:30:00+01:00");
const choice = (more: Partial<Choice> = {}): Choice => ({ entities: ["battery.soc"], range: "24h", end: null, bars: null, previous: false, ...more });

test("a choice comes back from the address as it was written", () => {
  for (const one of [
    choice(), choice({ entities: ["a.b", "c.d"], range: "1y", bars: "month", previous: true }), choice({ range: 5400, end: at("2026-11-27T10:00:01Z") }), choice({ entities: [], range: "all" }),
  ]) deepEqual(read(new URLSearchParams(written(one))), one);
});

test("what is malformed in the address is left out", () => {
  const found = read(new URLSearchParams("e=a.b&e=a.b&r=-5&t=never&b=fortnight&p=yes"));
  deepEqual(found, choice({ entities: ["a.b"] }));
  for (const wrong of ["Infinity", "NaN", "", "2w", "59", "1e99"]) equal(read(new URLSearchParams({ r: wrong })).range, "24h");
  equal(read(new URLSearchParams("e=1&e=2&e=3&e=4&e=5&e=6&e=7")).entities.length, 6);
});

test("days begin at midnight here, also when clocks change", () => {
  equal(startOf(at("2026-03-29T15:00:00+02:00"), "day"), at("2026-03-29T00:00:00+01:00"));
  equal(startOf(at("2026-10-25T15:00:00+01:00"), "day"), at("2026-10-25T00:00:00+02:00"));
  equal(startOf(at("2026-11-28T14:30:00+01:00"), "week"), at("2026-11-23T00:00:00+01:00"));
  equal(startOf(at("2026-11-29T14:30:00+01:00"), "week"), at("2026-11-23T00:00:00+01:00"));
  equal(startOf(NOW, "month"), at("2026-11-01T00:00:00+01:00"));
  equal(startOf(NOW, "year"), at("2026-01-01T00:00:00+01:00"));
  equal(startOf(NOW + 1, "hour"), at("2026-11-28T14:00:00+01:00"));
  equal(startOf(NOW + 1, "5minute"), NOW);
});

test("a day later is the same time of day: 23, 24 or 25 hours", () => {
  const hours = (from: string) => (shifted(at(from), "day", 1) - at(from)) / HOUR;
  equal(hours("2026-03-28T12:00:00+01:00"), 23);
  equal(hours("2026-10-24T12:00:00+02:00"), 25);
  equal(hours("2026-07-01T12:00:00+02:00"), 24);
});

test("the 31st becomes the last day of a shorter month, and 29 February the 28th", () => {
  equal(shifted(at("2026-01-31T12:00:00+01:00"), "month", 1), at("2026-02-28T12:00:00+01:00"));
  equal(shifted(at("2024-02-29T12:00:00+01:00"), "year", 1), at("2025-02-28T12:00:00+01:00"));
  equal(shifted(at("2026-03-31T12:00:00+02:00"), "month", -1), at("2026-02-28T12:00:00+01:00"));
});

test("a range ends now or where it was moved to", () => {
  deepEqual(spanOf(choice(), NOW, null, null), { from: NOW - DAY, to: NOW });
  deepEqual(spanOf(choice({ range: 5400, end: NOW - DAY }), NOW, null, "hour"), { from: NOW - DAY - 5_400_000, to: NOW - DAY });
  deepEqual(spanOf(choice({ range: "all" }), NOW, at("2017-05-01T00:00:00+02:00"), null), { from: at("2017-05-01T00:00:00+02:00"), to: NOW });
  equal(spanOf(choice({ range: "all" }), NOW, NOW, null).to, NOW);
});

test("a range of bars has whole ones: seven days, twelve months, all years", () => {
  deepEqual(spanOf(choice({ range: "7d" }), NOW, null, "day"), { from: at("2026-11-22T00:00:00+01:00"), to: at("2026-11-29T00:00:00+01:00") });
  deepEqual(spanOf(choice({ range: "1y" }), NOW, null, "month"), { from: at("2025-12-01T00:00:00+01:00"), to: at("2026-12-01T00:00:00+01:00") });
  deepEqual(spanOf(choice({ range: "all" }), NOW, at("2017-05-01T00:00:00+02:00"), "year"), { from: at("2017-01-01T00:00:00+01:00"), to: at("2027-01-01T00:00:00+01:00") });
  const midnight = at("2026-11-28T00:00:00+01:00");
  deepEqual(spanOf(choice({ range: "7d" }), midnight, null, "day"), { from: at("2026-11-21T00:00:00+01:00"), to: midnight });
});

test("lines: an hour from states, a day and a week from 5 minutes, then hours, days, weeks", () => {
  const kept = NOW - 10 * DAY;
  const of = (long: number, to = NOW) => linePeriod({ from: to - long, to }, kept);
  deepEqual([HOUR, DAY, 7 * DAY, 30 * DAY, 366 * DAY, 3653 * DAY].map((long) => of(long)), ["states", "5minute", "5minute", "hour", "day", "week"]);
  equal(of(HOUR, NOW - 20 * DAY), "hour");
  equal(of(7 * DAY, NOW - 5 * DAY), "hour");
  const lengths = { states: 10_000, "5minute": 300_000, hour: HOUR, day: DAY, week: 7 * DAY, month: 28 * DAY, year: 365 * DAY };
  for (let long = HOUR; long < 40 * 365 * DAY; long *= 1.3) ok(long / lengths[of(long)] <= 2101, `${long}`);
});

test("states come in at most 400 buckets", () => {
  for (let long = 60_000; long <= 2 * HOUR; long += 60_000) ok(long / 1000 / bucketOf(long) <= 400);
  equal(bucketOf(HOUR), 10);
});

test("bars have a usual length, and the wished one where that is not too many", () => {
  deepEqual([HOUR, DAY, 7 * DAY, 30 * DAY, 366 * DAY, 3653 * DAY].map((long) => barPeriod(long, null)), ["5minute", "hour", "day", "day", "month", "year"]);
  equal(barPeriod(7 * DAY, "hour"), "hour");
  equal(barPeriod(366 * DAY, "hour"), "month");
  equal(barPeriod(DAY, "year"), "hour");
  for (const long of [HOUR, DAY, 7 * DAY, 30 * DAY, 366 * DAY, 3653 * DAY]) ok(barPeriods(long).includes(barPeriod(long, null)));
  deepEqual([HOUR, DAY, 7 * DAY].map(bestPeriod), ["hour", "hour", "day"]);
});

test("the span before has the same times of day, over a change of clocks too", () => {
  const span = { from: at("2026-10-26T00:00:00+01:00"), to: at("2026-10-27T00:00:00+01:00") };
  deepEqual(earlier(span, "24h"), { from: at("2026-10-25T00:00:00+02:00"), to: at("2026-10-26T00:00:00+01:00") });
  deepEqual(earlier(span, 3600), { from: span.from - HOUR, to: span.to - HOUR });
  equal(moved(NOW, "1y", -1), at("2025-11-28T14:30:00+01:00"));
  equal(moved(NOW, "30d", 1), at("2026-12-28T14:30:00+01:00"));
});

test("nobody moves out of what there is", () => {
  deepEqual(clamped({ from: NOW - HOUR, to: NOW + HOUR }, 0, NOW), { from: NOW - 2 * HOUR, to: NOW });
  deepEqual(clamped({ from: NOW - 5 * DAY, to: NOW - 4 * DAY }, NOW - 2 * DAY, NOW), { from: NOW - 2 * DAY, to: NOW - DAY });
  deepEqual(clamped({ from: 0, to: NOW * 2 }, NOW - DAY, NOW), { from: NOW - DAY, to: NOW });
});

test("a moved range keeps its name, a zoomed one has seconds; at the end it is live", () => {
  const span = { from: NOW - DAY, to: NOW };
  deepEqual(chosen(choice(), span, { from: NOW - 2 * DAY, to: NOW - DAY }, NOW), choice({ end: NOW - DAY }));
  deepEqual(chosen(choice(), span, { from: NOW - HOUR, to: NOW }, NOW), choice({ range: 3600 }));
  equal(chosen(choice({ range: "all" }), span, { from: NOW - 2 * DAY, to: NOW - DAY }, NOW).range, 86_400);
});

test("counters are bars, numbers lines, switches and words bands", () => {
  equal(lookOf({ name: "x", unit: "Wh", state_class: "total_increasing" }), "bars");
  equal(lookOf({ name: "x", unit: "L", state_class: "total" }), "bars");
  equal(lookOf({ name: "x", unit: "W", state_class: "measurement" }), "line");
  equal(lookOf({ name: "x", unit: "V" }), "line");
  equal(lookOf({ name: "x", state_class: "measurement" }), "line");
  equal(lookOf({ name: "x", boolean: true }), "band");
  equal(lookOf({ name: "x", device_class: "enum", options: ["a"] }), "band");
  equal(lookOf({ name: "x" }), "band");
});

test("unknown buckets are gaps, not zeros", () => {
  const rows = rowsOfPoints([["2026-11-28T10:00:00Z", 0, 0, 0], ["2026-11-28T10:00:10Z", null, null, null], ["2026-11-28T10:00:20Z", 3, 2, 4]], 10_000);
  deepEqual(rows.map((one) => one.mean), [0, 3]);
  equal(rows[1]!.end - rows[1]!.start, 10_000);
});

const row = (start: number, mean: number, long = 1) => ({ start: start * HOUR, end: (start + long) * HOUR, mean, min: mean - 1, max: mean + 1 });

test("the mean of rows is weighted by time, and what is missing is missing", () => {
  const found = summaryOfRows([row(0, 10), row(1, 40, 2), { start: 3 * HOUR, end: 4 * HOUR, mean: null }], { from: 0, to: 6 * HOUR });
  deepEqual([found.mean, found.min, found.max, found.coverage], [30, 9, 41, 0.5]);
  deepEqual([found.minAt, found.maxAt], [0, HOUR]);
  deepEqual(summaryOfRows([], { from: 0, to: HOUR }), { mean: null, min: null, max: null, coverage: 0 });
});

test("newer rows take the place of known ones, and old ones are forgotten", () => {
  const found = merged([row(0, 1), row(1, 2), row(2, 3)], [row(2, 30), row(3, 4)], 2 * HOUR, HOUR);
  deepEqual(found.map((one) => [one.start / HOUR, one.mean]), [[1, 2], [2, 30], [3, 4]]);
  deepEqual(merged([row(0, 1)], [], Number.POSITIVE_INFINITY, 0).length, 1);
});

test("states last until the next one; the one in force counts from the start", () => {
  const span = { from: 10 * HOUR, to: 20 * HOUR };
  const found = statesOf([[2 * HOUR, "ON"], [12 * HOUR, "OFF"], [13 * HOUR, "OFF"], [14 * HOUR, null], [15 * HOUR, "ON"]], span);
  deepEqual(found, [
    { start: 10 * HOUR, end: 12 * HOUR, value: "ON" }, { start: 12 * HOUR, end: 14 * HOUR, value: "OFF" },
    { start: 14 * HOUR, end: 15 * HOUR, value: null }, { start: 15 * HOUR, end: 20 * HOUR, value: "ON" },
  ]);
  deepEqual(lasted(found), [["ON", 7 * HOUR], ["OFF", 2 * HOUR]]);
  deepEqual(statesOf([], span), []);
  deepEqual(statesOf([[25 * HOUR, "ON"]], span), []);
});

test("CSV: one line a period, each entity its columns, unknown is empty", () => {
  const text = csv([
    { name: "Battery: Power", unit: "W", look: "line", rows: [{ start: NOW, end: NOW + HOUR, mean: 1.5, min: 0, max: 3, coverage: 1 }], states: [] },
    { name: "Sun, all", unit: "Wh", look: "bars", rows: [{ start: NOW, end: NOW + HOUR, change: 7 }, { start: NOW - HOUR, end: NOW, change: null, coverage: 0.5 }], states: [] },
    { name: "Pump", unit: "", look: "band", rows: [], states: [{ start: NOW, end: NOW + 60_000, value: "on" }] },
  ]);
  deepEqual(text.split("\r\n"), [
    'start,end,Battery: Power mean (W),Battery: Power min (W),Battery: Power max (W),Battery: Power coverage,"Sun, all change (Wh)","Sun, all coverage",Pump value',
    "2026-11-28T13:30:00+01:00,2026-11-28T14:30:00+01:00,,,,,,0.5,",
    "2026-11-28T14:30:00+01:00,2026-11-28T14:31:00+01:00,,,,,,,on",
    "2026-11-28T14:30:00+01:00,2026-11-28T15:30:00+01:00,1.5,0,3,1,7,,",
    "",
  ]);
  equal(tabled([]).lines.length, 0);
});

test("a text cannot become a formula, and quotes are doubled", () => {
  equal(cell("=1+1"), "'=1+1");
  equal(cell('a "b"'), '"a ""b"""');
  equal(cell("two\nlines"), '"two\nlines"');
  equal(cell(-5), "-5");
  equal(cell(null), "");
});

test("times in files have the offset of their own day", () => {
  equal(localTime(at("2026-07-01T10:00:00Z")), "2026-07-01T12:00:00+02:00");
  equal(localTime(at("2026-12-01T10:00:00Z")), "2026-12-01T11:00:00+01:00");
  process.env["TZ"] = "America/St_Johns";
  equal(localTime(at("2026-12-01T10:00:00Z")), "2026-12-01T06:30:00-03:30");
  process.env["TZ"] = "Europe/Berlin";
});
