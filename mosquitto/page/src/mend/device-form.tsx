/** The form of a device: a new one, found by a scan or by hand, or one whose settings are changed. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { AskError } from "../contract/requests";
import { Choose, Input } from "../kit/fields";
import { Panel } from "../kit/parts";
import { type Change, Steps } from "../kit/steps";
import { t } from "../text/words";
import { SchemaForm } from "./form";
import { kinds, readKinds } from "./kinds";
import { addDevice, updateDevice } from "./registry";
import { changesOf, type Draft, draftOf, fieldsOf, freeId, type Kind, mistakesOf, type Settings, settingsOf } from "./schema";
import { registered, type Registered } from "./stored";

interface DeviceFormProps {
  service: string;
  kind: Kind;
  /** The device whose settings are changed; without it one is added. */
  device?: Registered;
  /** What a scan proposes. */
  proposed?: { settings: Settings; name: string };
  onClose: () => void;
}

function secretsOf({ settings }: Kind): Set<string> {
  return new Set(Object.entries(settings.properties).filter(([, one]) => one.writeOnly).map(([key]) => key));
}

export function DeviceForm({ service, kind, device, proposed, onClose }: DeviceFormProps) {
  const before: Draft = draftOf(kind.settings, device ? { name: device.name, ...device.settings } : { name: proposed?.name, ...proposed?.settings });
  const draft = useSignal(before);
  const id = useSignal(device?.device ?? freeId(proposed?.name || kind.kind, new Set(registered.value.map((one) => one.device))));
  const errors = useSignal<Record<string, string>>({});
  const change = useSignal<Change | null>(null);
  const form = useRef<HTMLFormElement>(null);

  const submit = (event: Event) => {
    event.preventDefault();
    errors.value = {};
    if (!device) return void (change.value = addDevice(service, id.value, kind.kind, settingsOf(kind.settings, draft.value)));
    const changes = changesOf(kind.settings, before, draft.value);
    if (Object.keys(changes).length === 0) errors.value = { "": t("nothing_changed") };
    else change.value = updateDevice(device, changes, secretsOf(kind));
  };
  const refused = (error: AskError) => {
    if (error.code !== "invalid") return false;
    const { main, more } = fieldsOf(kind.settings);
    errors.value = mistakesOf(error.message, ["device", ...[...main, ...more].map(({ key }) => key), ...Object.keys(kind.settings.properties)]);
    change.value = null;
    return true;
  };
  useEffect(() => form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus(), [errors.value]);
  useEffect(() => form.current?.querySelector<HTMLElement>("input, select")?.focus(), []);

  if (change.value) return <Steps change={change.value} onRefused={refused} onDone={() => (draft.value = forgotten(kind, draft.value))} onClose={onClose} />;
  return (
    <form ref={form} class="fields device-form" onSubmit={submit} aria-label={device ? t("change_settings") : t("add_device")}>
      <h3>{kind.title}</h3>
      {errors.value[""] && <p class="refusal" role="alert">{errors.value[""]}</p>}
      {!device && <Input label={`Id *`} hint={t("id_hint")} error={errors.value["device"]} required autocapitalize="none" value={id.value} onText={(text) => (id.value = text)} data-key="device" />}
      <SchemaForm schema={kind.settings} draft={draft.value} errors={errors.value} kept={device !== undefined} onDraft={(next) => (draft.value = next)} />
      <p class="options"><button class="main">{t("next")}</button><button type="button" onClick={onClose}>{t("cancel")}</button></p>
    </form>
  );
}

/** A draft without its secrets: they are not kept longer than they are needed. */
function forgotten(kind: Kind, draft: Draft): Draft {
  const secrets = secretsOf(kind);
  return Object.fromEntries(Object.entries(draft).filter(([key]) => !secrets.has(key)));
}

/** Adds a device without a scan: a kind of all that the collectors read, then its form. */
export function AddDevice() {
  const open = useSignal(false);
  const why = useSignal("");
  const chosen = useSignal("");
  const adding = useSignal<{ service: string; kind: Kind } | null>(null);
  const start = () => {
    open.value = true;
    why.value = "";
    void readKinds().then((said) => (why.value = said));
  };
  const all = [...kinds.value].flatMap(([service, list]) => list.map((kind) => ({ service, kind })));
  const choose = (text: string) => {
    chosen.value = text;
    adding.value = all.find(({ service, kind }) => `${service} ${kind.kind}` === text) ?? null;
  };
  const close = () => {
    open.value = false;
    choose("");
  };
  return (
    <Panel id="add-device" title={t("by_hand")}>
      {!open.value && <><p class="soft">{t("by_hand_hint")}</p><p class="options"><button onClick={start}>{t("add_device")}</button></p></>}
      {why.value && <p class="refusal" role="alert">{why.value}</p>}
      {open.value && all.length === 0 && (why.value ? <p class="options"><button onClick={close}>{t("close")}</button></p> : <p role="status">{t("loading")}</p>)}
      {open.value && all.length > 0 && (
        <div class="fields">
          <Choose
            label={t("kind")}
            value={chosen.value}
            options={[["", "–"], ...all.map(({ service, kind }): [string, string] => [`${service} ${kind.kind}`, `${kind.title} (${service.replace("collector_", "")})`])]}
            onText={choose}
          />
          {!adding.value && <p class="options"><button onClick={close}>{t("cancel")}</button></p>}
        </div>
      )}
      {adding.value && <DeviceForm key={chosen.value} service={adding.value.service} kind={adding.value.kind} onClose={close} />}
    </Panel>
  );
}
