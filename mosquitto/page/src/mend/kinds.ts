/** The kinds of devices that the collectors read, asked for when a form needs them. */
import { type Signal, signal } from "@preact/signals";
import { ask, AskError } from "../contract/requests";
import { sentence } from "../kit/parts";
import type { Kind } from "./schema";
import { collectors } from "./stored";

/** Of each collector; one that reads no kinds is not there. */
export const kinds: Signal<ReadonlyMap<string, readonly Kind[]>> = signal(new Map());

/** Ask all collectors that run; each is there once it has answered. Resolves to what those said that did not. */
export async function readKinds(): Promise<string> {
  const said = await Promise.all(
    collectors.value.map(async (service) => {
      try {
        const list = await ask<Kind[]>(service, "kinds");
        if (list.length > 0) kinds.value = new Map(kinds.value).set(service, list);
        return "";
      } catch (error) {
        return `${service}: ${sentence(error)}`;
      }
    }),
  );
  return said.filter(Boolean).join("; ");
}

/** The form of one kind. Rejects with AskError. */
export async function kindOf(service: string, kind: string): Promise<Kind> {
  const [found] = await ask<Kind[]>(service, "kinds", { kind });
  if (!found) throw new AskError("not_found", kind);
  return found;
}
