/** The corrections that were made, the newest first, each with its way back. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { link } from "../contract/connection";
import { ask } from "../contract/requests";
import { Panel, sentence } from "../kit/parts";
import type { Change } from "../kit/steps";
import { date, number, option } from "../text/format";
import { t, type Word } from "../text/words";
import { takenBack } from "./corrections";
import { made, undo } from "./fix";
import { renameDevice } from "./naming";
import { ownerOf } from "./stored";

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
/** What is no correction of its own, or has nothing to take back (docs/requests.md). */
const TOLD_ELSEWHERE = "undo";
const FOR_GOOD = "recompile";
const TITLES: Record<string, Word> = {
  delete_states: "delete_values", accept_reading: "let_count", adjust_sum: "adjust_sum", change_unit: "change_unit", device_rename: "rename_device",
  entity_rename: "rename_entity", device_replaced: "device_replaced", set_metadata: "one_entity",
};
/** Of its parameters these are no words about what was done. */
const NOT_TOLD = new Set(["dry_run", "entity", "entities", "device"]);

function parameters(params: Fix["params"]): string {
  return Object.entries(params)
    .filter(([key, value]) => !NOT_TOLD.has(key) && value !== null && value !== undefined && typeof value !== "object")
    .map(([key, value]) => {
      const time = typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value);
      return time ? date(Date.parse(value), "full") : `${option(key)}: ${String(value)}`;
    })
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
  const shown = list.value?.filter((one) => one.verb !== TOLD_ELSEWHERE);
  return (
    <Panel id="fixes" title={t("fixes")}>
      {why.value && <p class="refusal" role="alert">{why.value}</p>}
      {shown?.length === 0 && <p class="soft">{t("no_fixes")}</p>}
      <ul class="told">{shown?.map((one) => <Line key={one.id} one={one} mine={one.entities.includes(entity)} onChange={onChange} />)}</ul>
    </Panel>
  );
}

/** A device that is read under its new name is called back at its collector, too. */
function wayBack({ id, verb, params }: Fix): Change {
  const { device, to } = params as { device: string; to: string };
  if (verb === "device_rename" && ownerOf(to)) return renameDevice(to, device, t("rename_back", { device: to }));
  return undo(id, (said) => takenBack(verb, params, said));
}

function Line({ one, mine, onChange }: { one: Fix; mine: boolean; onChange: (change: Change) => void }) {
  const names = one.entities.slice(0, 3).join(", ");
  const others = one.entities.length - 3 + (one.more_entities ?? 0);
  const title = one.verb in TITLES ? t(TITLES[one.verb]!) : option(one.verb);
  return (
    <li class={mine ? "mine" : ""}>
      <p class="between"><strong>{title}</strong> <time>{date(Date.parse(one.ts), "both")}</time></p>
      <p>{names}{others > 0 && ` ${t("and_more", { count: number(others) })}`}</p>
      <small>{parameters(one.params)}</small>
      <p class="options">
        {one.undone
          ? <span class="soft">{t("undone")}: {date(Date.parse(one.undone), "both")}</span>
          : one.verb !== FOR_GOOD && <button aria-label={`${t("undo")}: ${title} ${one.id}, ${names}`} onClick={() => onChange(wayBack(one))}>{t("undo")}</button>}
      </p>
    </li>
  );
}
