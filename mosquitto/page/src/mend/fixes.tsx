/** The corrections that were made, the newest first, each with its way back. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { link } from "../contract/connection";
import { ask } from "../contract/requests";
import { Panel, sentence } from "../kit/parts";
import type { Change } from "../kit/steps";
import { date, number } from "../text/format";
import { t } from "../text/words";
import { sumsCompared } from "./corrections";
import { made, undo } from "./fix";

interface Fix {
  id: number;
  ts: string;
  verb: string;
  entities: string[];
  more_entities?: number;
  params: Record<string, unknown>;
  undone?: string | null;
}

const MOST = 30;
/** Of its parameters these are no words about what was done. */
const NOT_TOLD = new Set(["dry_run", "entity", "entities", "device"]);

function parameters(params: Fix["params"]): string {
  return Object.entries(params)
    .filter(([key, value]) => !NOT_TOLD.has(key) && value !== null && value !== undefined && typeof value !== "object")
    .map(([key, value]) => `${key} ${typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value) ? date(Date.parse(value), "full") : String(value)}`)
    .join(", ");
}

export function Fixes({ entity, onChange }: { entity: string; onChange: (change: Change) => void }) {
  const list = useSignal<Fix[] | null>(null);
  const why = useSignal("");
  const up = link.value === "up";
  useEffect(() => {
    if (!up) return;
    ask<Fix[]>("statistician", "fixes", { limit: MOST }).then(
      (said) => ((list.value = said), (why.value = "")),
      (error: unknown) => (why.value = sentence(error)),
    );
  }, [up, made.value]);
  return (
    <Panel id="fixes" title={t("fixes")}>
      {why.value && <p class="refusal" role="alert">{why.value}</p>}
      {list.value?.length === 0 && <p class="soft">{t("no_fixes")}</p>}
      <ul class="told">{list.value?.map((one) => <Line key={one.id} one={one} mine={one.entities.includes(entity)} onChange={onChange} />)}</ul>
    </Panel>
  );
}

/** What the way back of an adjustment looks like is known from the adjustment itself. */
async function takenBack({ id, verb, params }: Fix): Promise<Change> {
  const { entity, start, adjustment, unit } = params as { entity?: string; start?: string | number; adjustment?: number; unit?: string | null };
  if (verb !== "adjust_sum" || !entity || start === undefined || adjustment === undefined || unit) return undo(id);
  return undo(id, await sumsCompared(entity, "", new Date(start).getTime(), -adjustment));
}

function Line({ one, mine, onChange }: { one: Fix; mine: boolean; onChange: (change: Change) => void }) {
  const names = one.entities.slice(0, 3).join(", ");
  const others = one.entities.length - 3 + (one.more_entities ?? 0);
  const start = () => takenBack(one).catch(() => undo(one.id)).then(onChange);
  return (
    <li class={mine ? "mine" : ""}>
      <p class="between"><strong>{one.verb}</strong> <time>{date(Date.parse(one.ts), "both")}</time></p>
      <p>{names}{others > 0 && ` ${t("and_more", { count: number(others) })}`}</p>
      <small>{parameters(one.params)}</small>
      <p class="options">
        {one.undone
          ? <span class="soft">{t("undone")}: {date(Date.parse(one.undone), "both")}</span>
          : <button aria-label={`${t("undo")}: ${one.verb} ${one.id}, ${names}`} onClick={() => void start()}>{t("undo")}</button>}
      </p>
    </li>
  );
}
