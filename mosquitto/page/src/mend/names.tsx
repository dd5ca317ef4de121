/** What things are called, which hardware they are, and what is stored of them. */
import { useSignal } from "@preact/signals";
import { devices, houseNow } from "../contract/house";
import { Choose, fromLocalInput, Input, localInput } from "../kit/fields";
import { Panel } from "../kit/parts";
import { type Change, Steps } from "../kit/steps";
import { t } from "../text/words";
import { EntityButton } from "./entity";
import { mendable } from "./stored";
import { describe, obstacle, renameDevice, renameEntity, replaced } from "./naming";

function submits(act: () => void) {
  return (event: Event) => {
    event.preventDefault();
    act();
  };
}

/** Devices that are described or stored, by what people call them. */
function choices(): [string, string][] {
  const known = new Map(mendable.value.map(({ device }) => [device.id, devices.value.get(device.id)?.about.value.name ?? device.id]));
  const sorted = [...known].sort(([, a], [, b]) => a.localeCompare(b));
  return [["", "–"], ...sorted.map(([id, name]): [string, string] => [id, name === id ? id : `${name} (${id})`])];
}

function RenameDevice({ onChange }: { onChange: (change: Change) => void }) {
  const device = useSignal("");
  const to = useSignal("");
  const hindered = device.value ? obstacle(device.value, to.value) : "";
  return (
    <Panel id="rename-device" title={t("rename_device")}>
      <form class="fields" onSubmit={submits(() => onChange(renameDevice(device.value, to.value)))}>
        <Choose label={t("device")} value={device.value} options={choices()} onText={(text) => (device.value = text)} />
        <Input label={t("new_id")} hint={t("id_hint")} required pattern="[a-z0-9_]+" maxLength={64} autocapitalize="none" value={to.value} onText={(text) => (to.value = text)} />
        {hindered && <p class="refusal">{hindered}</p>}
        <button disabled={!device.value || !to.value || hindered !== ""}>{t("look_first")}</button>
      </form>
    </Panel>
  );
}

function Replaced({ onChange }: { onChange: (change: Change) => void }) {
  const device = useSignal("");
  const at = useSignal(localInput(houseNow()));
  const time = fromLocalInput(at.value);
  return (
    <Panel id="replaced" title={t("device_replaced")}>
      <p class="soft">{t("replaced_hint")}</p>
      <form class="fields" onSubmit={submits(() => time !== null && onChange(replaced(device.value, time)))}>
        <Choose label={t("device")} value={device.value} options={choices()} onText={(text) => (device.value = text)} />
        <Input label={t("since_when")} hint={t("since_hint")} type="datetime-local" step={1} required value={at.value} onText={(text) => (at.value = text)} />
        <button disabled={!device.value || time === null}>{t("look_first")}</button>
      </form>
    </Panel>
  );
}

function OneEntity({ onChange }: { onChange: (change: Change) => void }) {
  const entity = useSignal("");
  const name = useSignal("");
  const days = useSignal("");
  const to = useSignal("");
  const describing = (fields: Record<string, string | number | boolean | null>) => onChange(describe(entity.value, fields));
  const hindered = entity.value && to.value ? obstacle(entity.value, to.value) : "";
  return (
    <Panel id="entity-names" title={t("one_entity")}>
      <EntityButton chosen={entity.value} onChoose={(chosen) => (entity.value = chosen)} />
      {entity.value && (
        <>
          <form class="fields" onSubmit={submits(() => describing({ name: name.value.trim() || null }))}>
            <Input label={t("shown_name")} hint={t("empty_resets")} maxLength={200} value={name.value} onText={(text) => (name.value = text)} />
            <button>{t("look_first")}</button>
          </form>
          <form class="fields" onSubmit={submits(() => describing({ retention_days: days.value ? Number(days.value) : null }))}>
            <Input label={t("retention")} hint={t("retention_hint")} type="number" min={1} max={36500} value={days.value} onText={(text) => (days.value = text)} />
            <button>{t("look_first")}</button>
          </form>
          <form class="fields" onSubmit={submits(() => onChange(renameEntity(entity.value, to.value)))}>
            <Input label={t("new_entity_id")} hint={t("entity_id_hint")} required pattern="[a-z0-9_]+\.[a-z0-9_]+" autocapitalize="none" value={to.value} onText={(text) => (to.value = text)} />
            {hindered && <p class="refusal">{hindered}</p>}
            <button disabled={hindered !== ""}>{t("look_first")}</button>
          </form>
          <p class="options">
            <button onClick={() => describing({ enabled: false })}>{t("store_no_more")}</button>
            <button onClick={() => describing({ enabled: true })}>{t("store_again")}</button>
          </p>
        </>
      )}
    </Panel>
  );
}

export function Names() {
  const change = useSignal<Change | null>(null);
  const propose = (next: Change) => (change.value = next);
  return (
    <>
      {change.value && <div class="card wide"><Steps change={change.value} onClose={() => (change.value = null)} /></div>}
      <RenameDevice onChange={propose} />
      <OneEntity onChange={propose} />
      <Replaced onChange={propose} />
    </>
  );
}
