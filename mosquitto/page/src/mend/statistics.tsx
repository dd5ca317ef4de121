/** Statistics of one entity put right: outliers, values, sums, unit; and every correction taken back. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { link } from "../contract/connection";
import { houseNow } from "../contract/house";
import { fromLocalInput, Input, localInput } from "../kit/fields";
import { Panel, sentence } from "../kit/parts";
import { go, query } from "../kit/route";
import { type Change, Steps } from "../kit/steps";
import { t } from "../text/words";
import { adjustSum, changeUnit, deleteStates, type Known, readKnown } from "./corrections";
import { EntityButton } from "./entity";
import { made } from "./fix";
import { Fixes } from "./fixes";
import { Outliers } from "./outliers";

const HOUR_MS = 3_600_000;

type Ask = (change: Change) => void;

function DeleteRange({ known, onChange }: { known: Known; onChange: Ask }) {
  const from = useSignal(localInput(houseNow() - HOUR_MS));
  const to = useSignal(localInput(houseNow()));
  const span = { from: fromLocalInput(from.value), to: fromLocalInput(to.value) };
  const submit = (event: Event) => {
    event.preventDefault();
    if (span.from !== null && span.to !== null) onChange(deleteStates(known.entity, { from: span.from, to: span.to }));
  };
  return (
    <details>
      <summary>{t("delete_values")}</summary>
      <form class="fields" onSubmit={submit}>
        <Input label={t("begin")} type="datetime-local" step={1} required value={from.value} onText={(text) => (from.value = text)} />
        <Input label={t("end")} type="datetime-local" step={1} required value={to.value} onText={(text) => (to.value = text)} />
        <button>{t("look_first")}</button>
      </form>
    </details>
  );
}

function AdjustSum({ known, onChange }: { known: Known; onChange: Ask }) {
  const start = useSignal(localInput(houseNow() - (houseNow() % HOUR_MS)));
  const amount = useSignal("");
  const submit = (event: Event) => {
    event.preventDefault();
    const from = fromLocalInput(start.value);
    if (from !== null && amount.value !== "") onChange(adjustSum(known, from, Number(amount.value)));
  };
  return (
    <details>
      <summary>{t("adjust_sum")}</summary>
      <form class="fields" onSubmit={submit}>
        <Input label={t("begin")} type="datetime-local" step={1} required value={start.value} onText={(text) => (start.value = text)} />
        <Input label={`${t("amount")}${known.unit ? ` (${known.unit})` : ""}`} hint={t("amount_hint")} type="number" step="any" required value={amount.value} onText={(text) => (amount.value = text)} />
        <button>{t("look_first")}</button>
      </form>
    </details>
  );
}

function ChangeUnit({ known, onChange }: { known: Known; onChange: Ask }) {
  const unit = useSignal("");
  const submit = (event: Event) => {
    event.preventDefault();
    onChange(changeUnit(known, unit.value.trim()));
  };
  return (
    <details>
      <summary>{t("change_unit")}</summary>
      <form class="fields" onSubmit={submit}>
        <Input label={t("new_unit")} hint={t("now_is", { what: known.unit ?? "–" })} required maxLength={16} value={unit.value} onText={(text) => (unit.value = text)} />
        <button>{t("look_first")}</button>
      </form>
    </details>
  );
}

/** What is known of the entity, asked again after each correction; what it was is shown until then. */
function useKnown(entity: string): { known: Known | null; why: string } {
  const known = useSignal<Known | null>(null);
  const why = useSignal("");
  const up = link.value === "up";
  useEffect(() => {
    let stale = false;
    why.value = "";
    if (entity === "" || !up) return;
    readKnown(entity).then(
      (one) => !stale && (known.value = one),
      (error: unknown) => !stale && (why.value = sentence(error)),
    );
    return () => (stale = true, undefined);
  }, [entity, up, made.value]);
  return { known: known.value?.entity === entity ? known.value : null, why: why.value };
}

export function Statistics() {
  const entity = query.value.get("e") ?? "";
  const change = useSignal<Change | null>(null);
  const { known, why } = useKnown(entity);
  const propose = (next: Change) => (change.value = next);
  return (
    <>
      <Panel id="entity" title={t("what_to_mend")}>
        <EntityButton chosen={entity} onChoose={(name) => (change.value = null, go("mend", [["s", "statistics"], ["e", name]]))} />
        {why && <p class="refusal" role="alert">{why}</p>}
        {known && <DeleteRange key={`d${entity}`} known={known} onChange={propose} />}
        {known?.has_sum && <AdjustSum key={`a${entity}`} known={known} onChange={propose} />}
        {known && (known.has_sum || known.has_mean) && <ChangeUnit key={`u${entity}`} known={known} onChange={propose} />}
      </Panel>
      {change.value && <div class="card wide"><Steps change={change.value} onClose={() => (change.value = null)} /></div>}
      {known && <Outliers known={known} onChange={propose} />}
      <Fixes entity={entity} onChange={propose} />
    </>
  );
}
