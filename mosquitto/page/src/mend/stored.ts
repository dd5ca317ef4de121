/** What can be mended: everything that the statistician stores, and the devices of all collectors. */
import { computed, type Signal, signal } from "@preact/signals";
import { type Device, Device as Described, devices, type Place, places, services } from "../contract/house";
import { ask } from "../contract/requests";
import type { Entity } from "../contract/types";
import { sentence } from "../kit/parts";
import { nameOf } from "../now/cards";

interface Stored {
  entity: string;
  name: string | null;
  unit: string | null;
}

const entities: Signal<readonly Stored[]> = signal([]);

/** Every entity that a device describes or the statistician stores; also of devices that are gone. */
export const mendable = computed<Place[]>(() => {
  const known = new Set(places.value.map(nameOf));
  const gone = new Map<string, Record<string, Entity>>();
  for (const { entity, name, unit } of entities.value) {
    if (known.has(entity)) continue;
    const [device = "", key = ""] = entity.split(".");
    gone.set(device, { ...gone.get(device), [key]: { name: name ?? key, unit: unit ?? undefined } });
  }
  const others = [...gone].flatMap(([id, theirs]) => {
    const device: Device = devices.value.get(id) ?? new Described(id, { name: id, entities: theirs });
    return Object.entries(theirs).map(([key, entity]) => ({ device, key, entity }));
  });
  return [...places.value, ...others];
});

/** Ask again for what is stored. Rejects with AskError. */
export async function readStored(): Promise<void> {
  entities.value = await ask<Stored[]>("statistician", "entities");
}

/** A device as its collector lists it (docs/registry.md). */
export interface Registered {
  service: string;
  device: string;
  name: string;
  kind: string;
  where: "boondock.toml" | "mqtt";
  online: boolean;
  settings: Record<string, unknown>;
  entities: Record<string, boolean>;
  problem: string | null;
}

export const registered: Signal<readonly Registered[]> = signal([]);
/** Why a collector did not list its devices. */
export const silent: Signal<readonly string[]> = signal([]);

/** The collectors that run now. */
export const collectors = computed(() => [...services.value].filter(([name, one]) => name.startsWith("collector_") && one.online).map(([name]) => name).sort());

/** Ask all collectors for their devices. Never rejects: `silent` tells who did not answer. */
export async function readRegistered(): Promise<void> {
  const failed: string[] = [];
  const lists = await Promise.all(
    collectors.value.map(async (service) => {
      try {
        return (await ask<Omit<Registered, "service">[]>(service, "devices")).map((one) => ({ ...one, service }));
      } catch (error) {
        failed.push(`${service}: ${sentence(error)}`);
        return registered.value.filter((one) => one.service === service);
      }
    }),
  );
  registered.value = lists.flat();
  silent.value = failed;
}

/** Who owns a device: the collector that lists it; undefined if it is other software's, or gone. */
export function ownerOf(device: string): Registered | undefined {
  return registered.value.find((one) => one.device === device);
}
