/** Renaming: at the collector that reads a device, then at the statistician, as `boondock rename` does. */
import { devices, place } from "../contract/house";
import { ask, AskError } from "../contract/requests";
import { sentence } from "../kit/parts";
import type { Change, Done } from "../kit/steps";
import { t } from "../text/words";
import { fix, made } from "./fix";
import { at, type Summary, touched } from "./say";
import { ownerOf, readRegistered, type Registered } from "./stored";
import { iso } from "./corrections";

/** Why a device or an entity cannot be called otherwise from here; empty if it can. */
export function obstacle(old: string, to: string): string {
  if (old.includes(".")) return place(old) ? t("still_described", { entity: old }) : "";
  const owner = ownerOf(old);
  if (owner?.where === "boondock.toml") return t("in_file", { device: old, command: `boondock rename ${old} ${to || "NEW"} --edit` });
  if (!owner && devices.value.has(old)) return t("other_software", { device: old });
  return owner && to && ownerOf(to) ? t("id_taken", { device: to }) : "";
}

/** The history under its new name; null where the statistician has none. */
async function history(from: string, to: string, dry: boolean): Promise<Summary | null> {
  try {
    return await ask<Summary>("statistician", "device_rename", { device: from, to, ...(dry ? { dry_run: true } : {}) });
  } catch (error) {
    if (error instanceof AskError && error.code === "not_found") return null;
    throw error;
  }
}

async function atCollector({ service }: Registered, from: string, to: string): Promise<void> {
  await ask(service, "device_rename", { device: from, to });
  await readRegistered();
}

/** Give a device another id; its history follows. It is taken back by the same: values that came since follow, too. */
export function renameDevice(from: string, to: string, title = t("rename_device")): Change {
  return {
    title,
    async preview() {
      const said = await history(from, to, true);
      const parts = [t("would_rename", { from, to }), said ? `${t("history_follows")} ${touched(said)}` : t("no_history")];
      return { text: parts.join(" ") };
    },
    make: () => renamed(from, to, ownerOf(from)),
  };
}

async function renamed(from: string, to: string, owner: Registered | undefined): Promise<Done> {
  if (owner) await atCollector(owner, from, to);
  let said: Summary | null;
  try {
    said = await history(from, to, false);
  } catch (error) {
    throw owner ? new AskError("half", `${t("half_renamed", { from, to })} ${sentence(error)}`) : error;
  }
  made.value += 1;
  return { text: `${t("is_called", { from, to })} ${said ? touched(said) : ""}`.trim(), undo: renameDevice(to, from, t("rename_back", { device: to })) };
}

/** Give what is stored of an entity another name. */
export function renameEntity(entity: string, to: string): Change {
  return fix({ title: t("rename_entity"), verb: "entity_rename", parameters: { entity, to }, text: t("would_rename", { from: entity, to }) });
}

/** Say that a device is another one since a time, ms. */
export function replaced(device: string, since: number): Change {
  return fix({
    title: t("device_replaced"),
    verb: "device_replaced",
    parameters: { device, at: iso(since) },
    text: t("would_replace", { device, time: at(since) }),
  });
}

/** Say something of an entity that its device says otherwise. */
export function describe(entity: string, fields: Record<string, string | number | boolean | null>): Change {
  return fix({ title: t("one_entity"), verb: "set_metadata", parameters: { entity, ...fields }, text: t("would_describe", { entity }) });
}
