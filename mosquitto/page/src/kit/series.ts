/** Series of the last day for the thin lines, asked rarely and shared by all who draw them. */
import { type Signal, signal } from "@preact/signals";
import { link } from "../contract/connection";
import { houseNow } from "../contract/house";
import { ask } from "../contract/requests";

export type Points = readonly (readonly [number, number | null])[];

const EVERY_MS = 300_000;
const DAY_MS = 86_400_000;
const FEW = 24;
const kept = new Map<string, { points: Signal<Points>; asked: number }>();

interface History {
  rows: [string, number | null, number | null, number | null][];
}

async function refresh(name: string, into: Signal<Points>): Promise<void> {
  const now = houseNow();
  try {
    let points = await between(name, now - DAY_MS, now);
    // A house that is new has a line, too.
    const known = points.filter(([, value]) => value !== null);
    if (known.length > 0 && known.length < FEW) points = await between(name, known[0]![0], now);
    into.value = points;
  } catch {
    // A line that cannot be had is left out; House tells what is wrong with the statistician.
  }
}

async function between(name: string, start: number, end: number): Promise<Points> {
  const range = { start: new Date(start).toISOString(), end: new Date(end).toISOString(), points: 288 };
  const { rows } = await ask<History>("statistician", "history", { entity: name, ...range });
  return rows.map(([at, mean]) => [Date.parse(at), mean] as const);
}

/** The last 24 hours of an entity in steps of five minutes; empty until they have come. */
export function lastDay(name: string): Signal<Points> {
  let one = kept.get(name);
  if (!one) kept.set(name, (one = { points: signal<Points>([]), asked: 0 }));
  if (link.value === "up" && Date.now() - one.asked > EVERY_MS) {
    one.asked = Date.now();
    void refresh(name, one.points);
  }
  return one.points;
}
