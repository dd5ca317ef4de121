/** The kinds of devices that the collectors read, asked for when a form needs them. */
import { type Signal, signal } from "@preact/signals";
import { ask, AskError } from "../contract/requests";
import type { Kind } from "./schema";
import { collectors } from "./stored";

/** Of each collector; one that reads no kinds is not there. */
export const kinds: Signal<ReadonlyMap<string, readonly Kind[]>> = signal(new Map());

/** Ask all collectors that run. Rejects with AskError if one does not answer. */
export async function readKinds(): Promise<void> {
  const found = await Promise.all(collectors.value.map(async (service) => [service, await ask<Kind[]>(service, "kinds")] as const));
  kinds.value = new Map(found.filter(([, list]) => list.length > 0));
}

/** The form of one kind. Rejects with AskError. */
export async function kindOf(service: string, kind: string): Promise<Kind> {
  const [found] = await ask<Kind[]>(service, "kinds", { kind });
  if (!found) throw new AskError("not_found", kind);
  return found;
}
