/** The devices of all collectors: their settings, what is wrong, changed or removed, and new ones. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { place } from "../contract/house";
import { Panel, sentence } from "../kit/parts";
import { type Change, Steps } from "../kit/steps";
import { option } from "../text/format";
import { t } from "../text/words";
import { AddDevice, DeviceForm } from "./device-form";
import { kindOf } from "./kinds";
import { removeDevice, switchEntity } from "./registry";
import { Scan } from "./scan";
import { type Kind, textOf } from "./schema";
import { readRegistered, registered, type Registered, silent } from "./stored";

function Settings({ one }: { one: Registered }) {
  const all = [["kind", one.kind], ...Object.entries(one.settings)] as [string, unknown][];
  return <dl>{all.map(([key, value]) => <div key={key}><dt>{option(key)}</dt><dd>{value === "set" ? t("is_set") : textOf(value)}</dd></div>)}</dl>;
}

function Entities({ one, onChange }: { one: Registered; onChange: (change: Change) => void }) {
  return (
    <details>
      <summary>{t("entities")}</summary>
      <ul class="told">
        {Object.entries(one.entities).map(([entity, on]) => (
          <li key={entity} class="between">
            <span>{place(`${one.device}.${entity}`)?.entity.name ?? option(entity)} <small>{on ? "" : t("switched_off")}</small></span>
            {one.where === "mqtt" && (
              <button aria-label={`${t(on ? "switch_off" : "switch_on")}: ${one.device}.${entity}`} onClick={() => onChange(switchEntity(one, entity, !on))}>{t(on ? "switch_off" : "switch_on")}</button>
            )}
          </li>
        ))}
      </ul>
    </details>
  );
}

function DeviceLine({ one, onChange }: { one: Registered; onChange: (change: Change) => void }) {
  const editing = useSignal<Kind | null>(null);
  const why = useSignal("");
  const edit = async () => {
    why.value = "";
    try {
      editing.value = await kindOf(one.service, one.kind);
    } catch (error) {
      why.value = sentence(error);
    }
  };
  return (
    <details data-device={one.device}>
      <summary>
        <span class="between"><strong>{one.name}</strong> <span>{one.problem ? "⚠ " : ""}{one.online ? t("online") : t("offline")}</span></span>
      </summary>
      {one.problem && <p class="refusal">{one.problem}</p>}
      <p class="soft">{one.device}, {one.service}</p>
      <Settings one={one} />
      <Entities one={one} onChange={onChange} />
      {one.where === "boondock.toml" && <p class="soft">{t("kept_in_file", { device: one.device })}</p>}
      {one.where === "mqtt" && editing.value === null && (
        <p class="options">
          <button onClick={() => void edit()}>{t("change_settings")}</button>
          <button onClick={() => onChange(removeDevice(one))}>{t("remove_device")}</button>
        </p>
      )}
      {why.value && <p class="refusal" role="alert">{why.value}</p>}
      {editing.value && <DeviceForm service={one.service} kind={editing.value} device={one} onClose={() => (editing.value = null)} />}
    </details>
  );
}

export function DevicesPart() {
  const change = useSignal<Change | null>(null);
  useEffect(() => void readRegistered(), []);
  const sorted = [...registered.value].sort((a, b) => a.name.localeCompare(b.name));
  return (
    <>
      {change.value && <div class="card wide"><Steps change={change.value} onClose={() => (change.value = null)} /></div>}
      <Panel id="registered" title={t("devices")}>
        {silent.value.map((one) => <p key={one} class="refusal">{one}</p>)}
        {sorted.length === 0 && <p class="soft">{t("nothing_yet")}</p>}
        {sorted.map((one) => <DeviceLine key={`${one.service} ${one.device}`} one={one} onChange={(next) => (change.value = next)} />)}
      </Panel>
      <Scan />
      <AddDevice />
    </>
  );
}
