/** Corrections at the statistician: each is tried first, then made, and can be taken back. */
import { signal } from "@preact/signals";
import { ask } from "../contract/requests";
import { type Compared, reversed } from "../kit/compare";
import type { Change } from "../kit/steps";
import { t } from "../text/words";
import { type Summary, touched } from "./say";

const STATISTICIAN = "statistician";

/** Counts up with each correction: lists of what is stored are asked for again. */
export const made = signal(0);

/** The charts of what this page has corrected, by the fix: they show what undo would do. */
const charts = new Map<number, Compared>();
const MOST_CHARTS = 50;

function keep(id: number, compared: Compared | null | undefined): void {
  if (!compared) return;
  charts.set(id, compared);
  if (charts.size > MOST_CHARTS) charts.delete(charts.keys().next().value!);
}

export interface Fixing {
  title: string;
  verb: string;
  parameters: Record<string, unknown>;
  /** What would be done, before what it touches. */
  text: string;
  /** Looked at beside the dry run; null if there is nothing to draw. */
  compared?: () => Promise<Compared | null>;
}

/** A chart, or null: a change whose entity has another name by now is told, but cannot be drawn. */
function drawn(chart: Promise<Compared | null> | undefined): Promise<Compared | null> {
  return chart ? chart.catch(() => null) : Promise.resolve(null);
}

/** A fix as a change in two steps. */
export function fix({ title, verb, parameters, text, compared }: Fixing): Change {
  let chart: Compared | null = null;
  return {
    title,
    async preview() {
      const said = await ask<Summary>(STATISTICIAN, verb, { ...parameters, dry_run: true });
      chart = await drawn(compared?.());
      return { text: `${text} ${touched(said)}`, compared: chart };
    },
    async make() {
      const said = await ask<Summary>(STATISTICIAN, verb, parameters);
      made.value += 1;
      if (said.id === undefined) return { text: `${t("done")}. ${touched(said)}` };
      keep(said.id, chart);
      return { text: `${t("done")}. ${touched(said)}`, undo: undo(said.id) };
    },
  };
}

/** Take a fix back by its number; `compared` draws what the dry run says, if this page has no chart of the fix. */
export function undo(id: number, compared?: (said: Summary) => Promise<Compared | null>): Change {
  const known = charts.get(id);
  return {
    title: t("undo_fix", { id: String(id) }),
    async preview() {
      const said = await ask<Summary>(STATISTICIAN, "undo", { fix: id, dry_run: true });
      return { text: `${t("would_undo")} ${touched(said)}`, compared: known ? reversed(known) : await drawn(compared?.(said)) };
    },
    async make() {
      const said = await ask<Summary>(STATISTICIAN, "undo", { fix: id });
      made.value += 1;
      charts.delete(id);
      return { text: `${t("undone")}. ${touched(said)}` };
    },
  };
}
