/** Series of the last day for the thin lines, asked rarely and shared by all who draw them. */
import { type Signal, signal } from "@preact/signals";
import { link } from "../contract/connection";
import { houseNow } from "../contract/house";
import { ask } from "../contract/requests";

export type Points = readonly (readonly [number, number | null])[];

const EVERY_MS = 300_000;
const DAY_MS = 86_400_000;
const kept = new Map<string, { points: Signal<Points>; asked: number }>();

interface History {
  rows: [string, number | null, number | null, number | null][];
}

async function refresh(name: string, into: Signal<Points>): Promise<void> {
  const now = houseNow();
  const range = { start: new Date(now - DAY_MS).toISOString(), end: new Date(now).toISOString(), points: 144 };
  try {
    const { rows } = await ask<History>("statistician", "history", { entity: name, ...range });
    into.value = rows.map(([start, mean]) => [Date.parse(start), mean] as const);
  } catch {
    // A line that cannot be had is left out; House tells what is wrong with the statistician.
  }
}

/** The last 24 hours of an entity in steps of ten minutes; empty until they have come. */
export function lastDay(name: string): Signal<Points> {
  let one = kept.get(name);
  if (!one) kept.set(name, (one = { points: signal<Points>([]), asked: 0 }));
  if (link.value === "up" && Date.now() - one.asked > EVERY_MS) {
    one.asked = Date.now();
    void refresh(name, one.points);
  }
  return one.points;
}
