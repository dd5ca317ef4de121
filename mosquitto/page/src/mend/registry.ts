/** Changes of devices at their collectors: each is confirmed before it is made. */
import { houseNow } from "../contract/house";
import { ask } from "../contract/requests";
import type { Change } from "../kit/steps";
import { t } from "../text/words";
import { replaced } from "./naming";
import { type Settings, textOf } from "./schema";
import { readRegistered, type Registered } from "./stored";

/** With another one of these it is another device (docs/registry.md, device_update). */
const IDENTITY = ["address", "port"];

async function tell(service: string, verb: string, parameters: object): Promise<Registered> {
  const said = await ask<Registered>(service, verb, parameters);
  await readRegistered();
  return said;
}

function confirmed(title: string, text: string, make: Change["make"]): Change {
  return { title, preview: () => Promise.resolve({ text }), make };
}

export function addDevice(service: string, device: string, kind: string, settings: Settings): Change {
  return confirmed(t("add_device"), t("would_add", { device, service }), async () => {
    const said = await tell(service, "device_add", { device, kind, ...settings });
    return { text: t("is_added", { device: said.name }) };
  });
}

/** `secrets` are the settings whose values are not repeated. */
export function updateDevice({ service, device }: Registered, changes: Settings, secrets: ReadonlySet<string>): Change {
  const other = IDENTITY.some((key) => key in changes);
  const named = Object.entries(changes).map(([key, value]) => {
    if (value === null) return `${key}: ${t("back_to_default")}`;
    return secrets.has(key) ? key : `${key} = ${textOf(value)}`;
  });
  const since = houseNow();
  const text = `${t("would_update", { device })} ${named.join(", ")}. ${t(other ? "becomes_other" : "stays_same")}`;
  return confirmed(t("change_settings"), text, async () => {
    const said = await tell(service, "device_update", { device, ...changes });
    const done = { text: t("is_updated", { device: said.name }) };
    return other ? { ...done, next: { text: t("other_hint"), change: replaced(device, since) } } : done;
  });
}

export function removeDevice({ service, device, name }: Registered): Change {
  return confirmed(t("remove_device"), t("would_remove", { device: name }), async () => {
    await ask(service, "device_remove", { device });
    await readRegistered();
    return { text: t("is_removed", { device: name }) };
  });
}

export function switchEntity({ service, device }: Registered, entity: string, on: boolean): Change {
  const words = { entity: `${device}.${entity}` };
  return confirmed(t(on ? "switch_on" : "switch_off"), t(on ? "would_enable" : "would_disable", words), async () => {
    await tell(service, on ? "entity_enable" : "entity_disable", { device, entity });
    return { text: t(on ? "is_enabled" : "is_disabled", words), undo: switchEntity({ service, device } as Registered, entity, !on) };
  });
}
